"""Found: one row of a batch explained, from Captum's tensors to NumPy."""

from __future__ import annotations

import contextlib
import functools
import itertools
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from hf_saliency.adapter import features
from hf_saliency.adapter.baseline import Baseline, ReadTexts
from hf_saliency.adapter.batch import Batch
from hf_saliency.adapter.hooks import borrowed
from hf_saliency.adapter.outcome import Outcome
from hf_saliency.adapter.score import Score
from hf_saliency.adapter.text_model import TextModel
from hf_saliency.attribution.method import Call, Method
from hf_saliency.attribution.reductions import REDUCTIONS
from hf_saliency.attribution.sampling import seeded
from hf_saliency.errors import SaliencyError
from hf_saliency.failures import described, out_of_memory
from hf_saliency.shared_gradients import shared
from hf_saliency.terms import Feature


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
    class_ids
        Whose score that is, for each number that it is the sum of.
    predictions
        The most probable classes and their probabilities, best first; empty where there are several numbers.
    delta
        By how much the attribution misses the difference of scores that it should add up to, and that
        difference; None for a method without completeness.
    """

    columns: Sequence[int]
    values: np.ndarray
    score: float
    class_ids: tuple[int, ...]
    predictions: tuple[tuple[int, float], ...]
    delta: tuple[float, float] | None = None


def attributed(
    attribution: Any,
    method: Method,
    score: Score,
    model: TextModel,
    batch: Batch,
    batch_tokens: int,
    read: ReadTexts,
    *,
    share: bool,
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
    read
        How the target encodes texts.
    share
        Whether rows of a text may share its forward pass.

    Returns
    -------
    list of Found
    """
    sink: list[Outcome] = []
    tensors = batch.tensors
    if not method.at_input:  # the score is evaluated elsewhere too, so the class must be known before
        tensors, outcome = score.with_classes(batch.embeds, tensors)
        sink.append(outcome)
    # Leaves that require a gradient, since Captum warns about others.
    embeds = tuple(stream.requires_grad_() for stream in batch.embeds)
    arguments = dict(method.call(_call(attribution, model, batch, batch_tokens, read)))
    complete = attribution.has_convergence_delta()
    if complete:
        arguments["return_convergence_delta"] = True
    draws = method.draws(attribution)
    position = batch.rows[0].position or 0
    with contextlib.ExitStack() as stack:
        # Over the backward pass as well, in which checkpointed layers are run again.
        stack.enter_context(borrowed(model.model))
        if draws:
            stack.enter_context(seeded(method.seed or 0, position))
        if share and score.batched_derivatives:
            stack.enter_context(shared(attribution, score, batch))
        try:
            result = attribution.attribute(
                embeds if len(embeds) > 1 else embeds[0],
                additional_forward_args=(*tensors, sink) if method.at_input else tensors,
                **arguments,
            )
        except Exception as error:
            refusal = _refusal(error, method, model)
            if refusal is None:
                raise
            raise refusal from error
    result, delta = result if complete else (result, None)
    raw = _streams(result, method, batch)
    deltas = [None] * len(raw[0]) if delta is None else _deltas(raw, delta)
    values = [_reduced(one, method).detach() for one in raw]
    return _found(batch, values, sink[-1], deltas)


def _refusal(error: Exception, method: Method, model: TextModel) -> SaliencyError | None:
    """What to raise in the place of an error, which says where it came from; None to leave it as it is."""
    if isinstance(error, SaliencyError) or out_of_memory(error):
        return None
    refuses = isinstance(error, (AssertionError, TypeError, ValueError))  # as Captum and scikit-learn do
    own = ", ".join(name for name in model.inputs if name != "use_cache")
    if _within(error, model.model) and (refuses or own):
        return SaliencyError(
            f"{type(model.model).__name__}.forward raised {described(error)} Check that the target fits this model"
            + (f", and inputs= ({own})." if own else ".")
        )
    if isinstance(error, RuntimeError) and "does not require grad" in str(error):
        return SaliencyError(
            "the score does not depend on the embeddings: compute it from the model's output without detach(), "
            "no_grad() or indices."
        )
    if isinstance(error, RuntimeError) and "use_reentrant=True" in str(error):
        return SaliencyError(
            f"{type(model.model).__name__} has reentrant activation checkpoints, through which no gradient in the "
            "embeddings can be taken: checkpoint with use_reentrant=False, or switch checkpoints off."
        )
    if not refuses:
        return None
    given = ", ".join(f"{key}={value!r}" for key, value in method.arguments.items())
    reason = " ".join(str(error).split()) or type(error).__name__
    return SaliencyError(
        f"{method.name}({given}) could not be computed: {reason[:300]} Check its arguments, and whether the model's "
        "scores are finite."
    )


def _within(error: Exception, module: nn.Module) -> bool:
    """Whether an error was raised in a call of a module."""
    return any(frame.f_locals.get("self") is module for frame, _ in traceback.walk_tb(error.__traceback__))


def _found(
    batch: Batch, values: Sequence[Tensor], outcome: Outcome, deltas: Sequence[tuple[float, float] | None]
) -> list[Found]:
    """What each row gave, the columns of its streams one after the other."""
    arrays = [(one if one.dtype == torch.float64 else one.float()).cpu().numpy() for one in values]
    classes, chances = outcome.classes.tolist(), outcome.probabilities.tolist()
    found = []
    for i, (row, own) in enumerate(zip(batch.rows, batch.columns, strict=True)):
        single = len(row.reads) == 1
        found.append(
            Found(
                [column for columns in own for column in columns],
                np.concatenate([one[i, : len(columns)] for one, columns in zip(arrays, own, strict=True)]),
                float(outcome.scores[i]),
                tuple(outcome.class_ids[i, : len(row.reads)].tolist()),
                tuple(zip(classes[i][0], chances[i][0], strict=True)) if single else (),
                deltas[i],
            )
        )
    return found


def _call(attribution: Any, model: TextModel, batch: Batch, batch_tokens: int, read: ReadTexts) -> Call:
    kept = functools.cache(lambda: features.kept(model, batch))

    def baselines(given: Any) -> Any:
        embeds = Baseline.of(given, model).embeds(model, batch, kept(), read)
        return embeds if len(embeds) > 1 else embeds[0]

    count = len(batch.rows)

    def feature_mask(feature: Feature) -> Any:
        numbers = features.feature_mask(batch, kept(), feature)
        return numbers if len(numbers) > 1 else numbers[0]

    return Call(attribution, batch.embeds, max(count, batch_tokens // batch.tokens), baselines, feature_mask)


def _streams(result: Any, method: Method, batch: Batch) -> list[Tensor]:
    """The attribution of each stream, (batch, tokens, width) or (batch, tokens)."""
    found = list(result) if isinstance(result, (tuple, list)) else [result]
    for values, embeds in itertools.zip_longest(found, batch.embeds):
        shape = () if embeds is None else tuple(embeds.shape)
        if not isinstance(values, Tensor) or tuple(values.shape) not in (shape, shape[:2]):
            given = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise SaliencyError(
                f"the method {method.name} gives {given} for embeddings of shape {shape}: expected the same shape, or "
                f"{shape[:2]}."
            )
    return [values.detach() for values in found]


def _reduced(values: Tensor, method: Method) -> Float[Tensor, "batch tokens"]:
    if values.dim() == 2:
        return values
    if method.reduction is None:
        raise SaliencyError(
            f"the method {method.name} gives {tuple(values.shape)}, one number for each embedding dimension: name "
            f"a reduction, one of {', '.join(REDUCTIONS)}."
        )
    return REDUCTIONS[method.reduction](values)


def _deltas(raw: Sequence[Tensor], delta: Tensor) -> list[tuple[float, float]]:
    """Each row's delta, the mean where a method gives one a sample, and the difference that it is of."""
    count = len(raw[0])
    own = delta.detach().double().cpu().reshape(count, -1).mean(dim=1)
    total = torch.stack([one.double().cpu().reshape(count, -1).sum(dim=1) for one in raw]).sum(dim=0)
    return list(zip(own.tolist(), (total - own).tolist(), strict=True))
