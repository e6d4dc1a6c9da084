"""Rows divided by what makes them comparable."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from jaxtyping import Float

from hf_saliency.errors import SaliencyError

Normalization = Literal["row_max", "row_sum", "none"]


def normalized(
    scores: Float[np.ndarray, "targets tokens"], how: Normalization
) -> Float[np.ndarray, "targets tokens"]:
    """A new array, as :meth:`hf_saliency.SaliencyMap.normalized` describes it."""
    if how not in get_args(Normalization):
        raise SaliencyError(f"normalized({how!r}): choose 'row_max', 'row_sum' or 'none'.")
    values = scores.copy()
    finite = np.isfinite(values)
    if how != "none":
        values /= _divisor(np.where(finite, np.abs(values), 0).max(axis=1, initial=0))
    if how == "row_sum":  # of numbers of at most 1, so that no sum overflows
        values /= _divisor(np.where(finite, np.abs(values), 0).sum(axis=1))
    return values


def _divisor(of_row: Float[np.ndarray, " targets"]) -> Float[np.ndarray, "targets 1"]:
    return np.where(of_row == 0, 1, of_row)[:, None]
