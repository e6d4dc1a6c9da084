"""Reduction: rows of scores normalised, and the pieces of a word merged."""

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
    "norm": lambda values: np.hypot.reduce(values, axis=-1),  # hypot, since squares could overflow
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
    """A new array with normalised rows, as :meth:`hf_saliency.SaliencyMap.normalized` describes it."""
    one_of(how, get_args(Normalization), "normalized(how)")
    values = scores.copy() if counted is None else np.where(counted, scores, scores.dtype.type(0))
    finite = np.isfinite(values)
    if how != "none":
        values /= _divisor(np.where(finite, np.abs(values), 0).max(axis=1, initial=0))
    if how == "row_sum":  # the numbers are at most 1 by now, so that no sum overflows
        values /= _divisor(np.where(finite, np.abs(values), 0).sum(axis=1))
    return values


def _divisor(of_row: Float[np.ndarray, " targets"]) -> Float[np.ndarray, "targets 1"]:
    return np.where(of_row == 0, 1, of_row)[:, None]


def counted_columns(
    tokens: Sequence[Token], targets: Sequence[TargetRow], columns: Columns, names: Sequence[str] = ()
) -> Bool[np.ndarray, "targets tokens"] | None:
    """A mask of the tokens that count in each row; None if all count."""
    if one_of(columns, get_args(Columns), "columns") == "all":
        return None
    counted = np.ones((len(targets), len(tokens)), dtype=bool)
    several = len({token.text_index for token in tokens}) > 1
    # In a conversation, all messages before the last one are the prompt.
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
    """Reduce each group of columns to one, in the dtype of ``scores``; the arithmetic is in float64."""
    exact = scores.astype(np.float64)
    result = np.empty((len(scores), len(columns)), scores.dtype)
    # inf - inf is NaN, since its value is unknown; a sum too large for the dtype is infinite, and figures hatch it.
    with np.errstate(invalid="ignore", over="ignore"):
        for i, group in enumerate(columns):
            result[:, i] = REDUCE[reduction](exact[:, group])
    return result


def merged(texts: Sequence[str], pieces: Sequence[Token]) -> Token:
    """Merge several tokens into one, named by the characters that it covers."""
    if len(pieces) == 1:
        return pieces[0]
    first = pieces[0]
    start, end = min(token.start for token in pieces), max(token.end for token in pieces)
    return dataclasses.replace(first, piece=texts[first.text_index][start:end], start=start, end=end)
