"""Means over texts with their intervals, and the band of random orders."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

RANDOM = "random"
RANDOM_SEEDS = 5
INTERVAL = "95 % percentile bootstrap over texts"
BAND = f"lowest and highest of {RANDOM_SEEDS} seeds"
_RESAMPLES = 1000


def bands(labels: Any) -> dict[str, list[str]]:
    """The names of the values behind each row: one, or the seeds of the random order."""
    names: dict[str, list[str]] = {}
    for label in labels:
        names.setdefault(RANDOM if label.startswith(f"{RANDOM} ") else label, []).append(label)
    return names


def summary(of_texts: Sequence[Float[np.ndarray, "texts 2"]], seed: int) -> dict[str, float]:
    """The value and its interval: over texts for one method, over seeds for the random order."""
    known = [pairs[np.isfinite(pairs).all(axis=1)] for pairs in of_texts]
    n = min(len(pairs) for pairs in known)
    if n == 0:
        return {"value": np.nan, "low": np.nan, "high": np.nan, "n": 0}
    values = [_ratio(pairs.sum(axis=0)) for pairs in known]
    low = high = np.nan
    if len(known) > 1:
        low, high = min(values), max(values)
    elif n > 1:
        drawn = _ratio(known[0][_resamples(n, seed)].sum(axis=1))
        low, high = np.nanquantile(drawn, [0.025, 0.975]).tolist()
    return {"value": float(np.mean(values)), "low": float(low), "high": float(high), "n": n}


@functools.lru_cache(maxsize=4)
def _resamples(n: int, seed: int) -> np.ndarray:
    """The same draws for every method, so that their intervals compare."""
    return np.random.default_rng((seed, n)).integers(n, size=(_RESAMPLES, n))


def _ratio(sums: np.ndarray) -> Any:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(sums[..., 1] != 0, sums[..., 0] / sums[..., 1], np.nan)[()]
