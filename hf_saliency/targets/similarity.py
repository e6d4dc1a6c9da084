"""Similarity: the target of models that embed texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from hf_saliency.adapter import hooks, tasks
from hf_saliency.adapter.encoding import Encoding, joined
from hf_saliency.adapter.streams import InTurn
from hf_saliency.adapter.text_model import Overflow, TextModel
from hf_saliency.errors import SaliencyError, called, one_of, warn
from hf_saliency.targets.readout import Readout, RowTensors
from hf_saliency.targets.target import (
    PAIR,
    LogitRef,
    Row,
    Target,
    contrasts,
    settle_contrasts,
    settle_strings,
)

Pool = Callable[[Any, Mapping[str, Tensor]], Float[Tensor, "batch width"]]
Pooling = Literal["mean", "first", "last"]
Metric = Literal["cosine", "dot"]


@dataclass(frozen=True)
class Similarity(Target):
    """The similarity that a model finds between two texts: the cosine of their embeddings, computed separately.

    Explain a tuple of two texts; the map shows the tokens of both.

    Parameters
    ----------
    pooling
        The way to turn the last layer's hidden states into an embedding: their ``"mean"``, the state of the ``"first"``
        token (``[CLS]``) or of the ``"last"`` token, or a function of the model's output and its input tensors that
        returns (batch, width). By default, the mean; for a ``SentenceTransformer``, the output of all its layers, as
        ``encode`` returns it.
    metric
        ``"cosine"`` or ``"dot"``. By default, the cosine; for a ``SentenceTransformer``, its ``similarity_fn_name``.
    against
        A third text whose similarity to the first is subtracted (a contrast), to explain why the second one is nearer.
        The map shows its tokens, too. A list makes one target for each entry, in this order.

    Raises
    ------
    SaliencyError
        For an unknown pooling or metric. Explaining raises it for anything but two texts, and if ``against`` contains
        the second one.

    References
    ----------
    Reimers and Gurevych, Sentence-BERT, 2019, arXiv:1908.10084.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> model, tokenizer = hs.load_demo()
    >>> explainer = hs.Explainer(model.bert, tokenizer)  # the encoder alone
    >>> explainer(("She drank hot tea.", "He had a coffee."), target=hs.Similarity("mean")).scores.shape
    (1, 16)
    """

    kind = "similarity"
    text_counts = (2, 2)

    pooling: Pooling | Pool | None = None
    metric: Metric | None = None
    against: str | Sequence[str] | None = None

    def __post_init__(self) -> None:
        settle_strings(self)
        if self.pooling not in ("mean", "first", "last", None) and not callable(self.pooling):
            raise SaliencyError(
                f"pooling={self.pooling!r}: choose 'mean', 'first', 'last' or give a function."
            )
        one_of(self.metric, ("cosine", "dot", None), "metric")
        settle_contrasts(
            self,
            lambda contrast: isinstance(contrast, str),
            "give a text, such as against='He had a coffee.'",
        )

    @classmethod
    def heads(cls) -> tuple[tasks.Task, ...]:
        return (tasks.ENCODING, tasks.TEXT_ENCODING)

    def encode(self, texts: Any, model: TextModel, overflow: Overflow) -> Encoding:
        if not (isinstance(texts, tuple) and len(texts) == 2):
            raise SaliencyError("Similarity explains two texts: explainer((one, another)).")
        others = () if self.against is None else contrasts(self.against)
        if texts[1] in others:
            raise SaliencyError(
                f"against={self.against!r} contains the second text, so the contrast would always be zero: pass a "
                "different against=."
            )
        strings = (*texts, *others)
        return joined([model.encode(string, overflow, whole=True) for string in strings])

    def rows(self, encoding: Encoding, model: TextModel) -> list[Row]:
        first, second, *_ = (encoding.columns(part).ids for part in encoding.parts)
        if self.against is None and first == second and self._pooling_and_metric(model)[1] == "cosine":
            warn(
                "both texts have the same tokens, so their cosine is 1, its largest value: the gradient there is zero, "
                "and scores computed from it are only rounding errors. Give two texts that differ, or "
                "method='occlusion'.",
                UserWarning,
            )
        return [
            Row(encoding, (LogitRef(number),), label="similarity", against=contrast or "")
            for number, contrast in enumerate(contrasts(self.against))
        ]

    def readout(self, model: TextModel, parts: int = 2) -> Readout:
        pooling, metric = self._pooling_and_metric(model)
        return Readout(
            _Similar(pooling, metric), "value", activation="none", layout=InTurn(parts), names=False
        )

    def text_names(self, encoding: Encoding, model: TextModel) -> tuple[str, ...]:
        count = len(encoding.parts) - len(PAIR)
        numbers = [f" {number} of {count}" for number in range(1, count + 1)] if count > 1 else [""] * count
        return (*PAIR, *(f"against{number}" for number in numbers))

    def _pooling_and_metric(self, model: TextModel) -> tuple[Pooling | Pool, Metric]:
        """The target's pooling and metric; by default, the model's own."""
        if model.sentences is None:
            return self.pooling or "mean", self.metric or "cosine"
        if isinstance(self.pooling, str):
            raise SaliencyError(
                f"pooling={self.pooling!r}: {type(model.model).__name__} has a pooling of its own, so leave pooling= "
                "out; for another one explain its transformer, hs.Explainer(model[0].auto_model, model.tokenizer), or "
                "give a function of its features, pooling=lambda output, inputs: output['token_embeddings'][:, 0]."
            )
        trained = model.sentences.metric
        if self.metric is None and trained not in ("cosine", "dot"):
            raise SaliencyError(
                f"{type(model.model).__name__} compares texts by {trained!r}, which Similarity does not: choose "
                "metric='cosine' or metric='dot'."
            )
        return self.pooling or _sentence_embedding, self.metric or trained


def _sentence_embedding(output: Any, rows: Mapping[str, Tensor]) -> Float[Tensor, "batch width"]:
    """The embedding that a SentenceTransformer makes of a text."""
    advice = "its layers end without a Pooling; give pooling= a function of what the model returns."
    return hooks.tensor(output, "sentence_embedding", 2, "(batch, width)", advice)


@dataclass(frozen=True)
class _Similar:
    """The similarity of the first two outputs, minus that of the first and any further one: one class each."""

    pooling: Pooling | Pool
    metric: Metric

    def __call__(self, output: Any, rows: RowTensors) -> Float[Tensor, "rows 1 classes"]:
        first, *others = (self._embedding(part_output, part, rows) for part, part_output in enumerate(output))
        similarity, *further = (self._similarity(first, other) for other in others)
        differences = [similarity - other for other in further] or [similarity]
        return torch.stack(differences, dim=1)[rows["text"].to(similarity.device)][:, None]

    def _similarity(
        self, first: Float[Tensor, "batch width"], other: Float[Tensor, "batch width"]
    ) -> Float[Tensor, " batch"]:
        if self.metric == "dot":
            return (first * other).sum(dim=-1)
        return torch.nn.functional.cosine_similarity(first, other, dim=-1)

    def _embedding(self, output: Any, part: int, rows: RowTensors) -> Float[Tensor, "batch width"]:
        inputs = {
            name.removesuffix(f".{part}"): tensor
            for name, tensor in rows.items()
            if name.endswith(f".{part}")
        }
        if callable(self.pooling):
            return _pooled(self.pooling, output, inputs)
        states = hooks.tensor(
            output,
            "last_hidden_state",
            3,
            "(batch, tokens, width)",
            "load AutoModel.from_pretrained(name), or give pooling= a function of what the model returns.",
        )
        mask = inputs.get("attention_mask", torch.ones(states.shape[:2])).to(states)
        if self.pooling == "mean":
            return (states * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
        last = mask.sum(dim=1).long() - 1 if self.pooling == "last" else torch.zeros(len(states)).long()
        return states[torch.arange(len(states), device=states.device), last.to(states.device)]


def _pooled(pooling: Pool, output: Any, rows: Mapping[str, Tensor]) -> Float[Tensor, "batch width"]:
    """The embeddings that a user's function computes."""
    advice = "It is called with the model's output and its inputs by name, and returns (batch, width)."
    embeddings: Any = called(pooling, "the function of pooling=", advice, output, rows)
    count = len(rows["input_ids"])
    kind = type(embeddings).__name__
    if isinstance(embeddings, Tensor):
        if embeddings.dim() == 2 and len(embeddings) == count and embeddings.is_floating_point():
            return embeddings
        kind = f"{tuple(embeddings.shape)} {embeddings.dtype}"
    raise SaliencyError(f"the function of pooling= returned {kind} for a batch of {count}. {advice}")
