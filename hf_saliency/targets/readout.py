"""Readings: what a target reads from a model's output, as rows of logits, and how these become a score."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from hf_saliency.adapter import hooks
from hf_saliency.adapter.layouts import ONE_SEQUENCE, Layout
from hf_saliency.errors import SaliencyError, Unit

Activation = Literal["softmax", "sigmoid", "none"]
Rows = Mapping[str, Tensor]
Logits = Callable[[Any, Rows], Float[Tensor, "rows reads classes"]]


@dataclass(frozen=True)
class Reading:
    """From a model's output to the score of each row.

    Parameters
    ----------
    logits
        From the output and the row tensors to the rows of logits that are read. ``rows["position"]`` (rows,
        reads) says which; ``rows["text"]`` (rows,) in which row of the output, which is its own unless rows
        share a forward pass.
    unit
        What the score is measured in.
    activation
        What makes probabilities of logits; "none" for numbers that are in their unit already.
    part
        The sequence whose tokens have the logits, or None where they belong to no token. A model's head then
        sees the hidden states of these tokens alone.
    layout
        How sequences enter the model.
    mask_id
        Where a row's reads are each made with their own token masked, one pass a read: the mask's id.
    labels_at_end
        How many labels a classifier has that scores the last token and does not know padding; 0 for others.
    names
        Whether the classes are something that predictions can be named by.
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
        """What the model takes each class for."""
        if self.activation == "none":
            return logits
        return logits.sigmoid() if self.activation == "sigmoid" else logits.softmax(dim=-1)

    def scores(self, logits: Float[Tensor, "rows reads classes"], rows: Rows) -> Float[Tensor, " rows"]:
        """The sum of what is read, in the reading's unit, with contrasts subtracted; refuses classes beyond them."""
        for name in ("class_id", "against_id"):
            if name in rows and (largest := int(rows[name].max())) >= logits.shape[-1]:
                raise SaliencyError(
                    f"the model gives {logits.shape[-1]} logits, numbered from 0, where this target reads number "
                    f"{largest}: give a class that it has, or the target that its head is for."
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


def token_logits(output: Any, rows: Rows) -> Float[Tensor, "rows reads classes"]:
    """The logits at tokens."""
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


def text_logits(output: Any, rows: Rows) -> Float[Tensor, "rows reads classes"]:
    """The logits of a text."""
    logits = hooks.tensor(
        output,
        "logits",
        2,
        "(batch, labels)",
        "load a classifier, such as AutoModelForSequenceClassification.from_pretrained(name).",
    )
    return logits[rows["text"].to(logits.device)][:, None]


def span_logits(output: Any, rows: Rows) -> Float[Tensor, "rows reads tokens"]:
    """The logits of a span's start, at position 0, and of its end, at position 1; a class is a token."""
    advice = "load AutoModelForQuestionAnswering.from_pretrained(name)."
    start, end = (
        hooks.tensor(output, name, 2, "(batch, tokens)", advice, place)
        for place, name in enumerate(("start_logits", "end_logits"))
    )
    text, position = (rows[name].to(start.device) for name in ("text", "position"))
    both = torch.stack([start, end.to(start.device)], dim=1)
    if "attention_mask" in rows:  # padding is no answer
        seen = rows["attention_mask"].to(start.device)[text].bool()
        return both[text[:, None], position].masked_fill(~seen[:, None], torch.finfo(both.dtype).min)
    return both[text[:, None], position]
