"""StraightPath: the lines from baselines to inputs, and sums of the gradients at points on them."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hf_saliency.attribution.inputs import baselines_of, streams_of
from hf_saliency.attribution.row_scores import RowScores


@dataclass(frozen=True)
class StraightPath:
    """The straight lines from baselines to inputs, and the gradients on them, flat: (rows, elements).

    Parameters
    ----------
    score
        What is integrated.
    streams, starts
        Inputs and baselines, of the same shapes.
    """

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
        """Refuses what does not have a row for each row of the inputs."""
        streams = streams_of(inputs)
        score = RowScores.of(forward_func, streams, target, arguments)
        return cls(score, streams, baselines_of(baselines, streams))

    @property
    def batch(self) -> int:
        return len(self.streams[0])

    @functools.cached_property
    def dtype(self) -> torch.dtype:
        """What sums are kept in."""
        return functools.reduce(torch.promote_types, [one.dtype for one in self.streams], torch.float32)

    @property
    def rounding(self) -> float:
        """The relative precision of a score, which is that of the coarsest stream."""
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
        """For each group of the points at these fractions of the path, the sum of the gradients; all scores."""
        count = len(rows) * len(fractions)
        places = torch.tensor(fractions, dtype=self.dtype, device=rows.device)
        member = torch.tensor([[i in group for i in range(len(fractions))] for group in groups])
        sums = [self.difference.new_zeros(len(rows), self.difference.shape[1]) for _ in groups]
        scores = torch.zeros(count, dtype=self.dtype, device=rows.device)
        for pairs in torch.split(torch.arange(count, device=rows.device), size or max(1, count)):
            own, point = pairs // len(fractions), pairs % len(fractions)
            gradients, scores[pairs] = self._gradients(rows[own], places[point])
            for total, chosen in zip(sums, member.to(rows.device)[:, point], strict=True):
                total.index_add_(0, own[chosen], gradients[chosen])
        return sums, scores.reshape(len(rows), len(fractions))

    def tokens_of(self, flat: Float[Tensor, "rows elements"]) -> Float[Tensor, "rows tokens"]:
        """The total of each token of each stream."""
        return torch.cat([one.sum(-1).flatten(1) for one in self.streams_of(flat)], dim=1)

    def streams_of(self, flat: Float[Tensor, "rows elements"]) -> tuple[Float[Tensor, "rows ..."], ...]:
        """Flat values in the shapes of the streams."""
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
        return torch.cat([one.to(device, self.dtype).flatten(1) for one in tensors], dim=1)

    def _lines(self) -> Iterator[tuple[Tensor, Tensor]]:
        return zip(self.streams, self.starts, strict=True)


def _between(start: Tensor, end: Tensor, fractions: Float[Tensor, " rows"]) -> Tensor:
    """Points on the lines, the ends exactly."""
    weights = fractions.to(start.device).reshape(-1, *[1] * (start.dim() - 1))
    return torch.lerp(start.to(weights.dtype), end.to(weights.dtype), weights).to(end.dtype)
