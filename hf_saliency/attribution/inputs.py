"""Inputs: checks of what Captum passes to an attribution, its forward function by rows, and float16 scaling."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, get_args

import torch
from captum._utils.common import _format_additional_forward_args, _run_forward
from captum.attr import GradientAttribution
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from hf_saliency.errors import SaliencyError, one_of, whole


class NoFutures:
    """An attribution that is computed immediately and returns no futures."""

    def attribute_future(self) -> NoReturn:
        """Refuse: like Captum's own methods without futures, this has none."""
        raise NotImplementedError(f"{type(self).__name__} returns no futures: call attribute().")


class PathAttribution(NoFutures, GradientAttribution):  # type: ignore[misc]
    """Sum of gradients times steps on a path from a baseline to the input, for functions with one score per row."""

    def __init__(self, forward_func: Callable[..., Tensor]) -> None:
        GradientAttribution.__init__(self, forward_func)

    @property
    def multiplies_by_inputs(self) -> bool:
        """True: gradients are multiplied by differences of points of the path."""
        return True

    def has_convergence_delta(self) -> bool:
        """True: see ``compute_convergence_delta``."""
        return True


Quadrature = Literal["gausslegendre", "riemann_middle", "riemann_left", "riemann_right"]


def check_quadrature(rule: object, n_steps: int, name: str = "quadrature") -> Quadrature:
    """Return a rule of integration; refuse an unknown rule, or too few points for it. Errors call it ``name``."""
    if rule == "riemann_trapezoid":
        raise SaliencyError(
            f"{name}='riemann_trapezoid': Captum's weights of this rule add up to (n - 1) / n, and so do its results; "
            f"use {name}='gausslegendre', the default."
        )
    chosen: Quadrature = one_of(rule, get_args(Quadrature), name)
    if chosen != "gausslegendre" and n_steps < 2:
        raise SaliencyError(f"n_steps={n_steps}: {chosen} needs 2 points or more.")
    return chosen


def embeds_of(inputs: object) -> tuple[Float[Tensor, "batch ..."], ...]:
    """Return the embeddings of each stream; refuse anything but float tensors (batch, tokens, width)."""
    streams = _tensors(inputs, "embeddings (batch, tokens, width)")
    for embeds in streams:
        if not embeds.is_floating_point():
            raise SaliencyError(
                f"inputs of dtype {embeds.dtype} are not embeddings: for token ids use "
                "LayerGradientNorm(forward_func, embedding).attribute(ids)."
            )
        if embeds.dim() < 3:
            raise SaliencyError(
                f"inputs of shape {tuple(embeds.shape)} are not embeddings (batch, tokens, width): add the "
                "missing dimension, such as embeds[None] for a batch of one."
            )
    return streams


def streams_of(inputs: object) -> tuple[Float[Tensor, "batch ..."], ...]:
    """Return the embeddings of each stream, detached from any graph and usable by autograd."""
    return tuple(usable(stream).detach() for stream in embeds_of(inputs))


def baselines_of(
    baselines: object, streams: Sequence[Float[Tensor, "batch ..."]]
) -> tuple[Float[Tensor, "batch ..."], ...]:
    """Expand baselines in any form that Captum takes to the streams' shapes: None means 0, one row is for all."""
    starts = baselines if isinstance(baselines, tuple) else (baselines,)
    if baselines is None:
        starts = (0,) * len(streams)
    if len(starts) != len(streams):
        raise SaliencyError(
            f"{len(starts)} baseline(s) for {len(streams)} tensor(s) of embeddings: pass one for each, such as "
            "attribute((embeds, embeds), (baseline, baseline))."
        )
    return tuple(_baseline_of(start, stream) for start, stream in zip(starts, streams, strict=True))


def check_internal_batch_size(size: object) -> None:
    """Refuse anything but a positive integer or None."""
    if size is not None:
        whole(size, "internal_batch_size")


def ids_of(inputs: object, attribute_to_layer_input: bool) -> tuple[Shaped[Tensor, "batch ..."], ...]:
    """Return the tensors given to ``LayerGradientNorm``; refuse them if none holds integers, such as token ids."""
    if attribute_to_layer_input:
        raise SaliencyError(
            "attribute_to_layer_input=True requests gradients with respect to token ids, which do not exist: omit it "
            "for gradients with respect to the tokens' one-hot vectors or embeddings."
        )
    tensors = _tensors(inputs, "token ids (batch, tokens)")
    if all(tensor.is_floating_point() for tensor in tensors):
        raise SaliencyError(
            f"inputs of dtype {tensors[0].dtype} are not token ids: for embeddings use "
            "GradientNorm(forward_func, table).attribute(embeds)."
        )
    return tensors


def usable(arguments: Any) -> Any:
    """Replace tensors made under inference mode, which autograd cannot use, by copies."""
    if isinstance(arguments, tuple):
        return tuple(map(usable, arguments))
    return arguments.clone() if isinstance(arguments, Tensor) and arguments.is_inference() else arguments


def _baseline_of(baseline: object, stream: Tensor) -> Tensor:
    if isinstance(baseline, (int, float)):
        return torch.full_like(stream, baseline)
    if isinstance(baseline, Tensor) and baseline.shape in (stream.shape, (1, *stream.shape[1:])):
        moved: Tensor = usable(baseline).detach().to(stream)
        return moved.expand_as(stream)
    shape = f"of shape {tuple(baseline.shape)}" if isinstance(baseline, Tensor) else ""
    raise SaliencyError(
        f"a baseline is {shape or f'a {type(baseline).__name__}'}, but the embeddings are {tuple(stream.shape)}: give "
        "a number, a tensor like the embeddings, such as torch.zeros_like(embeds), or one row of it for all, such as "
        "baseline[:1]."
    )


def _tensors(inputs: object, accepted: str) -> tuple[Tensor, ...]:
    streams = inputs if isinstance(inputs, tuple) else (inputs,)
    other = [type(stream).__name__ for stream in streams if not isinstance(stream, Tensor)]
    if other or not streams:
        kind = f"a {other[0]}" if other else "an empty tuple"
        raise SaliencyError(f"inputs are or hold {kind}: give {accepted}, or a tuple of them.")
    return streams


@dataclass(frozen=True)
class RowScores:
    """A forward function with one score per row, and the target and arguments of the rows that it is called with."""

    forward_func: Callable[..., Tensor]
    target: Any
    arguments: tuple[Any, ...]

    @classmethod
    def of(
        cls, forward_func: Callable[..., Tensor], streams: Sequence[Tensor], target: Any, arguments: Any
    ) -> RowScores:
        """Wrap the arguments of ``attribute``; refuse tensors without a row for each row of the inputs."""
        batch = len(streams[0])
        further = usable(_format_additional_forward_args(arguments)) or ()
        _check_rows("inputs", streams, batch)
        _check_rows("additional_forward_args", [argument for argument in further if _by_row(argument)], batch)
        _check_rows("target", [target] if _differs(target) else [], batch)
        return cls(RowScale(forward_func, lambda: False), target, further)

    def __call__(
        self, embeds: tuple[Float[Tensor, "copies ..."], ...], rows: Int[Tensor, " copies"]
    ) -> Float[Tensor, " copies"]:
        """Return the score of each copy; refuse a function that returns more or fewer."""
        scores: Tensor = _run_forward(self.forward_func, embeds, *self._at(rows))
        if scores.numel() != len(rows):
            raise SaliencyError(
                f"forward_func returned scores of shape {tuple(scores.shape)} for {len(rows)} rows: it must return one "
                "score per row, or the target must select one, such as target=0."
            )
        return scores.flatten()

    @torch.no_grad()
    def in_parts(
        self, embeds: tuple[Float[Tensor, "copies ..."], ...], rows: Int[Tensor, " copies"], size: int
    ) -> Float[Tensor, " copies"]:
        """Return the score of each copy without a graph, with at most ``size`` copies at a time."""
        places = torch.split(torch.arange(len(rows), device=rows.device), size)
        return torch.cat([self(tuple(stream[part] for stream in embeds), rows[part]) for part in places])

    def gradients(
        self, embeds: tuple[Float[Tensor, "copies ..."], ...], rows: Int[Tensor, " copies"]
    ) -> tuple[tuple[Float[Tensor, "copies ..."], ...], Float[Tensor, " copies"]]:
        """Return each copy's gradients in its embeddings, and its score."""
        leaves = tuple(stream.detach().requires_grad_() for stream in embeds)
        scores = self(leaves, rows)
        return torch.autograd.grad(scores, leaves, torch.ones_like(scores)), scores.detach()

    def _at(self, rows: Int[Tensor, " copies"]) -> tuple[Any, tuple[Any, ...]]:
        """Return target and arguments for copies of these rows."""
        arguments = tuple(
            _of_rows(argument, rows) if _by_row(argument) else argument for argument in self.arguments
        )
        return _of_rows(self.target, rows) if _differs(self.target) else self.target, arguments


def _by_row(argument: object) -> bool:
    """Whether an additional argument has a row for each row of the inputs."""
    return isinstance(argument, Tensor) and argument.dim() > 0


def _differs(target: object) -> bool:
    """Whether a target, in one of Captum's forms, has a value for each row."""
    return isinstance(target, list) or (isinstance(target, Tensor) and target.numel() != 1)


def _of_rows(values: Any, rows: Int[Tensor, " copies"]) -> Any:
    return (
        [values[row] for row in rows.tolist()] if isinstance(values, list) else values[rows.to(values.device)]
    )


def _check_rows(name: str, tensors: Sequence[Any], batch: int) -> None:
    for tensor in tensors:
        if len(tensor) != batch:
            raise SaliencyError(
                f"{name} has {len(tensor)} rows where the inputs have {batch}: it needs one for each, such as "
                "mask.expand(len(embeds), -1) for a mask of one row."
            )


_START = 2.0**10
_TRIES = 6
# A row is in range if its largest scaled gradient is finite and at least _LOW. float16 has full precision down to
# 2**-14, so tokens that are 2**16 times less important keep it. Other rows are scaled to bring it near _AIM.
_LOW, _AIM = 2.0**2, 2.0**10
# Steps for a row that vanished and for one that overflowed; neither shows by how much.
_RAISE, _LOWER = 2.0**20, 2.0**-12
# The largest scale of a float16 score, whose own gradient is the scale, and of any other score.
_LIMIT_FLOAT16, _LIMIT = 2.0**15, 2.0**60


class RowScale:
    """A forward function that multiplies each row's score by a power of two, in float32, after a pass in float16.

    ``in_float16`` is called after each forward pass. The scores of other passes are returned unchanged.
    """

    def __init__(self, forward_func: Callable[..., object], in_float16: Callable[[], bool]) -> None:
        self.forward_func = forward_func
        self.in_float16 = in_float16
        self.scale: Float[Tensor, " batch"] | None = None
        self.limit = _LIMIT
        # Captum reads both from a forward function: whether it takes arguments, and DataParallel's devices.
        self.__signature__ = inspect.signature(forward_func)
        self.device_ids = getattr(forward_func, "device_ids", None)

    def __call__(self, *arguments: object) -> Float[Tensor, "batch ..."]:
        """Return the scores, scaled after a pass in float16; refuse anything but a tensor of scores."""
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
    """Compute gradients of the scores that ``forward`` returns, divided by its scale, in at least float32.

    ``differentiate`` makes one forward and one backward pass. It is repeated while rows of a float16 pass are out of
    range.
    """
    # Each row keeps its finite gradients at the largest scale, since they underflow least. A row that is finite at no
    # scale keeps the gradients of the first pass.
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
    """Return the next scale to try, between one that is finite and one that overflows; unchanged for rows in range."""
    raised = scale * torch.where(peak > 0, torch.exp2((_AIM / peak).log2().floor()), _RAISE)
    raised = raised.clamp(max=limit)
    between = torch.exp2(((finite_at.log2() + overflowed_at.log2()) / 2).floor())
    raised = torch.where(raised < overflowed_at, raised, between)
    lowered = torch.where(finite_at > 0, between, scale * _LOWER)
    return torch.where(peak.isfinite(), torch.where(peak < _LOW, raised, scale), lowered)


def _peak(gradients: Sequence[Float[Tensor, "batch ..."]]) -> Float[Tensor, " batch"]:
    """Return each row's largest magnitude, NaN and infinity included."""
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
