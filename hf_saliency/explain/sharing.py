"""Sharing: the rows of a text that see the same tokens take their gradients from one forward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from captum.attr import GradientAttribution, LayerAttribution
from torch import Tensor

from hf_saliency.attribution.method import Method
from hf_saliency.errors import SaliencyError
from hf_saliency.score.batch import Batch
from hf_saliency.score.score import Score
from hf_saliency.targets.target import Row


def shares(attribution: Any, method: Method, score: Score, rows: Sequence[Row]) -> bool:
    """Whether rows of one text can share its forward pass: no masks, and a method of gradients at the text itself."""
    gradient = isinstance(attribution, GradientAttribution) and not isinstance(attribution, LayerAttribution)
    if not (method.at_input and gradient) or score.readout.mask_id is not None:
        return False
    # In half precision each row is scaled and may be repeated on its own.
    dtype = next(score.streams[0].module.parameters()).dtype
    autocast = torch.is_autocast_enabled(score.streams[0].device.type)
    if dtype not in (torch.float32, torch.float64) or autocast:
        return False
    several = len({id(row.encoding) for row in rows}) < len(rows)
    return several and not any(row.masked for row in rows)


@contextmanager
def shared(attribution: Any, score: Score, batch: Batch) -> Iterator[None]:
    """Let the rows of a batch share the forward passes of their texts, where they see the same tokens of these.

    Captum's gradient methods call their own ``gradient_func``; in here it is replaced.
    """
    text, first, place = batch.texts()
    if len(first) == len(text) or not _nested(batch, text.tolist(), first.tolist()):
        yield
        return
    gradient_func = attribution.gradient_func
    try:
        attribution.gradient_func = _gradients(score, gradient_func, batch, text, first, place)
        yield
    finally:
        attribution.gradient_func = gradient_func


def _check_causal(gradients: Sequence[Tensor], batch: Batch) -> None:
    """Refuse to leave out tokens that a score depends on, which a model may do for one text and not for another."""
    for part, gradient in enumerate(gradients):
        size = gradient.detach().abs().amax(dim=-1)
        pairs = zip(batch.rows, batch.columns, strict=True)
        seen = [size.shape[1] if row.length is None else len(columns[part]) for row, columns in pairs]
        lengths = torch.tensor(seen, device=size.device)
        after = torch.arange(size.shape[1], device=size.device) >= lengths[:, None]
        if bool((size.masked_fill(~after, 0.0).amax(dim=1) > 1e-6 * size.amax(dim=1)).any()):
            raise SaliencyError(
                "this model reads some texts from left to right and others, such as this one, both ways: explain this "
                "text first, with an Explainer of its own."
            )


def _nested(batch: Batch, text: Sequence[int], first: Sequence[int]) -> bool:
    """Whether each row sees the beginning of what the longest row of its text sees."""
    for columns, number in zip(batch.columns, text, strict=True):
        longest = batch.columns[first[number]]
        if any(list(part) != list(whole[: len(part)]) for part, whole in zip(columns, longest, strict=True)):
            return False
    return True


def _gradients(
    score: Score, alone: Callable[..., Any], batch: Batch, text: Tensor, first: Tensor, place: Tensor
) -> Callable[..., tuple[Tensor, ...]]:
    """A gradient function for Captum that evaluates each text once."""

    def gradients(
        forward: Any, inputs: tuple[Tensor, ...], target: Any = None, arguments: Any = None
    ) -> tuple[Tensor, ...]:
        sinks = [argument for argument in arguments if isinstance(argument, list)]
        counts = [len(sink) for sink in sinks]
        with torch.enable_grad():
            passed = score.shared_pass(text, first, *inputs, *arguments)
            tokens = sum(leaf.shape[0] * leaf.shape[1] for leaf in passed.leaves)
            at_once = len(text) if score.batch_tokens is None else max(1, score.batch_tokens // tokens)
            try:
                shares = passed.gradients(place, at_once)
                _check_causal(shares, batch)
                return shares
            except RuntimeError as error:
                if "vmap" not in str(error) and "batching rule" not in str(error).lower():
                    raise
                score.batched_derivatives = False  # an operation of this model has no batched derivative
                for sink, count in zip(sinks, counts, strict=True):
                    del sink[count:]
                return tuple(alone(forward, inputs, target, arguments))

    return gradients
