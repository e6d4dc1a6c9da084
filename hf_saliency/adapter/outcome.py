"""Outcome: what one forward pass gives beside the graph."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Outcome:
    """What one forward pass gives beside the graph.

    Parameters
    ----------
    scores
        In the target's unit.
    class_ids
        Whose score it is, also where the most probable class was asked for.
    classes, probabilities
        The most probable classes at each read, best first.
    """

    scores: Float[Tensor, " rows"]
    class_ids: Int[Tensor, "rows reads"]
    classes: Int[Tensor, "rows reads k"]
    probabilities: Float[Tensor, "rows reads k"]

    @classmethod
    def joined(cls, parts: Sequence[Outcome]) -> Outcome:
        """The outcome of rows that were evaluated in several passes."""
        names = [one.name for one in dataclasses.fields(cls)]
        return cls(*(torch.cat([getattr(part, name) for part in parts]) for name in names))
