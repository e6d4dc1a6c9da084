"""Found: one row of a batch explained, from Captum's tensors to NumPy."""

from __future__ import annotations

import contextlib
import functools
import itertools
import random
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from captum.attr import GradientAttribution, LayerAttribution
from jaxtyping import Float
from torch import Tensor, nn

from hf_saliency.adapter.hooks import borrowed
from hf_saliency.adapter.text_model import TextModel
from hf_saliency.attribution.method import REDUCE, Call, Method
from hf_saliency.errors import Feature, SaliencyError, described, out_of_memory
from hf_saliency.score import batch as features
from hf_saliency.score.baselines import Baseline, ReadTexts
from hf_saliency.score.batch import Batch
from hf_saliency.score.score import Outcome, Score
from hf_saliency.targets.target import Row


def shares(attribution: Any, method: Method, score: Score, rows: Sequence[Row]) -> bool:
    """Whether rows of one text can share its forward pass: unmasked, and gradients at the text itself wanted.

    Parameters
    ----------
    attribution
        What the method built.
    method
        The method.
    score
        What is explained.
    rows
        The rows.

    Returns
    -------
    bool
    """
    gradient = isinstance(attribution, GradientAttribution) and not isinstance(attribution, LayerAttribution)
    if not (method.at_input and gradient) or score.reading.mask_id is not None:
        return False
    # In half precision each row is scaled and may be repeated on its own.
    dtype = next(score.streams[0].module.parameters()).dtype
    autocast = torch.is_autocast_enabled(score.streams[0].device.type)
    if dtype not in (torch.float32, torch.float64) or autocast:
        return False
    several = len({id(row.encoding) for row in rows}) < len(rows)
    return several and not any(row.masked for row in rows)


@contextlib.contextmanager
def shared(attribution: Any, score: Score, batch: Batch) -> Iterator[None]:
    """Let the rows of a batch share the forward passes of their texts, where they see the same of these.

    Captum's gradient methods take their gradients from ``gradient_func``, which is another one in here.

    Parameters
    ----------
    attribution
        A gradient attribution built on the score.
    score
        What is explained.
    batch
        The rows.
    """
    text, first, place = batch.texts()
    if len(first) == len(text) or not _nested(batch, text.tolist(), first.tolist()):
        yield
        return
    given = attribution.gradient_func
    attribution.gradient_func = _gradients(score, given, batch, text, first, place)
    try:
        yield
    finally:
        attribution.gradient_func = given


def _check_causal(found: Sequence[Tensor], batch: Batch) -> None:
    """Refuse to leave out tokens that a score depends on, which a model may do for one text and not for another."""
    for part, gradients in enumerate(found):
        size = gradients.detach().abs().amax(dim=-1)
        pairs = zip(batch.rows, batch.columns, strict=True)
        seen = [size.shape[1] if row.length is None else len(own[part]) for row, own in pairs]
        lengths = torch.tensor(seen, device=size.device)
        after = torch.arange(size.shape[1], device=size.device) >= lengths[:, None]
        if bool((size.masked_fill(~after, 0.0).amax(dim=1) > 1e-6 * size.amax(dim=1)).any()):
            raise SaliencyError(
                "this model reads some texts from left to right and others, such as this one, both ways: explain this "
                "text first, with an Explainer of its own."
            )


def _nested(batch: Batch, text: Sequence[int], first: Sequence[int]) -> bool:
    """Whether each row sees the beginning of what the longest row of its text sees."""
    for own, number in zip(batch.columns, text, strict=True):
        longest = batch.columns[first[number]]
        if any(list(part) != list(whole[: len(part)]) for part, whole in zip(own, longest, strict=True)):
            return False
    return True


def _gradients(
    score: Score, alone: Callable[..., Any], batch: Batch, text: Tensor, first: Tensor, place: Tensor
) -> Callable[..., tuple[Tensor, ...]]:
    """A gradient function for Captum that evaluates each text once."""

    def gradients(
        forward: Any, inputs: tuple[Tensor, ...], target: Any = None, arguments: Any = None
    ) -> tuple[Tensor, ...]:
        sinks = [one for one in arguments if isinstance(one, list)]
        counts = [len(sink) for sink in sinks]
        with torch.enable_grad():
            done = score.shared_pass(text, first, *inputs, *arguments)
            tokens = sum(one.shape[0] * one.shape[1] for one in done.leaves)
            at_once = len(text) if score.batch_tokens is None else max(1, score.batch_tokens // tokens)
            try:
                found = done.gradients(place, at_once)
                _check_causal(found, batch)
                return found
            except RuntimeError as error:
                if "vmap" not in str(error) and "batching rule" not in str(error).lower():
                    raise
                score.batched_derivatives = False  # an operation of this model has no batched derivative
                for sink, count in zip(sinks, counts, strict=True):
                    del sink[count:]
                return tuple(alone(forward, inputs, target, arguments))

    return gradients


_lock = threading.Lock()  # the generators belong to the process


@contextmanager
def seeded(*seed: int) -> Iterator[None]:
    """Torch, NumPy and Python draw from these seeds in here, and go on afterwards as if nothing had been drawn.

    Parameters
    ----------
    *seed
        Whole numbers, 0 or more; others give other numbers.

    Yields
    ------
    None
    """
    words = np.random.SeedSequence(seed).generate_state(4)
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    with _lock, torch.random.fork_rng(devices):
        kept = np.random.get_state(), random.getstate()
        try:
            torch.manual_seed(int(words[0]) << 32 | int(words[1]))
            np.random.seed(words)
            random.seed(int(words[2]))
            yield
        finally:
            np.random.set_state(kept[0])
            random.setstate(kept[1])


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
            f"a reduction, one of {', '.join(REDUCE)}."
        )
    return REDUCE[method.reduction](values)


def _deltas(raw: Sequence[Tensor], delta: Tensor) -> list[tuple[float, float]]:
    """Each row's delta, the mean where a method gives one a sample, and the difference that it is of."""
    count = len(raw[0])
    own = delta.detach().double().cpu().reshape(count, -1).mean(dim=1)
    total = torch.stack([one.double().cpu().reshape(count, -1).sum(dim=1) for one in raw]).sum(dim=0)
    return list(zip(own.tolist(), (total - own).tolist(), strict=True))
