"""Readouts: the logits that a target reads from a model's output, by row; the score room turns them into numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from hf_saliency.adapter import hooks
from hf_saliency.adapter.streams import ONE_SEQUENCE, Layout
from hf_saliency.errors import SaliencyError, Unit

Activation = Literal["softmax", "sigmoid", "none"]
RowTensors = Mapping[str, Tensor]

# The row tensors that a readout uses; the others are the model's inputs.
READOUT_TENSORS = ("text", "position", "class_id", "against_id", "weight")

Logits = Callable[[Any, RowTensors], Float[Tensor, "rows refs classes"]]


@dataclass(frozen=True)
class Readout:
    """The rule that turns a model's output into the score of each row.

    Parameters
    ----------
    logits
        A function of the model's output and the row tensors that returns the logits of each row, (rows, refs, classes):
        :func:`token_logits`, :func:`text_logits`, :func:`span_logits` or your own. Among the row tensors,
        ``"position"`` (rows, refs) selects the logits within a text, and ``"text"`` (rows,) selects the row of the
        output. That is the row's own number, unless rows share a forward pass.
    unit
        The unit of the score.
    activation
        The function that turns logits into probabilities; ``"none"`` for numbers that already have their unit.
    part
        The sequence whose tokens have the logits; the model's head then runs only at the tokens that are read. None if
        the logits belong to no token.
    layout
        How sequences enter the model.
    mask_id
        The id of the mask, if each logit of a row is read in a separate pass with its token masked.
    labels_at_end
        The number of labels of a classifier that scores the last token and has no padding token; 0 for others.
    names
        Whether predictions have class names.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> hs.Readout(hs.token_logits, unit="log_prob", part=0).activation
    'softmax'
    """

    logits: Logits
    unit: Unit = "logit"
    activation: Activation = "softmax"
    part: int | None = None
    layout: Layout = ONE_SEQUENCE
    mask_id: int | None = None
    labels_at_end: int = 0
    names: bool = True

    def probabilities(self, logits: Float[Tensor, "*rows classes"]) -> Float[Tensor, "*rows classes"]:
        """The probability of each class."""
        if self.activation == "none":
            return logits
        return logits.sigmoid() if self.activation == "sigmoid" else logits.softmax(dim=-1)

    def scores(self, logits: Float[Tensor, "rows refs classes"], rows: RowTensors) -> Float[Tensor, " rows"]:
        """Sum each row's logits in the readout's unit, minus contrasts; refuse classes that the model lacks."""
        for name in ("class_id", "against_id"):
            if name in rows and (largest := int(rows[name].max())) >= logits.shape[-1]:
                raise SaliencyError(
                    f"this target reads logit number {largest}, but the model returns only {logits.shape[-1]} logits, "
                    "numbered from 0: choose one of its classes, or the target that fits its head."
                )
        values = logits
        if self.activation == "none":
            pass
        elif self.unit == "prob":
            values = self.probabilities(logits)
        elif self.unit == "log_prob" and self.activation == "sigmoid":
            values = torch.nn.functional.logsigmoid(logits)
        elif self.unit == "log_prob":
            values = logits.log_softmax(dim=-1)
        scores = values.gather(2, rows["class_id"][..., None])[..., 0]
        if "against_id" in rows:
            scores = scores - values.gather(2, rows["against_id"][..., None])[..., 0]
        if "weight" in rows:
            return (scores * rows["weight"].to(scores.dtype)).sum(dim=1)
        return scores[:, 0]


def token_logits(output: Any, rows: RowTensors) -> Float[Tensor, "rows refs classes"]:
    """The logits at tokens, for an output with logits of shape (batch, tokens, classes).

    Parameters
    ----------
    output
        The output of the model.
    rows
        The row tensors, as :class:`Readout` describes them.

    Returns
    -------
    Float[Tensor, "rows refs classes"]

    Raises
    ------
    SaliencyError
        If the output has no such logits.

    Examples
    --------
    >>> import torch
    >>> import hf_saliency as hs
    >>> rows = {"text": torch.tensor([0]), "position": torch.tensor([[2]])}
    >>> hs.token_logits(torch.zeros(1, 4, 7), rows).shape
    torch.Size([1, 1, 7])
    """
    logits = hooks.tensor(
        output,
        "logits",
        3,
        "(batch, tokens, classes)",
        "load a model with a head that has logits for each token, such as "
        "AutoModelForMaskedLM.from_pretrained(name).",
    )
    text, position = (rows[name].to(logits.device) for name in ("text", "position"))
    return logits[text[:, None], position]


def text_logits(output: Any, rows: RowTensors) -> Float[Tensor, "rows refs classes"]:
    """The logits of a text, for an output with logits of shape (batch, labels).

    Parameters
    ----------
    output
        The output of the model.
    rows
        The row tensors, as :class:`Readout` describes them.

    Returns
    -------
    Float[Tensor, "rows refs classes"]

    Raises
    ------
    SaliencyError
        If the output has no such logits.

    Examples
    --------
    >>> import torch
    >>> import hf_saliency as hs
    >>> hs.text_logits(torch.zeros(1, 3), {"text": torch.tensor([0])}).shape
    torch.Size([1, 1, 3])
    """
    logits = hooks.tensor(
        output,
        "logits",
        2,
        "(batch, labels)",
        "load a classifier, such as AutoModelForSequenceClassification.from_pretrained(name). A head with one number "
        "for each text is explained by target=hs.Output(lambda output, inputs: ...).",
    )
    return logits[rows["text"].to(logits.device)][:, None]


def span_logits(output: Any, rows: RowTensors) -> Float[Tensor, "rows refs tokens"]:
    """The logits of a span's start, at position 0, and of its end, at position 1; each token is a class.

    Parameters
    ----------
    output
        The output of the model.
    rows
        The row tensors, as :class:`Readout` describes them.

    Returns
    -------
    Float[Tensor, "rows refs tokens"]

    Raises
    ------
    SaliencyError
        If the output has no start and end logits of shape (batch, tokens).

    Examples
    --------
    >>> import torch
    >>> import hf_saliency as hs
    >>> rows = {"text": torch.tensor([0]), "position": torch.tensor([[0, 1]])}
    >>> hs.span_logits((torch.zeros(1, 5), torch.ones(1, 5)), rows).shape
    torch.Size([1, 2, 5])
    """
    advice = "load AutoModelForQuestionAnswering.from_pretrained(name)."
    start, end = (
        hooks.tensor(output, name, 2, "(batch, tokens)", advice, place)
        for place, name in enumerate(("start_logits", "end_logits"))
    )
    text, position = (rows[name].to(start.device) for name in ("text", "position"))
    both = torch.stack([start, end.to(start.device)], dim=1)
    if "attention_mask" in rows:  # padding is not an answer
        seen = rows["attention_mask"].to(start.device)[text].bool()
        return both[text[:, None], position].masked_fill(~seen[:, None], torch.finfo(both.dtype).min)
    return both[text[:, None], position]
