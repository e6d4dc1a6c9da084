"""Bounds of the area over the perturbation curve, compared with the areas of all orders."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from linear_text import Score, linear, ranked

import hf_saliency as hs
from hf_saliency.metrics.normalized import beam_bounds, exact_bounds


def crooked(units: int, seed: int) -> Score:
    """Return a score without any structure: a random number for each set of units."""
    table = np.random.default_rng(seed).normal(size=2**units)
    return lambda keep: table[keep @ (1 << np.arange(units))]


def area(score: Score, order: tuple[int, ...], removes: bool) -> float:
    """Return the mean drop along an order, computed one mask at a time."""
    units = len(order)
    whole, drops = score(np.ones((1, units), bool))[0], []
    for k in range(1, units + 1):
        keep = np.ones((1, units), bool) if removes else np.zeros((1, units), bool)
        keep[0, list(order[:k])] = not removes
        drops.append(whole - score(keep)[0])
    return float(np.mean(drops))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("removes", [True, False])
def test_exact_bounds_are_those_of_all_orders(seed: int, removes: bool) -> None:
    score = crooked(5, seed)
    areas = {order: area(score, order, removes) for order in itertools.permutations(range(5))}
    low, high = min(areas.values()), max(areas.values())
    metric = hs.normalized_comprehensiveness() if removes else hs.normalized_sufficiency()
    for order in [(0, 1, 2, 3, 4), (3, 1, 4, 0, 2)]:
        value, _ = metric.measure(ranked(score, [-order.index(i) for i in range(5)]))
        assert value == pytest.approx((areas[order] - low) / (high - low))


def test_a_wide_beam_is_exact_and_a_narrow_one_is_for_a_linear_score() -> None:
    score = crooked(6, 0)
    whole = score(np.ones((1, 6), bool))[0]

    def drops(chosen: np.ndarray) -> np.ndarray:
        return np.asarray(whole - score(~chosen))

    assert beam_bounds(drops, 6, 64) == pytest.approx(exact_bounds(drops, 6, 64))
    low, high = beam_bounds(drops, 6, 2)
    assert exact_bounds(drops, 6, 2)[0] <= low < high <= exact_bounds(drops, 6, 2)[1]
    weights = np.random.default_rng(1).normal(size=12)
    value, _ = hs.normalized_comprehensiveness(beam=1).measure(ranked(linear(weights), weights))
    assert value == pytest.approx(1)
    value, _ = hs.normalized_sufficiency(beam=1).measure(ranked(linear(weights), -weights))
    assert value == pytest.approx(1)


def test_a_score_that_nothing_changes_has_no_value() -> None:
    value, _ = hs.normalized_comprehensiveness().measure(ranked(linear([0.0] * 4, 2.0), [1, 2, 3, 4]))
    assert np.isnan(value)
