"""Output: any number that a function computes from a model's output."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from hf_saliency.adapter.encoding import Encoding
from hf_saliency.adapter.text_model import Overflow, TextModel
from hf_saliency.errors import UNITS, SaliencyError, Unit, called
from hf_saliency.targets.readout import READOUT_TENSORS, Readout, RowTensors
from hf_saliency.targets.target import PAIR, LogitRef, Row, Target, settle_strings, text_or_pair

ScoreOf = Callable[[Any, Mapping[str, Tensor]], Float[Tensor, " batch"]]


@dataclass(frozen=True)
class Output(Target):
    """The number that a function computes from the model's output, for heads that no other target supports.

    The model may be any module around an encoder, and may return anything: a tuple, a dict, a dataclass, a bare
    tensor.

    Parameters
    ----------
    score
        A function of the model's output and its input tensors (a mapping with ``input_ids``, ``attention_mask``, ...,
        batch first). It returns one differentiable number for each row of the batch, which depends on that row alone.
    label
        The name of the number in figures and tables.
    unit
        The unit of the number.

    Raises
    ------
    SaliencyError
        If the score is not a function, or the unit is unknown. Explaining a text raises it if the function returns
        anything but one number for each row.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> first = hs.Output(lambda output, inputs: output.logits[:, 0].amax(dim=-1), label="best at [CLS]")
    >>> explainer("She drank hot tea.", target=first).scores.shape
    (1, 9)
    """

    score: ScoreOf
    label: str = "output"
    unit: Unit = "value"

    def __post_init__(self) -> None:
        if not callable(self.score):
            raise SaliencyError(
                f"score={self.score!r}: give a function (output, inputs) -> (batch,), such as lambda output, inputs: "
                "output.logits[:, 2]."
            )
        settle_strings(self, UNITS)

    def encode(self, texts: Any, model: TextModel, overflow: Overflow) -> Encoding:
        """Encode a text, or a pair of texts as one sequence."""
        return text_or_pair(texts, self, model, overflow)

    def rows(self, encoding: Encoding, model: TextModel) -> list[Row]:
        return [Row(encoding, (LogitRef(0),), label=self.label)]

    def readout(self, model: TextModel, parts: int = 1) -> Readout:
        # The function returns its number in the final unit, so no activation is applied.
        return Readout(_Number(self.score), self.unit, activation="none", names=False)

    def text_names(self, encoding: Encoding, model: TextModel) -> tuple[str, ...]:
        return PAIR if len(encoding.texts) == 2 else ()


@dataclass(frozen=True)
class _Number:
    """A function's number for each row, as the logits of a single class."""

    score: ScoreOf

    def __call__(self, output: Any, rows: RowTensors) -> Float[Tensor, "rows 1 1"]:
        count = len(rows["text"])
        inputs = {name: tensor for name, tensor in rows.items() if name not in READOUT_TENSORS}
        advice = (
            "It is called with the model's output and inputs: lambda output, inputs: output.logits[:, 2]."
        )
        scores: Any = called(self.score, "the function of hs.Output", advice, output, inputs)
        if not isinstance(scores, Tensor) or scores.shape != (count,):
            shape = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
            raise SaliencyError(
                f"the function of hs.Output returned {shape} for a batch of {count}: it must return a tensor of shape "
                f"({count},), one number per row."
            )
        if not scores.is_floating_point():
            raise SaliencyError(
                f"the function of hs.Output returned {scores.dtype}, which has no gradient: it must return "
                "floating-point numbers, such as a logit, and not a comparison or an index."
            )
        return scores[:, None, None]
