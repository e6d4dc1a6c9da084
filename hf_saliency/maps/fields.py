"""TargetRow: the target that one row of a map explains, with the model's predictions; and checks of a map's fields."""

from __future__ import annotations

import dataclasses
import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from hf_saliency.errors import UNITS, SaliencyError, Unit, one_of

if TYPE_CHECKING:
    from hf_saliency.maps.spans import Token


T = TypeVar("T")


def tuple_of(kind: type[T], items: Iterable[T], name: str) -> tuple[T, ...]:
    """The items as a tuple; ``name`` is its name in errors."""
    if isinstance(items, str):
        raise SaliencyError(f"{name} is one string: give a tuple, {name}=({items[:20]!r},).")
    values = tuple(items)
    for item in values:
        if not isinstance(item, kind):
            raise SaliencyError(f"{name} must hold {kind.__name__}s, not {type(item).__name__}: {item!r}.")
    return values


def string(value: str, name: str) -> str:
    """Return the value; raise an error if it is not a string."""
    if not isinstance(value, str):
        raise SaliencyError(f"{name} must be a string, not {type(value).__name__}.")
    return str(value)


def frozen_scores(values: Any) -> np.ndarray:
    """A read-only, exact copy: float64 stays float64, lower precision becomes float32."""
    return _frozen(values, "scores", np.float32)


def frozen_delta(values: Any) -> np.ndarray | None:
    """A read-only, exact copy in float64; None for None."""
    return None if values is None else _frozen(values, "convergence_delta", np.float64)


def frozen_sums(values: Any) -> np.ndarray | None:
    """The same for the sums that rows miss; None if no row misses its sum."""
    sums = None if values is None else _frozen(values, "missed_sums", np.float64)
    return None if sums is None or np.isnan(sums).all() else sums


def _frozen(values: Any, name: str, least: type[np.floating[Any]]) -> np.ndarray:
    array = np.asarray(values)
    if not np.issubdtype(array.dtype, np.floating) or array.dtype.itemsize > 8:
        raise SaliencyError(
            f"{name} must be real floating-point numbers of at most 64 bits, not {array.dtype}."
        )
    array = array.astype(np.result_type(array.dtype, least), order="C")  # astype always copies
    array.setflags(write=False)
    return array


def same_array(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    """Whether two arrays have the same dtype and equal numbers; NaN equals NaN."""
    if a is None or b is None:
        return a is b
    return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=True)


def check_shapes(
    scores: np.ndarray, delta: np.ndarray | None, sums: np.ndarray | None, targets: int, tokens: int
) -> None:
    """Refuse arrays whose shapes do not match the numbers of targets and tokens."""
    if scores.shape != (targets, tokens):
        raise SaliencyError(
            f"scores have shape {scores.shape}, but there are {targets} targets and {tokens} tokens: "
            "pass an array of shape (targets, tokens)."
        )
    for name, values in (("convergence_delta", delta), ("missed_sums", sums)):
        if values is not None and values.shape != (targets,):
            raise SaliencyError(f"{name} has shape {values.shape}, but there are {targets} targets.")


def check_names(names: Sequence[str], texts: Sequence[str]) -> None:
    """Refuse names for only some of the texts."""
    if names and len(names) != len(texts):
        raise SaliencyError(
            f"text_names has {len(names)} names for {len(texts)} texts: give one for each text, or leave it out."
        )


def check_places(texts: Sequence[str], tokens: Sequence[Token], targets: Sequence[TargetRow]) -> None:
    """Refuse tokens outside the texts, and targets outside the tokens."""
    for token in tokens:
        inside = 0 <= token.text_index < len(texts)
        if not (inside and 0 <= token.start <= token.end <= len(texts[token.text_index])):
            raise SaliencyError(f"{token} is outside the given texts.")
    for target in targets:
        if not all(0 <= each < len(tokens) for each in target.positions):
            raise SaliencyError(
                f"{target} is at a token that does not exist: the map has {len(tokens)} tokens."
            )


def json_object(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Copy a mapping deeply, as JSON values; refuse anything else, such as a tensor or a function.

    Tuples and arrays become lists, and NumPy scalars become Python's. Numbers that JSON lacks become the strings
    ``"nan"``, ``"inf"`` and ``"-inf"``. ``name`` is the mapping's name in errors.
    """
    if not isinstance(values, Mapping):
        raise SaliencyError(f"{name} must be a dictionary, not {type(values).__name__}.")
    for key in values:
        if not isinstance(key, str):
            raise SaliencyError(f"{name} has the key {key!r}: its keys must be strings.")
    return {str(key): _json_value(value, f"{name}[{key!r}]") for key, value in values.items()}


def _json_value(value: Any, name: str) -> Any:
    if type(value) is str:  # nearly all values
        return value
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, (list, tuple)):
        return [_json_value(item, f"{name}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, Mapping):
        return json_object(value, name)
    raise SaliencyError(
        f"{name} is a {type(value).__name__}, which cannot be saved: give strings, numbers, lists or "
        "dictionaries, such as its name."
    )


@dataclass(frozen=True, slots=True)
class Prediction:
    """One of the model's most probable answers at a target: its text, its class id and its probability.

    Parameters
    ----------
    label
        The answer's text: a token, or the name of a class.
    class_id
        The class id of the answer.
    probability
        The probability of the answer, from 0 to 1.

    Raises
    ------
    SaliencyError
        If the label is not a string.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> hs.Prediction("coffee", 4157, 0.25)
    Prediction(label='coffee', class_id=4157, probability=0.25)
    """

    label: str
    class_id: int
    probability: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", string(self.label, "label"))
        object.__setattr__(self, "class_id", operator.index(self.class_id))
        object.__setattr__(self, "probability", float(self.probability))


@dataclass(frozen=True, slots=True)
class TargetRow:
    """The target that one row of a map explains.

    Parameters
    ----------
    label
        Name of the target, such as the token's text.
    position
        The target's column: the token that is masked, labelled or predicted (a causal model's logits for it are read
        one token earlier). None if the score belongs to no token.
    score
        The explained value, in ``unit``: logit, log-probability in nats or probability.
    unit
        ``"logit"``, ``"log_prob"`` or ``"prob"``.
    masked
        Whether the model saw a mask at ``position``.
    against
        The label of the contrast, if there is one; ``score`` is then a difference.
    predictions
        The model's best answers at this target, best first.
    class_id
        The class id of the label, as in the predictions; None if it is not known.
    positions
        All columns of the target, where there are several (the tokens of an entity, a masked phrase or an answer).
        By default ``position`` alone.
    probability
        The model's probability of the label, from 0 to 1; None if there is none, as for a sum over several tokens, or
        if it is not known.
    against_probability
        The model's probability of ``against``.

    Raises
    ------
    SaliencyError
        If the unit is unknown, or a label is not a string.

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
    class_id: int | None = None
    positions: tuple[int, ...] = ()
    probability: float | None = None
    against_probability: float | None = None

    def __post_init__(self) -> None:
        one_of(self.unit, UNITS, "unit")
        object.__setattr__(self, "label", string(self.label, "label"))
        if self.against is not None:
            object.__setattr__(self, "against", string(self.against, "against"))
        if self.position is not None:
            object.__setattr__(self, "position", operator.index(self.position))
        stands = tuple(operator.index(each) for each in self.positions)
        if self.position not in stands:  # another position was given, for example by dataclasses.replace
            stands = () if self.position is None else (self.position,)
        object.__setattr__(self, "positions", stands)
        if self.class_id is not None:
            object.__setattr__(self, "class_id", operator.index(self.class_id))
        object.__setattr__(self, "score", float(self.score))
        for name in ("probability", "against_probability"):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else float(value))
        object.__setattr__(self, "masked", bool(self.masked))
        object.__setattr__(self, "predictions", tuple_of(Prediction, self.predictions, "predictions"))

    def moved(self, new: Mapping[int, int]) -> TargetRow:
        """The target with its columns renumbered by ``new``; its position is None if ``new`` has none of them."""
        kept = tuple(dict.fromkeys(new[each] for each in self.positions if each in new))
        position = None if self.position is None else new.get(self.position, kept[0] if kept else None)
        return dataclasses.replace(self, position=position, positions=kept)
