"""Areas over the perturbation curve: scaled between the worst and the best order of the units."""

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
    """Comprehensiveness of the whole curve, scaled between the worst and the best order of the units.

    ``(A - lowest) / (highest - lowest)``, where ``A`` is the mean of ``f(x) - f(x without the top k)`` for k from 1 to
    all units, and ``lowest`` and ``highest`` are the bounds of ``A`` over all orders. It is from 0 to 1; the higher,
    the more faithful. It can compare models, even if their plain values differ in scale.

    **Trap**: the bounds are exact for up to ``exact_units`` units (all subsets, 1,024 passes for ten). Beyond that, a
    beam search approximates them (about ``beam * units ** 2`` passes per target), and an order better than any that it
    found has a value above 1.

    Parameters
    ----------
    exact_units
        The largest number of units for which all subsets are evaluated.
    beam
        The number of orders that the search follows for longer texts.

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
    """Sufficiency of the whole curve, scaled between the best and the worst order of the units.

    As :func:`normalized_comprehensiveness`, with ``f(x) - f(the top k alone)``. It is from 0 to 1; the lower, the more
    faithful.

    **Trap**: the same as for :func:`normalized_comprehensiveness`; an order better than any that the beam search found
    has a value below 0.

    Parameters
    ----------
    exact_units
        The largest number of units for which all subsets are evaluated.
    beam
        The number of orders that the search follows for longer texts.

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
            """The loss of score when the chosen units are masked, or when only they stay."""
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
    """Approximate the lowest and highest mean drop of any order: extend the best few beginnings unit by unit."""
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
