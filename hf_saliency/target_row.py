"""TargetRow: what one row of a map explains, and what the model predicted there."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Mapping
from dataclasses import dataclass

from hf_saliency.errors import SaliencyError
from hf_saliency.map_fields import tuple_of
from hf_saliency.terms import UNITS, Unit


@dataclass(frozen=True, slots=True)
class Prediction:
    """One of the model's most probable answers at a target: its text, its class id and its probability."""

    label: str
    index: int
    probability: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "index", operator.index(self.index))
        object.__setattr__(self, "probability", float(self.probability))


@dataclass(frozen=True, slots=True)
class TargetRow:
    """What one row of the map explains.

    Parameters
    ----------
    label
        What was scored: the token's text, say.
    position
        The column at which the model was read, or None where the score belongs to no token.
    score
        The value explained, in ``unit``: logit, log-probability in nats or probability.
    unit
        ``"logit"``, ``"log_prob"`` or ``"prob"``.
    masked
        Whether the model saw a mask at ``position``.
    against
        What the label was contrasted with, if anything; ``score`` is then a difference.
    predictions
        The model's best answers at this target, best first.
    index
        The class id whose score it is, as in the predictions; None where it is not known.
    """

    label: str
    position: int | None
    score: float
    unit: Unit = "logit"
    masked: bool = False
    against: str | None = None
    predictions: tuple[Prediction, ...] = ()
    index: int | None = None

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise SaliencyError(f"unit={self.unit!r}: choose one of {', '.join(map(repr, UNITS))}.")
        if self.position is not None:
            object.__setattr__(self, "position", operator.index(self.position))
        if self.index is not None:
            object.__setattr__(self, "index", operator.index(self.index))
        object.__setattr__(self, "score", float(self.score))
        object.__setattr__(self, "masked", bool(self.masked))
        object.__setattr__(self, "predictions", tuple_of(Prediction, self.predictions, "predictions"))

    def moved(self, new: Mapping[int, int]) -> TargetRow:
        """The same target after its column got a new number; it is read at none if that column has none."""
        return self if self.position is None else dataclasses.replace(self, position=new.get(self.position))
