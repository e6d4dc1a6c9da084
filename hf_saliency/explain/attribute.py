"""One batch of rows through Captum: from embeddings to the scores of each row in NumPy."""

from __future__ import annotations

import contextlib
import copy
import functools
import itertools
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from captum.attr import GradientAttribution, LayerAttribution
from jaxtyping import Float
from torch import Tensor, nn

from hf_saliency.adapter.guards import borrowed, seeded
from hf_saliency.adapter.text_model import TextModel
from hf_saliency.attribution.method import REDUCE, Call, Method
from hf_saliency.attribution.vocabulary import Vocabulary
from hf_saliency.errors import Feature, SaliencyError, out_of_memory
from hf_saliency.score.baselines import Baseline, EncodeLike
from hf_saliency.score.batch import Batch, kept
from hf_saliency.score.features import feature_mask
from hf_saliency.score.passes import PassResult
from hf_saliency.score.score import Score
from hf_saliency.score.sharing import SharedGradients
from hf_saliency.targets.target import Row, Target


@dataclass(frozen=True)
class RowResult:
    """The result of one row: the scores of the tokens that the model saw, and the score that they explain."""

    columns: Sequence[int]  # the tokens' numbers in the text
    values: np.ndarray
    score: float  # in the target's unit
    class_ids: tuple[int, ...]  # one for each logit that is read
    # The most probable classes and their probabilities, best first; empty where a row reads several classes.
    predictions: tuple[tuple[int, float], ...]
    # The convergence delta and the difference that the scores should add up to; None for a method without
    # completeness.
    delta: tuple[float, float] | None = None
    # The probability of the class, and of the class that is subtracted; None for several classes, or none.
    probability: float | None = None
    against_probability: float | None = None

    @property
    def is_finite(self) -> bool:
        """Whether the score and all values are numbers."""
        return bool(np.isfinite(self.score) and np.isfinite(self.values).all())


@dataclass(frozen=True)
class BuiltMethod:
    """A method built for one score, which turns batches of rows into their results."""

    method: Method
    attribution: Any
    score: Score
    model: TextModel
    encode_like: EncodeLike
    shares: bool  # whether rows of one text may take one forward pass together

    @classmethod
    def of(
        cls, method: Method, score: Score, model: TextModel, target: Target, rows: Sequence[Row]
    ) -> BuiltMethod:
        """Build the method for a score and the rows to explain."""
        attribution = method.build(score, [Vocabulary(stream.module) for stream in score.streams])
        encode_like = functools.partial(target.encode_like, model=model)
        shares = _shares(attribution, method, score, rows)
        return cls(method, attribution, score, model, encode_like, shares)

    def results(self, batch: Batch, batch_tokens: int) -> list[RowResult]:
        """Return the result of each row of a batch."""
        method, score, attribution = self.method, self.score, self.attribution
        sink: list[PassResult] = []
        tensors = batch.tensors
        if not method.at_input:  # the score is evaluated elsewhere too, so the class must be known first
            tensors, passed = score.with_classes(batch.embeds, tensors)
            sink.append(passed)
        # Leaves that require a gradient, since Captum warns about others.
        embeds = tuple(stream.requires_grad_() for stream in batch.embeds)
        arguments = dict(method.call(self._call(batch, batch_tokens)))
        complete = attribution.has_convergence_delta()
        if complete:
            arguments["return_convergence_delta"] = True
        if self.shares and score.batched_derivatives:
            gradients = SharedGradients.of(score, batch, attribution.gradient_func)
            if gradients is not None:
                # Captum's gradient methods call their own `gradient_func`. The method may be the user's: change a copy.
                attribution = copy.copy(attribution)
                attribution.gradient_func = gradients
        with contextlib.ExitStack() as stack:
            # The guard covers the backward pass, too, which runs checkpointed layers again.
            stack.enter_context(borrowed(self.model.model))
            if method.draws(attribution):
                stack.enter_context(seeded(method.seed or 0, batch.rows[0].position or 0))
            try:
                result = attribution.attribute(
                    embeds if len(embeds) > 1 else embeds[0],
                    additional_forward_args=(*tensors, sink) if method.at_input else tensors,
                    **arguments,
                )
            except Exception as error:
                refusal = _refusal(error, method, self.model)
                if refusal is None:
                    raise
                raise refusal from error
        result, delta = result if complete else (result, None)
        attributions = _streams(result, method, batch)
        deltas = [None] * len(attributions[0]) if delta is None else _deltas(attributions, delta)
        return _row_results(batch, [_reduced(values, method) for values in attributions], sink[-1], deltas)

    def _call(self, batch: Batch, batch_tokens: int) -> Call:
        """The parts of a batch that a method may request: baselines, a feature mask, the number of rows per pass."""
        fixed = functools.cache(lambda: kept(self.model, batch))

        def baselines(baseline: Any) -> Any:
            embeds = Baseline.of(baseline, self.model).embeds(self.model, batch, fixed(), self.encode_like)
            return embeds if len(embeds) > 1 else embeds[0]

        def features(feature: Feature) -> Any:
            numbers = feature_mask(batch, fixed(), feature)
            return numbers if len(numbers) > 1 else numbers[0]

        rows_at_once = max(len(batch.rows), batch_tokens // batch.tokens)
        return Call(self.attribution, batch.embeds, rows_at_once, baselines, features)


def _shares(attribution: Any, method: Method, score: Score, rows: Sequence[Row]) -> bool:
    """Whether rows of one text can share its forward pass: without masks, for a gradient method at the text itself."""
    gradient = isinstance(attribution, GradientAttribution) and not isinstance(attribution, LayerAttribution)
    if not (method.at_input and gradient) or score.readout.mask_id is not None:
        return False
    # In half precision each row is scaled separately, and may be repeated alone.
    dtype = next(score.streams[0].module.parameters()).dtype
    autocast = torch.is_autocast_enabled(score.streams[0].device.type)
    if dtype not in (torch.float32, torch.float64) or autocast:
        return False
    several = len({id(row.encoding) for row in rows}) < len(rows)
    return several and not any(row.masked for row in rows)


def _streams(result: Any, method: Method, batch: Batch) -> list[Tensor]:
    """Return the attribution of each stream, (batch, tokens, width) or (batch, tokens)."""
    attributions = list(result) if isinstance(result, (tuple, list)) else [result]
    for values, embeds in itertools.zip_longest(attributions, batch.embeds):
        shape = () if embeds is None else tuple(embeds.shape)
        if not isinstance(values, Tensor) or tuple(values.shape) not in (shape, shape[:2]):
            returned = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise SaliencyError(
                f"the method {method.name} returned {returned} for embeddings of shape {shape}: expected the same "
                f"shape, or {shape[:2]}."
            )
    return [values.detach() for values in attributions]


def _reduced(values: Tensor, method: Method) -> Float[Tensor, "batch tokens"]:
    """Return one number per token, by the method's reduction over the width."""
    if values.dim() == 2:
        return values
    if method.reduction is None:
        raise SaliencyError(
            f"the method {method.name} returned {tuple(values.shape)}, one number for each embedding dimension: "
            f"name a reduction, one of {', '.join(REDUCE)}."
        )
    return REDUCE[method.reduction](values)


def _deltas(attributions: Sequence[Tensor], delta: Tensor) -> list[tuple[float, float]]:
    """Return each row's delta (the mean if there is one per sample), and the sum that the scores should have."""
    count = len(attributions[0])
    deltas = delta.detach().double().cpu().reshape(count, -1).mean(dim=1)
    sums = torch.stack([values.double().cpu().reshape(count, -1).sum(dim=1) for values in attributions])
    return list(zip(deltas.tolist(), (sums.sum(dim=0) - deltas).tolist(), strict=True))


def _row_results(
    batch: Batch, values: Sequence[Tensor], passed: PassResult, deltas: Sequence[tuple[float, float] | None]
) -> list[RowResult]:
    """Return the result of each row, with the columns of its streams one after the other."""
    arrays = [
        (tensor if tensor.dtype == torch.float64 else tensor.float()).detach().cpu().numpy()
        for tensor in values
    ]
    classes, chances = passed.classes.tolist(), passed.probabilities.tolist()
    scores, class_ids = passed.scores.tolist(), passed.class_ids.tolist()
    of_class, of_against = passed.class_probabilities.tolist(), passed.against_probabilities.tolist()
    results = []
    for i, (row, parts) in enumerate(zip(batch.rows, batch.columns, strict=True)):
        single = len(row.refs) == 1
        results.append(
            RowResult(
                [column for columns in parts for column in columns],
                np.concatenate(
                    [array[i, : len(columns)] for array, columns in zip(arrays, parts, strict=True)]
                ),
                scores[i],
                tuple(class_ids[i][: len(row.refs)]),
                tuple(zip(classes[i][0], chances[i][0], strict=True)) if single else (),
                deltas[i],
                of_class[i][0] if single and of_class[i] else None,
                of_against[i][0] if single and of_against[i] else None,
            )
        )
    return results


def _refusal(error: Exception, method: Method, model: TextModel) -> SaliencyError | None:
    """Return an error that explains the cause of another one; None to leave that one unchanged."""
    if isinstance(error, SaliencyError) or out_of_memory(error):
        return None
    refuses = isinstance(error, (AssertionError, TypeError, ValueError))  # as Captum and scikit-learn do
    constants = ", ".join(name for name in model.inputs if name != "use_cache")
    if (refuses or constants or isinstance(error, (ImportError, KeyError))) and _within(error, model.model):
        return model.failure(error, f", and inputs= ({constants})" if constants else "")
    if isinstance(error, RuntimeError) and "does not require grad" in str(error):
        return SaliencyError(
            "the score does not depend on the embeddings: compute it from the model's output without detach(), "
            "no_grad() or indices.",
            page="tasks/own_heads#your-own-heads-and-targets",
        )
    if isinstance(error, RuntimeError) and "Inference tensors cannot" in str(error):
        return SaliencyError(
            f"weights of {type(model.model).__name__} were made under torch.inference_mode(), and autograd cannot use "
            "them: load or set them outside of that mode."
        )
    if isinstance(error, RuntimeError) and "use_reentrant=True" in str(error):
        return SaliencyError(
            f"{type(model.model).__name__} has reentrant activation checkpoints, which pass no gradient on to the "
            "embeddings: checkpoint with use_reentrant=False, or switch checkpoints off."
        )
    if not refuses:
        return None
    arguments = ", ".join(f"{key}={value!r}" for key, value in method.arguments.items())
    reason = " ".join(str(error).split()) or type(error).__name__
    return SaliencyError(
        f"{method.name}({arguments}) could not be computed: {reason[:300]} Check its arguments, and whether the "
        "model's scores are finite."
    )


def _within(error: Exception, module: nn.Module) -> bool:
    """Whether an error was raised in a call of a module."""
    return any(frame.f_locals.get("self") is module for frame, _ in traceback.walk_tb(error.__traceback__))
