"""Areas over the perturbation curve, between the worst and the best that any order of the units can reach."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from hf_saliency.errors import whole
from hf_saliency.metrics.metric import Keep, Metric, RankedUnits, named_metric

Drops = Callable[[Keep], np.ndarray]

EXACT_UNITS = 10


@named_metric
def normalized_comprehensiveness(exact_units: int = EXACT_UNITS, beam: int = 5) -> Metric:
    """Comprehensiveness of the whole curve, between the worst and the best order of the units.

    ``(A - lowest) / (highest - lowest)`` with ``A`` the mean of ``f(x) - f(x without the top k)`` for k from 1 to all
    units, and the lowest and highest ``A`` of any order. From 0 to 1; the higher, the more faithful. It compares
    models, whose plain values differ in scale.

    **Trap**: up to ``exact_units`` units the bounds are exact (all subsets, 1,024 passes for ten). Beyond that a beam
    search approximates them (about ``beam * units ** 2`` passes a target), and an order better than any that it found
    gives more than 1.

    Parameters
    ----------
    exact_units
        Up to how many units all subsets are evaluated.
    beam
        How many orders the search follows for longer texts.

    Returns
    -------
    Metric

    Raises
    ------
    SaliencyError
        For counts below 1.

    References
    ----------
    Edin et al. 2025, Normalized AOPC: Fixing Misleading Faithfulness Metrics for Feature Attributions
    Explainability, arXiv:2408.08137.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> hs.normalized_comprehensiveness(beam=3).arguments
    {'exact_units': 10, 'beam': 3}
    """
    return _normalized("normalized_comprehensiveness", "higher", True, exact_units, beam)


@named_metric
def normalized_sufficiency(exact_units: int = EXACT_UNITS, beam: int = 5) -> Metric:
    """Sufficiency of the whole curve, between the best and the worst order of the units.

    As :func:`normalized_comprehensiveness`, with ``f(x) - f(the top k alone)``. From 0 to 1; the lower, the more
    faithful.

    **Trap**: as of :func:`normalized_comprehensiveness`; a better order than the beam search found gives less than 0.

    Parameters
    ----------
    exact_units
        Up to how many units all subsets are evaluated.
    beam
        How many orders the search follows for longer texts.

    Returns
    -------
    Metric

    Raises
    ------
    SaliencyError
        For counts below 1.

    References
    ----------
    Edin et al. 2025, arXiv:2408.08137.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> hs.normalized_sufficiency().better
    'lower'
    """
    return _normalized("normalized_sufficiency", "lower", False, exact_units, beam)


def _normalized(
    name: str, better: Literal["higher", "lower"], removes: bool, exact_units: int, beam: int
) -> Metric:
    exact_units, beam = whole(exact_units, "exact_units"), whole(beam, "beam")

    def variants(ranked: RankedUnits) -> Keep:
        counts = range(1, len(ranked) + 1)
        return ranked.without_top(counts) if removes else ranked.top_alone(counts)

    def measure(ranked: RankedUnits) -> tuple[float, float]:
        def drops(chosen: Keep) -> np.ndarray:
            """What the score loses where the chosen units are masked, or alone stay."""
            return ranked.whole - ranked.scores(~chosen if removes else chosen)

        value = float((ranked.whole - ranked.scores(variants(ranked))).mean())
        search = exact_bounds if len(ranked) <= exact_units else beam_bounds
        low, high = search(drops, len(ranked), beam)
        return (value - low) / (high - low) if high > low else np.nan, 1.0

    arguments = {"exact_units": exact_units, "beam": beam}
    return Metric(name, better, measure, variants, arguments, "Edin et al. 2025")


def exact_bounds(drops: Drops, units: int, beam: int) -> tuple[float, float]:
    """The lowest and highest mean drop of any order, over all subsets of the units."""
    numbers = np.arange(2**units)
    members = (numbers[:, None] >> np.arange(units) & 1).astype(bool)
    values = drops(members)
    lowest, highest = np.zeros(len(numbers)), np.zeros(len(numbers))
    for number in numbers[1:]:
        before = number & ~(1 << np.flatnonzero(members[number]))
        lowest[number] = values[number] + lowest[before].min()
        highest[number] = values[number] + highest[before].max()
    return float(lowest[-1] / units), float(highest[-1] / units)


def beam_bounds(drops: Drops, units: int, beam: int) -> tuple[float, float]:
    """About the lowest and highest mean drop of any order: the best few beginnings, one unit longer each time."""
    low, high = (_beam(drops, units, beam, sign) for sign in (-1, 1))
    return -low, high


def _beam(drops: Drops, units: int, beam: int, sign: int) -> float:
    chosen, sums = np.zeros((1, units), bool), np.zeros(1)
    for _ in range(units):
        longer: dict[bytes, float] = {}
        for row, total in zip(chosen, sums.tolist(), strict=True):
            for unit in np.flatnonzero(~row):
                key = np.where(np.arange(units) == unit, True, row).tobytes()
                longer[key] = max(total, longer.get(key, -np.inf))
        sets = np.array([np.frombuffer(key, bool) for key in longer])
        totals = np.array(list(longer.values())) + sign * drops(sets)
        best = np.argsort(-totals, kind="stable")[:beam]
        chosen, sums = sets[best], totals[best]
    return float(sums[0] / units)
