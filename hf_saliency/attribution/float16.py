"""RowScale: keeps the gradients of a float16 pass in range, by one power of two a row."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from hf_saliency.errors import SaliencyError

_START = 2.0**10
_TRIES = 6
# A row is in range if its largest scaled gradient is finite and at least _LOW: float16 reaches down to 2**-14
# with all its digits, so that tokens 2**16 times less important keep theirs. Else it is brought near _AIM.
_LOW, _AIM = 2.0**2, 2.0**10
# Steps for a row that vanished and for one that overflowed, neither of which says by how much.
_RAISE, _LOWER = 2.0**20, 2.0**-12
# The largest scale: of a float16 score, whose own gradient is the scale, and of any other.
_LIMIT_FLOAT16, _LIMIT = 2.0**15, 2.0**60


class RowScale:
    """A forward function whose float16 passes return each row's score times a power of two, in float32.

    Parameters
    ----------
    forward_func
        From tensors to scores (batch, ...).
    in_float16
        Called after each forward pass: whether that pass was in float16. Other passes stay as they are.
    """

    def __init__(self, forward_func: Callable[..., object], in_float16: Callable[[], bool]) -> None:
        self.forward_func = forward_func
        self.in_float16 = in_float16
        self.scale: Float[Tensor, " batch"] | None = None
        self.limit = _LIMIT
        # Captum reads both off a forward function: whether it takes arguments, and DataParallel's devices.
        self.__signature__ = inspect.signature(forward_func)
        self.device_ids = getattr(forward_func, "device_ids", None)

    def __call__(self, *arguments: object) -> Float[Tensor, "batch ..."]:
        """The scores, scaled after a pass in float16; refuses what is no tensor of scores."""
        scores = self.forward_func(*arguments)
        if not isinstance(scores, Tensor) or scores.dim() == 0:
            kind = "a number" if isinstance(scores, Tensor) else f"a {type(scores).__name__}"
            raise SaliencyError(
                f"forward_func returned {kind}, but Captum needs a tensor with one row for each row of the "
                "input: wrap the model, for example lambda ids: model(ids).logits."
            )
        if not self.in_float16():
            return scores
        if self.scale is None:
            self.scale = torch.full((len(scores),), _START, device=scores.device)
        self.limit = _LIMIT_FLOAT16 if scores.dtype is torch.float16 else _LIMIT
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
        return scores * _per_row(self.scale, scores)


def gradients_in_range(
    forward: RowScale, differentiate: Callable[[], Sequence[Float[Tensor, "batch ..."]]]
) -> Sequence[Float[Tensor, "batch ..."]]:
    """Gradients of the scores that ``forward`` returns, with the scale taken out again.

    Of a row's finite gradients, those at its largest scale are kept: they underflow least. A row that is
    finite at no scale stays as it is.

    Parameters
    ----------
    forward
        The scaled forward function.
    differentiate
        One forward and one backward pass through it; repeated while rows of a float16 pass are out of range.

    Returns
    -------
    Sequence[Float[Tensor, "batch ..."]]
        What ``differentiate`` returned, in at least float32 if the pass was in float16.
    """
    gradients = differentiate()
    if forward.scale is None:
        return gradients
    scale = forward.scale
    finite_at = torch.zeros_like(scale)
    overflowed_at = torch.full_like(scale, torch.inf)
    kept = _unscaled(gradients, scale)
    for remaining in reversed(range(_TRIES)):
        peak = _peak(gradients)
        better = peak.isfinite() & (scale > finite_at)
        kept = [
            torch.where(_per_row(better, old), new, old)
            for new, old in zip(_unscaled(gradients, scale), kept, strict=True)
        ]
        finite_at = torch.where(better, scale, finite_at)
        overflowed_at = torch.where(peak.isfinite(), overflowed_at, scale)
        forward.scale = _next_scale(peak, scale, finite_at, overflowed_at, forward.limit)
        if not remaining or torch.equal(forward.scale, scale):
            return kept
        scale = forward.scale
        gradients = differentiate()
    return kept


def _next_scale(
    peak: Float[Tensor, " batch"],
    scale: Float[Tensor, " batch"],
    finite_at: Float[Tensor, " batch"],
    overflowed_at: Float[Tensor, " batch"],
    limit: float,
) -> Float[Tensor, " batch"]:
    """The scale to try next, between those known to be finite and to overflow; the same where all is well."""
    raised = scale * torch.where(peak > 0, torch.exp2((_AIM / peak).log2().floor()), _RAISE)
    raised = raised.clamp(max=limit)
    between = torch.exp2(((finite_at.log2() + overflowed_at.log2()) / 2).floor())
    raised = torch.where(raised < overflowed_at, raised, between)
    lowered = torch.where(finite_at > 0, between, scale * _LOWER)
    return torch.where(peak.isfinite(), torch.where(peak < _LOW, raised, scale), lowered)


def _peak(gradients: Sequence[Float[Tensor, "batch ..."]]) -> Float[Tensor, " batch"]:
    """Each row's largest magnitude; NaN and infinity show."""
    return torch.stack([gradient.detach().abs().flatten(1).amax(1).float() for gradient in gradients]).amax(0)


def _unscaled(
    gradients: Sequence[Float[Tensor, "rows ..."]], scale: Float[Tensor, " batch"]
) -> list[Float[Tensor, "rows ..."]]:
    for gradient in gradients:
        if len(gradient) != len(scale):
            raise SaliencyError(
                f"forward_func returned {len(scale)} rows for {len(gradient)} rows of embeddings: in float16 "
                "each row needs a score of its own; convert the model with model.float()."
            )
    return [
        gradient.to(torch.promote_types(gradient.dtype, torch.float32)) / _per_row(scale, gradient)
        for gradient in gradients
    ]


def _per_row(values: Tensor, like: Tensor) -> Tensor:
    return values.to(like.device).reshape(-1, *[1] * (like.dim() - 1))
