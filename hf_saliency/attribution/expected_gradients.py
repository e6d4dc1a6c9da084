"""Gradients between a text and several baselines: their mean over the baselines, and samples of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from captum._utils.common import _format_output
from captum.attr import Attribution, GradientShap
from captum.log import log_usage
from jaxtyping import Float
from torch import Tensor

from hf_saliency.attribution.gradient_norm import autograd
from hf_saliency.attribution.inputs import (
    PathAttribution,
    RowScores,
    check_internal_batch_size,
    streams_of,
    usable,
)
from hf_saliency.errors import SaliencyError, whole


class ExpectedGradients(PathAttribution):
    """The mean of a path attribution over several baselines, and of its convergence delta (Erion et al., 2021)."""

    def __init__(self, attribution: Attribution) -> None:
        PathAttribution.__init__(self, attribution.forward_func)
        self.attribution = attribution

    def attribute(self, inputs: Any, baselines: Sequence[Any], **arguments: Any) -> Any:
        """Attribute as the wrapped method does, but for a list of baselines; always return the delta too."""
        arguments["return_convergence_delta"] = True
        results = [self.attribution.attribute(inputs, baseline, **arguments) for baseline in baselines]
        values = [value if isinstance(value, tuple) else (value,) for value, _ in results]
        means = tuple(torch.stack(streams).mean(dim=0) for streams in zip(*values, strict=True))
        delta = torch.stack([delta for _, delta in results]).mean(dim=0)
        return means if isinstance(inputs, tuple) else means[0], delta


class StratifiedGradientShap(GradientShap):  # type: ignore[misc]
    """Gradient SHAP with one random point in each of ``n_samples`` equal stretches of the path."""

    # Captum draws all points from the whole path. The expectation is the same, but here the error falls faster with the
    # number of samples, and the convergence delta needs one forward pass for each distinct end of a path instead of two
    # for each sample.

    def __init__(self, forward_func: Callable[..., Tensor]) -> None:
        # Gradients are always multiplied by the difference from the baseline; Captum's multiply_by_inputs=False is
        # another method.
        GradientShap.__init__(self, forward_func)

    @log_usage(part_of_slo=True)  # type: ignore[untyped-decorator]
    def attribute(
        self,
        inputs: Float[Tensor, "batch *_ width"] | tuple[Float[Tensor, "batch *_ _"], ...],
        baselines: Float[Tensor, "distribution *_ width"] | tuple[Float[Tensor, "distribution *_ _"], ...],
        n_samples: int = 100,
        stdevs: float | tuple[float, ...] = 0.0,
        target: Any = None,
        additional_forward_args: Any = None,
        internal_batch_size: int | None = None,
        return_convergence_delta: bool = False,
    ) -> Any:
        """Attribute the score to each element of each token, in at least float32, with torch's random generator.

        The arguments are those of Captum's GradientShap. Each sample takes one row of ``baselines``, and all rows are
        taken about equally often.
        """
        n_samples = whole(n_samples, "n_samples")
        check_internal_batch_size(internal_batch_size)
        with autograd():
            streams = streams_of(inputs)
            starts = _distribution(baselines, streams)
            deviations = stdevs if isinstance(stdevs, tuple) else (stdevs,) * len(streams)
            score = RowScores.of(self.forward_func, streams, target, additional_forward_args)
            batch, device = len(streams[0]), streams[0].device
            size = internal_batch_size or batch * n_samples
            sums = tuple(
                torch.zeros_like(stream, dtype=torch.promote_types(stream.dtype, torch.float32))
                for stream in streams
            )
            rises = torch.zeros(batch, dtype=sums[0].dtype, device=device)
            # Drawn on the CPU, so that a seed gives the same points on every device.
            strata = torch.arange(n_samples, dtype=torch.float64) + torch.rand(
                batch, n_samples, dtype=torch.float64
            )
            shares = (strata / n_samples).flatten().to(device)
            turn = torch.stack([torch.randperm(n_samples) % len(starts[0]) for _ in range(batch)])
            turns = turn.flatten().to(device)
            for copies in torch.split(torch.arange(batch * n_samples, device=device), size):
                rows = copies // n_samples
                ends = tuple(
                    _noisy(stream[rows], stdev) for stream, stdev in zip(streams, deviations, strict=True)
                )
                froms = tuple(start[turns[copies]] for start in starts)
                points = tuple(
                    torch.lerp(start, end, shares[copies].to(end).reshape(-1, *[1] * (end.dim() - 1)))
                    for start, end in zip(froms, ends, strict=True)
                )
                gradients, _ = score.gradients(points, rows)
                for total, gradient, start, end in zip(sums, gradients, froms, ends, strict=True):
                    total.index_add_(0, rows, gradient.to(total) * (end - start).to(total))
                if return_convergence_delta and any(deviations):
                    rises.index_add_(0, rows, score.in_parts(ends, rows, size).to(rises))
            means = tuple(total / n_samples for total in sums)
            attributions = _format_output(isinstance(inputs, tuple), means)
            if not return_convergence_delta:
                return attributions
            every = torch.arange(batch, device=device)
            if any(deviations):
                rises /= n_samples
            else:
                rises += score.in_parts(streams, every, size).to(rises)
            for number in range(len(starts[0])):
                weights = (turns.reshape(batch, n_samples) == number).to(rises).mean(dim=1)
                repeated = tuple(start[number].expand(batch, *start.shape[1:]) for start in starts)
                rises -= weights * score.in_parts(repeated, every, size).to(rises)
            total = torch.stack([mean.flatten(1).sum(dim=1) for mean in means]).sum(dim=0)
            return attributions, total - rises


def _noisy(values: Tensor, deviation: float) -> Tensor:
    return values + torch.randn_like(values) * deviation if deviation else values


def _distribution(baselines: Any, streams: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return the baselines of each stream, (distribution, ...), or refuse other shapes."""
    starts = baselines if isinstance(baselines, tuple) else (baselines,)
    fits = len(starts) == len(streams) and all(
        isinstance(start, Tensor) and start.shape[1:] == stream.shape[1:] and len(start) == len(starts[0]) > 0
        for start, stream in zip(starts, streams, strict=False)
    )
    if not fits:
        raise SaliencyError(
            "baselines must hold one row or more like those of the inputs, such as torch.zeros_like(embeds), or a "
            "tuple of them for a tuple of inputs."
        )
    return tuple(usable(start).detach().to(stream) for start, stream in zip(starts, streams, strict=True))
