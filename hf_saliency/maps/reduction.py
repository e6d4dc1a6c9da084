"""Scores into fewer or comparable numbers: rows normalised, the pieces of a word merged."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Float

from hf_saliency.errors import Reduction, one_of
from hf_saliency.maps.fields import TargetRow
from hf_saliency.maps.spans import Token

Normalization = Literal["row_max", "row_sum", "none"]
Columns = Literal["all", "context", "prompt"]

REDUCE: dict[Reduction, Callable[[np.ndarray], np.ndarray]] = {
    "sum": lambda values: values.sum(axis=-1),
    "mean": lambda values: values.mean(axis=-1),
    "norm": lambda values: np.hypot.reduce(values, axis=-1),  # squares could leave the range
    "norm_1": lambda values: np.abs(values).sum(axis=-1),
    "max": lambda values: np.take_along_axis(values, np.abs(values).argmax(axis=-1)[..., None], -1)[..., 0],
    "absmax": lambda values: np.abs(values).max(axis=-1),
}
"""Each reduction over the last axis."""


def normalized(
    scores: Float[np.ndarray, "targets tokens"],
    how: Normalization,
    counted: Bool[np.ndarray, "targets tokens"] | None = None,
) -> Float[np.ndarray, "targets tokens"]:
    """A new array, as :meth:`hf_saliency.SaliencyMap.normalized` describes it."""
    one_of(how, get_args(Normalization), "normalized(how)")
    values = scores.copy() if counted is None else np.where(counted, scores, scores.dtype.type(0))
    finite = np.isfinite(values)
    if how != "none":
        values /= _divisor(np.where(finite, np.abs(values), 0).max(axis=1, initial=0))
    if how == "row_sum":  # of numbers of at most 1, so that no sum overflows
        values /= _divisor(np.where(finite, np.abs(values), 0).sum(axis=1))
    return values


def _divisor(of_row: Float[np.ndarray, " targets"]) -> Float[np.ndarray, "targets 1"]:
    return np.where(of_row == 0, 1, of_row)[:, None]


def counted_columns(
    tokens: Sequence[Token], targets: Sequence[TargetRow], columns: Columns, names: Sequence[str] = ()
) -> Bool[np.ndarray, "targets tokens"] | None:
    """Which tokens count in each row; None for all."""
    if one_of(columns, get_args(Columns), "columns") == "all":
        return None
    counted = np.ones((len(targets), len(tokens)), dtype=bool)
    several = len({token.text_index for token in tokens}) > 1
    # All messages of a conversation lead up to the last one.
    reply = len(names) - 1 if names and names[-1] == "assistant" else 1
    before = np.array([token.text_index < reply for token in tokens], dtype=bool)
    for row, target in enumerate(targets):
        if columns == "prompt" and several:
            counted[row] = before
        elif columns == "prompt" and target.positions:
            counted[row, min(target.positions) :] = False
        counted[row, list(target.positions)] = False
    return counted


def reduced(
    scores: Float[np.ndarray, "targets tokens"], columns: Sequence[Sequence[int]], reduction: Reduction
) -> Float[np.ndarray, "targets words"]:
    """One column for each group, in the scores' own dtype; the arithmetic is in float64."""
    exact = scores.astype(np.float64)
    result = np.empty((len(scores), len(columns)), scores.dtype)
    # inf - inf is NaN, as nothing else is known of it; a sum beyond the dtype is infinite, which figures hatch.
    with np.errstate(invalid="ignore", over="ignore"):
        for i, group in enumerate(columns):
            result[:, i] = REDUCE[reduction](exact[:, group])
    return result


def merged(texts: Sequence[str], pieces: Sequence[Token]) -> Token:
    """The token that stands for several, named by the characters that it covers."""
    if len(pieces) == 1:
        return pieces[0]
    first = pieces[0]
    start, end = min(token.start for token in pieces), max(token.end for token in pieces)
    return dataclasses.replace(first, piece=texts[first.text_index][start:end], start=start, end=end)
