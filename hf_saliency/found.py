"""Found: one row of a batch explained, from Captum's tensors to NumPy."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hf_saliency.adapter import features
from hf_saliency.adapter.baselines import Baseline
from hf_saliency.adapter.batch import Batch
from hf_saliency.adapter.score import Outcome, Score
from hf_saliency.adapter.text_model import TextModel
from hf_saliency.attribution.method import Call, Method
from hf_saliency.attribution.reductions import REDUCTIONS
from hf_saliency.attribution.sampling import seeded
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
    delta
        By how much the attribution misses the difference of scores that it should add up to, and that
        difference; None for a method without completeness.
    """

    columns: Sequence[int]
    values: np.ndarray
    score: float
    class_id: int
    predictions: tuple[tuple[int, float], ...]
    delta: tuple[float, float] | None = None


def attributed(
    attribution: Any, method: Method, score: Score, model: TextModel, batch: Batch, batch_tokens: int
) -> list[Found]:
    """One batch through Captum, and what each of its rows gave.

    Parameters
    ----------
    attribution
        What the method built on the score.
    method
        The method.
    score
        What is explained.
    model
        The model.
    batch
        The rows.
    batch_tokens
        How many tokens one pass may hold.

    Returns
    -------
    list of Found
    """
    sink: list[Outcome] = []
    rows = batch.rows
    if not method.at_input:  # the score is evaluated elsewhere too, so the class must be known before
        with torch.no_grad():
            score(*batch.embeds, *rows, sink)
        class_id = score.names.index("class_id")
        rows = (*rows[:class_id], sink[0].class_ids, *rows[class_id + 1 :])
    # Leaves that require a gradient, since Captum warns about others.
    embeds = tuple(stream.requires_grad_() for stream in batch.embeds)
    arguments = dict(method.call(_call(attribution, model, batch, batch_tokens)))
    complete = attribution.has_convergence_delta()
    if complete:
        arguments["return_convergence_delta"] = True
    draws = method.draws(attribution)
    position = batch.targets[0].position
    with seeded(method.seed or 0, position) if draws else contextlib.nullcontext():
        result = attribution.attribute(
            embeds if len(embeds) > 1 else embeds[0],
            additional_forward_args=(*rows, sink) if method.at_input else rows,
            **arguments,
        )
    result, delta = result if complete else (result, None)
    raw = _one(result, method, batch)
    deltas = [None] * len(raw) if delta is None else _deltas(raw, delta)
    values = _reduced(raw, method, batch).detach()
    values = values.cpu() if values.dtype == torch.float64 else values.float().cpu()
    outcome = sink[-1]
    return [
        Found(
            columns,
            row[: len(columns)].numpy(),
            value,
            class_id,
            tuple(zip(classes, chances, strict=True)),
            d,
        )
        for columns, row, value, class_id, classes, chances, d in zip(
            batch.columns,
            values,
            outcome.scores.tolist(),
            outcome.class_ids.tolist(),
            outcome.classes.tolist(),
            outcome.probabilities.tolist(),
            deltas,
            strict=True,
        )
    ]


def _call(attribution: Any, model: TextModel, batch: Batch, batch_tokens: int) -> Call:
    kept = functools.cache(lambda: features.kept(model, batch))

    def baselines(given: Any) -> Any:
        embeds = Baseline.of(given, model).embeds(model, batch, kept())
        return embeds if len(embeds) > 1 else embeds[0]

    count, tokens = batch.ids.shape
    return Call(
        attribution,
        batch.embeds,
        max(count, batch_tokens // tokens),
        baselines,
        lambda feature: features.feature_mask(batch, kept(), feature),
    )


def _one(result: Any, method: Method, batch: Batch) -> Tensor:
    """The attribution, (batch, tokens, width) or (batch, tokens)."""
    (values,) = result if isinstance(result, (tuple, list)) and len(result) == 1 else (result,)
    shape = tuple(batch.embeds[0].shape)
    if not isinstance(values, Tensor) or tuple(values.shape) not in (shape, shape[:2]):
        given = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise SaliencyError(
            f"the method {method.name} gives {given} for embeddings of shape {shape}: expected the same shape, or "
            f"{shape[:2]}."
        )
    return values.detach()


def _reduced(values: Tensor, method: Method, batch: Batch) -> Float[Tensor, "batch tokens"]:
    if values.dim() == 2:
        return values
    if method.reduction is None:
        raise SaliencyError(
            f"the method {method.name} gives {tuple(values.shape)}, one number for each embedding dimension: name "
            f"a reduction, one of {', '.join(REDUCTIONS)}."
        )
    return REDUCTIONS[method.reduction](values)


def _deltas(raw: Tensor, delta: Tensor) -> list[tuple[float, float]]:
    """Each row's delta, the mean where a method gives one a sample, and the difference that it is of."""
    own = delta.detach().double().cpu().reshape(len(raw), -1).mean(dim=1)
    total = raw.detach().double().cpu().reshape(len(raw), -1).sum(dim=1)
    return list(zip(own.tolist(), (total - own).tolist(), strict=True))
