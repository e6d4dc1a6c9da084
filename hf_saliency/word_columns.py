"""Columns of a map merged to words: which belong together, and what becomes of their scores."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float

from hf_saliency.errors import SaliencyError
from hf_saliency.spans import Token

WordReduction = Literal["sum", "mean", "max", "norm"]

_REDUCTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "sum": lambda columns: columns.sum(axis=1),
    "mean": lambda columns: columns.mean(axis=1),
    "max": lambda columns: np.take_along_axis(columns, np.abs(columns).argmax(axis=1)[:, None], axis=1)[:, 0],
    "norm": lambda columns: np.hypot.reduce(columns, axis=1),  # squares could leave the range
}


def check_reduction(reduction: str) -> None:
    """Refuse a reduction that does not exist."""
    if reduction not in _REDUCTIONS:
        raise SaliencyError(f"words({reduction!r}): choose one of {', '.join(map(repr, _REDUCTIONS))}.")


def merged(texts: Sequence[str], pieces: Sequence[Token]) -> Token:
    """The token that stands for several, named by what it covers."""
    if len(pieces) == 1:
        return pieces[0]
    first = pieces[0]
    start, end = min(token.start for token in pieces), max(token.end for token in pieces)
    return dataclasses.replace(first, piece=texts[first.text][start:end], start=start, end=end)


def reduced(
    scores: Float[np.ndarray, "targets tokens"], columns: Sequence[Sequence[int]], reduction: WordReduction
) -> Float[np.ndarray, "targets words"]:
    """One column for each group, in the scores' own dtype; the arithmetic is float64's."""
    exact = scores.astype(np.float64)
    found = np.empty((len(scores), len(columns)), scores.dtype)
    with np.errstate(invalid="ignore"):  # inf - inf is NaN, which is what is known of it
        for i, group in enumerate(columns):
            found[:, i] = _REDUCTIONS[reduction](exact[:, group])
    return found
