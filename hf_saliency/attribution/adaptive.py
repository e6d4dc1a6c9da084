"""AdaptiveIntegratedGradients: integrated gradients with as many steps as a row needs, as a Captum attribution."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from captum._utils.common import _format_output
from captum.log import log_usage
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hf_saliency.attribution.gradient_norm import autograd
from hf_saliency.attribution.inputs import (
    PathAttribution,
    RowScores,
    baselines_of,
    check_internal_batch_size,
    streams_of,
)
from hf_saliency.errors import real, warn, whole


@dataclass(frozen=True)
class StraightPath:
    """The straight lines from baselines to inputs, and the gradients on them, flat: (rows, elements)."""

    score: RowScores
    streams: tuple[Tensor, ...]
    starts: tuple[Tensor, ...]

    @classmethod
    def of(
        cls,
        forward_func: Callable[..., Tensor],
        inputs: object,
        baselines: object,
        target: Any,
        arguments: Any,
    ) -> StraightPath:
        """Check that baselines and arguments have a row for each row of the inputs, and build the path."""
        streams = streams_of(inputs)
        score = RowScores.of(forward_func, streams, target, arguments)
        return cls(score, streams, baselines_of(baselines, streams))

    @property
    def batch(self) -> int:
        return len(self.streams[0])

    @functools.cached_property
    def dtype(self) -> torch.dtype:
        """The dtype in which sums are accumulated."""
        return functools.reduce(torch.promote_types, [stream.dtype for stream in self.streams], torch.float32)

    @property
    def rounding(self) -> float:
        """The relative precision of a score: that of the coarsest stream."""
        return max(torch.finfo(stream.dtype).eps for stream in self.streams)

    @functools.cached_property
    def difference(self) -> Float[Tensor, "batch elements"]:
        """Input minus baseline."""
        return self._flat([x.to(self.dtype) - x0.to(self.dtype) for x, x0 in self._lines()])

    def sums(
        self,
        rows: Int[Tensor, " rows"],
        fractions: Sequence[float],
        groups: Sequence[Sequence[int]],
        size: int | None,
    ) -> tuple[list[Float[Tensor, "rows elements"]], Float[Tensor, "rows points"]]:
        """Sum the gradients over each group of points on the path; also return the score at every point.

        ``fractions`` place the points on the path, and ``groups`` hold indices into them.
        """
        count = len(rows) * len(fractions)
        places = torch.tensor(fractions, dtype=self.dtype, device=rows.device)
        member = torch.tensor([[i in group for i in range(len(fractions))] for group in groups])
        sums = [self.difference.new_zeros(len(rows), self.difference.shape[1]) for _ in groups]
        scores = torch.zeros(count, dtype=self.dtype, device=rows.device)
        for pairs in torch.split(torch.arange(count, device=rows.device), size or max(1, count)):
            row, point = pairs // len(fractions), pairs % len(fractions)
            gradients, scores[pairs] = self._gradients(rows[row], places[point])
            for total, chosen in zip(sums, member.to(rows.device)[:, point], strict=True):
                total.index_add_(0, row[chosen], gradients[chosen])
        return sums, scores.reshape(len(rows), len(fractions))

    def tokens_of(self, flat: Float[Tensor, "rows elements"]) -> Float[Tensor, "rows tokens"]:
        """Sum flat values over the width: one number for each token of each stream."""
        return torch.cat([part.sum(-1).flatten(1) for part in self.streams_of(flat)], dim=1)

    def streams_of(self, flat: Float[Tensor, "rows elements"]) -> tuple[Float[Tensor, "rows ..."], ...]:
        """Reshape flat values to the shapes of the streams."""
        parts = torch.split(flat, [math.prod(stream.shape[1:]) for stream in self.streams], dim=1)
        return tuple(
            part.reshape(len(flat), *stream.shape[1:])
            for part, stream in zip(parts, self.streams, strict=True)
        )

    def _gradients(
        self, rows: Int[Tensor, " points"], fractions: Float[Tensor, " points"]
    ) -> tuple[Float[Tensor, "points elements"], Float[Tensor, " points"]]:
        embeds = tuple(_between(x0[rows], x[rows], fractions) for x, x0 in self._lines())
        gradients, scores = self.score.gradients(embeds, rows)
        return self._flat(gradients), scores.to(self.difference)

    def _flat(self, tensors: Sequence[Tensor]) -> Float[Tensor, "rows elements"]:
        device = self.streams[0].device
        return torch.cat([tensor.to(device, self.dtype).flatten(1) for tensor in tensors], dim=1)

    def _lines(self) -> Iterator[tuple[Tensor, Tensor]]:
        return zip(self.streams, self.starts, strict=True)


def _between(start: Tensor, end: Tensor, fractions: Float[Tensor, " rows"]) -> Tensor:
    """Return points on the lines; both ends are exact."""
    weights = fractions.to(start.device).reshape(-1, *[1] * (start.dim() - 1))
    return torch.lerp(start.to(weights.dtype), end.to(weights.dtype), weights).to(end.dtype)


# Where tokens cancel almost completely, the delta is measured against this part of their summed magnitudes.
_CANCELLED = 0.01


class AdaptiveIntegratedGradients(PathAttribution):
    r"""Integrated gradients (Sundararajan et al., 2017) with as many steps as each row needs.

    .. math:: a_{ij} = (x_{ij} - \bar x_{ij}) \int_0^1
        \frac{\partial F(\bar x + \alpha (x - \bar x))}{\partial x_{ij}} \, d\alpha

    The integral is a trapezoidal sum over 3, 5, 9, 17, ... evenly spaced points. The new points always lie
    between the old ones, so no point is evaluated twice. Between two embeddings the gradient rises and falls
    inside the path, and there such sums converge exponentially (Trefethen and Weideman, 2014). The remaining
    error comes from the ends. Gregory's correction removes it, so that gradients up to the third power of
    :math:`\alpha` are integrated exactly. Romberg's extrapolation of the same sums takes about twice as many
    points, since it amplifies the errors that the coarse sums make inside the path.

    A row is done when both of these conditions hold:

    - Its convergence delta is at most ``tolerance`` times :math:`\lvert F(x) - F(\bar x) \rvert`, or times a
      hundredth of the sum of its tokens' magnitudes where the tokens cancel to less than that. The gradient
      passes also return these scores, and a delta within their rounding is accepted too.
    - Let :math:`c` be the change of its tokens since the previous sum, relative to their magnitudes, and
      :math:`\rho` the ratio of this change to the previous one, at most 1. Then
      :math:`c \max(c, \rho^2) \le` ``tolerance``. The previous sum was off by about :math:`c`. Doubling the
      points squares an error that falls exponentially; at the observed rate it multiplies the error by
      :math:`\rho^2`. A change within the rounding of the scores counts as none.

    Parameters
    ----------
    forward_func
        Function from embeddings (one tensor per stream) and additional arguments to one score per row. A row's
        score must depend on this row alone.

    References
    ----------
    Sundararajan, Taly and Yan, "Axiomatic attribution for deep networks", ICML, 2017, arXiv:1703.01365.

    Trefethen and Weideman, "The exponentially convergent trapezoidal rule", SIAM Review, 2014,
    doi:10.1137/130932132.

    Examples
    --------
    >>> import torch
    >>> square = AdaptiveIntegratedGradients(lambda e: (e**2).sum(dim=(1, 2)))
    >>> square.attribute(torch.tensor([[[2.0], [3.0]]]), baselines=1.0)[0, :, 0]
    tensor([3., 8.])
    """

    @log_usage(part_of_slo=True)  # type: ignore[untyped-decorator]
    def attribute(
        self,
        inputs: Float[Tensor, "batch *_ width"] | tuple[Float[Tensor, "batch *_ _"], ...],
        baselines: Any = None,
        target: Any = None,
        additional_forward_args: Any = None,
        tolerance: float = 1e-3,
        max_steps: int = 1024,
        internal_batch_size: int | None = None,
        return_convergence_delta: bool = False,
    ) -> Any:
        """Attribute the score to each element of each token.

        Parameters
        ----------
        inputs
            Embeddings, (batch, tokens, width), or a tuple of them, one per stream.
        baselines
            The start of the path, in any form that Captum takes: a tensor like the inputs or with one row for
            all, or a number; a tuple of these for a tuple of inputs; None means 0.
        target
            The score to explain in each row, in any form that Captum takes; None if there is only one.
        additional_forward_args
            Arguments of ``forward_func`` after the embeddings; a tuple if there are several. Tensors have a row
            for each row of the inputs.
        tolerance
            The largest relative convergence delta of a row that is done; the error of its tokens is of the
            same order.
        max_steps
            The largest number of gradients for one row, 3 or more. Rows take 3, 5, 9, 17, ... gradients, so that
            1,024 allows 513.
        internal_batch_size
            The largest number of rows in one call of ``forward_func``; None for all points that are known to be
            needed, which are half of a row's points at a time.
        return_convergence_delta
            Whether to return the convergence delta as well.

        Returns
        -------
        Any
            Attributions in the form of the inputs, in float64 for float64 inputs and otherwise in float32. With the
            delta, a pair of these and a tensor (batch,).

        Raises
        ------
        SaliencyError
            If the inputs are not embeddings, baselines or arguments do not fit them, an option does not exist, or
            the score does not depend on the inputs.

        Warns
        -----
        RuntimeWarning
            If rows are not done after ``max_steps``. They keep the last sum.
        """
        _check_options(tolerance, max_steps, internal_batch_size)
        with autograd():
            path = StraightPath.of(self.forward_func, inputs, baselines, target, additional_forward_args)
            sums, delta, missed = _integrals(path, tolerance, max_steps, internal_batch_size)
        if len(missed):
            self.warn(missed, path.batch, tolerance, max_steps)
        attributions = _format_output(isinstance(inputs, tuple), path.streams_of(sums))
        return (attributions, delta) if return_convergence_delta else attributions

    def warn(self, missed: Float[Tensor, " missed"], batch: int, tolerance: float, max_steps: int) -> None:
        """Warn how many rows were not done, and how large their deltas are."""
        warn(
            f"{len(missed)} of {batch} rows did not reach tolerance={tolerance:g} in max_steps={max_steps} "
            f"gradients each; their largest relative convergence delta is {float(missed.max()):.1e}. Raise "
            "max_steps or tolerance, or use a model in float32 or float64 if it is in less.",
            RuntimeWarning,
        )


def _integrals(
    path: StraightPath, tolerance: float, max_steps: int, size: int | None
) -> tuple[Float[Tensor, "batch elements"], Float[Tensor, " batch"], Float[Tensor, " missed"]]:
    """Return attributions, convergence deltas, and the relative deltas of the rows that were not done."""
    rows = torch.arange(path.batch, device=path.difference.device)
    (ends, inner), scores = path.sums(rows, (0.0, 0.5, 1.0), ((0, 2), (1,)), size)
    gain = scores[:, 2] - scores[:, 0]
    height = scores[:, 0].abs() + scores[:, 2].abs()
    near, far, steps = 2 * inner, ends, 2  # one and two steps from the ends: the middle and the ends
    sums, tokens = torch.zeros_like(ends), path.tokens_of(ends / 2 * path.difference)
    delta, relative, change = torch.zeros_like(gain), torch.zeros_like(gain), torch.zeros_like(gain)
    done = torch.zeros_like(gain, dtype=torch.bool)
    while True:
        sums[rows] = (inner + ends / 2 + (4 * near - 3 * ends - far) / 24) * path.difference[rows] / steps
        now = path.tokens_of(sums[rows])
        magnitude = now.abs().sum(1)
        delta[rows] = now.sum(1) - gain[rows]
        scale = gain[rows].abs().maximum(_CANCELLED * magnitude)
        relative[rows] = _ratio(delta[rows].abs(), scale)
        complete = delta[rows].abs() <= (tolerance * scale).maximum(path.rounding * height[rows])
        distance = (now - tokens[rows]).abs().sum(1)
        visible = distance > torch.finfo(path.dtype).eps * height[rows]
        changed = _ratio(distance, magnitude) * visible
        done[rows] = complete & _settled(changed, change[rows], tolerance)
        change[rows], tokens[rows] = changed, now
        going = ~done[rows] & delta[rows].isfinite()  # a delta that is not finite stays so
        if 2 * steps + 1 > max_steps or not going.any():
            return sums, delta, relative[~done]
        rows, ends, inner, near = (values[going] for values in (rows, ends, inner, near))
        steps *= 2
        fractions = [point / steps for point in range(1, steps, 2)]
        (fresh, nearer), _ = path.sums(rows, fractions, (range(steps // 2), (0, steps // 2 - 1)), size)
        inner, near, far = inner + fresh, nearer, near


def _settled(
    change: Float[Tensor, " rows"], before: Float[Tensor, " rows"], tolerance: float
) -> Bool[Tensor, " rows"]:
    """Whether the error that the last two changes predict is within the tolerance."""
    slowest = change.maximum(before)
    return (change**2 <= tolerance) & (change**3 <= tolerance * slowest**2)


def _ratio(part: Float[Tensor, " rows"], whole: Float[Tensor, " rows"]) -> Float[Tensor, " rows"]:
    """Divide two tensors; the ratio is zero where both are zero."""
    return part / whole.clamp_min(torch.finfo(whole.dtype).tiny)


def _check_options(tolerance: object, max_steps: object, internal_batch_size: object) -> None:
    check_tolerance(tolerance)
    whole(max_steps, "max_steps", least=3)
    check_internal_batch_size(internal_batch_size)


def check_tolerance(tolerance: object) -> float:
    """Check that a tolerance is a positive number, a fraction of a difference of scores."""
    return real(tolerance, "tolerance", "1e-3")
