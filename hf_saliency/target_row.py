"""TargetRow: what one row of a map explains, and what the model predicted there."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Mapping
from dataclasses import dataclass

from hf_saliency.errors import SaliencyError
from hf_saliency.map_fields import string, tuple_of
from hf_saliency.terms import UNITS, Unit


@dataclass(frozen=True, slots=True)
class Prediction:
    """One of the model's most probable answers at a target: its text, its class id and its probability.

    Parameters
    ----------
    label
        The answer's text: a token, or the name of a class.
    index
        Its class id.
    probability
        From 0 to 1.

    Raises
    ------
    SaliencyError
        If the label is no string.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> hs.Prediction("coffee", 4157, 0.25)
    Prediction(label='coffee', index=4157, probability=0.25)
    """

    label: str
    index: int
    probability: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", string(self.label, "label"))
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
        The column at which the target stands: the token that is masked, labelled or predicted (which a causal
        model reads one token earlier). None where the score belongs to no token.
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
    positions
        All columns at which the target stands, where there are several (the tokens of an entity, a masked phrase or
        an answer). Left out, it is ``position`` alone.

    Raises
    ------
    SaliencyError
        For an unknown unit, and a label that is no string.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> row = hs.TargetRow("tea", position=6, score=8.1, masked=True)
    >>> row.unit, row.positions
    ('logit', (6,))
    """

    label: str
    position: int | None
    score: float
    unit: Unit = "logit"
    masked: bool = False
    against: str | None = None
    predictions: tuple[Prediction, ...] = ()
    index: int | None = None
    positions: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise SaliencyError(f"unit={self.unit!r}: choose one of {', '.join(map(repr, UNITS))}.")
        object.__setattr__(self, "label", string(self.label, "label"))
        if self.against is not None:
            object.__setattr__(self, "against", string(self.against, "against"))
        if self.position is not None:
            object.__setattr__(self, "position", operator.index(self.position))
        stands = tuple(operator.index(each) for each in self.positions)
        if self.position not in stands:  # another position was given, by dataclasses.replace say
            stands = () if self.position is None else (self.position,)
        object.__setattr__(self, "positions", stands)
        if self.index is not None:
            object.__setattr__(self, "index", operator.index(self.index))
        object.__setattr__(self, "score", float(self.score))
        object.__setattr__(self, "masked", bool(self.masked))
        object.__setattr__(self, "predictions", tuple_of(Prediction, self.predictions, "predictions"))

    def moved(self, new: Mapping[int, int]) -> TargetRow:
        """The same target after its columns got new numbers; it stands at none if no column has one."""
        kept = tuple(dict.fromkeys(new[each] for each in self.positions if each in new))
        own = None if self.position is None else new.get(self.position, kept[0] if kept else None)
        return dataclasses.replace(self, position=own, positions=kept)
