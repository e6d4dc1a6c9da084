"""Found: one row of a batch explained, from Captum's tensors to NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hf_saliency.adapter.batch import Batch
from hf_saliency.adapter.score import Outcome, Score
from hf_saliency.attribution.methods import Method
from hf_saliency.attribution.reductions import REDUCTIONS
from hf_saliency.errors import SaliencyError


@dataclass(frozen=True)
class Found:
    """What is known of a row once it is done.

    Parameters
    ----------
    columns
        The tokens of its text that the model saw.
    values
        The scores of these.
    score
        What was explained, in the target's unit.
    class_id
        Whose score that is.
    predictions
        The most probable classes and their probabilities, best first.
    """

    columns: Sequence[int]
    values: np.ndarray
    score: float
    class_id: int
    predictions: tuple[tuple[int, float], ...]


def attributed(attribution: Any, method: Method, score: Score, batch: Batch) -> list[Found]:
    """One batch through Captum, and what each of its rows gave."""
    sink: list[Outcome] = []
    rows = batch.rows
    if not method.at_input:  # the score is evaluated elsewhere too, so the class must be known before
        with torch.no_grad():
            score(*batch.embeds, *rows, sink)
        class_id = score.names.index("class_id")
        rows = (*rows[:class_id], sink[0].class_ids, *rows[class_id + 1 :])
    # Leaves that require a gradient, since Captum warns about others.
    embeds = tuple(stream.requires_grad_() for stream in batch.embeds)
    inputs: Any = embeds if len(embeds) > 1 else embeds[0]
    extra = (*rows, sink) if method.at_input else rows
    result = attribution.attribute(inputs, additional_forward_args=extra)
    values = _reduced(result, method, batch).detach()
    outcome = sink[-1]
    values = values.cpu() if values.dtype == torch.float64 else values.float().cpu()
    return [
        Found(
            columns, row[: len(columns)].numpy(), value, class_id, tuple(zip(classes, chances, strict=True))
        )
        for columns, row, value, class_id, classes, chances in zip(
            batch.columns,
            values,
            outcome.scores.tolist(),
            outcome.class_ids.tolist(),
            outcome.classes.tolist(),
            outcome.probabilities.tolist(),
            strict=True,
        )
    ]


def _reduced(result: Any, method: Method, batch: Batch) -> Tensor:
    """The attribution as (batch, tokens)."""
    (values,) = result if isinstance(result, (tuple, list)) else (result,)
    shape = tuple(batch.embeds[0].shape)
    if method.reduction is not None and isinstance(values, Tensor) and tuple(values.shape) == shape:
        values = REDUCTIONS[method.reduction](values)
    if not isinstance(values, Tensor) or tuple(values.shape) != shape[:2]:
        given = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise SaliencyError(
            f"the method {method.name} gives {given} for embeddings of shape {shape}: expected the same shape, or "
            f"{shape[:2]}."
        )
    return values
