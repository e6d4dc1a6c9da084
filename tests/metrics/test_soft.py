"""Soft masking: the expected loss of a linear score is known, and retention is as requested."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from linear_text import linear, ranked

import hf_saliency as hs
from hf_saliency.metrics.soft import retained, unit_interval

WEIGHTS = np.array([0.5, 1.0, 3.0, 2.0, 0.25])


@pytest.mark.parametrize("retain", [0.2, 0.5, 0.8, None])
def test_the_expected_loss_of_a_linear_score(retain: float | None) -> None:
    stays = unit_interval(WEIGHTS)
    loss, most = hs.soft_comprehensiveness(retain, samples=4000).measure(ranked(linear(WEIGHTS), WEIGHTS))
    assert most == pytest.approx(WEIGHTS.sum())
    assert loss == pytest.approx(WEIGHTS @ (1 - retained(1 - stays, retain)), abs=0.1)
    left, most = hs.soft_sufficiency(retain, samples=4000).measure(ranked(linear(WEIGHTS), WEIGHTS))
    assert left == pytest.approx(WEIGHTS @ retained(stays, retain), abs=0.1)


@pytest.mark.parametrize("metric", [hs.soft_comprehensiveness(0.4, 400), hs.soft_sufficiency(0.4, 400)])
def test_the_mean_of_all_orders_is_what_retention_leaves(metric: hs.Metric) -> None:
    pairs = [
        metric.measure(ranked(linear(WEIGHTS), np.array(order)))
        for order in itertools.permutations([0.0, 1.0, 2.0, 3.0, 4.0])
    ]
    top, bottom = np.sum(pairs, axis=0)
    assert top / bottom == pytest.approx(0.6 if metric.name == "soft_comprehensiveness" else 0.4, abs=0.03)


@pytest.mark.parametrize("retain", [0.05, 0.5, 0.9])
@pytest.mark.parametrize("values", [WEIGHTS, WEIGHTS**8, -WEIGHTS, np.ones(4), np.array([0.0, 1.0])])
def test_retention_has_its_mean_and_keeps_the_order(retain: float, values: np.ndarray) -> None:
    importance = unit_interval(values)
    chances = retained(importance, retain)
    assert chances.mean() == pytest.approx(retain)
    assert ((chances >= 0) & (chances <= 1)).all()
    order = np.argsort(importance, kind="stable")
    assert (np.diff(chances[order]) >= 0).all()


def test_methods_are_compared_at_equal_retention() -> None:
    """With unequal retention, the same order has a higher value if most of its scores are large."""
    many, few = WEIGHTS**0.1, WEIGHTS**4

    def losses(retain: float | None) -> list[float]:
        metric = hs.soft_comprehensiveness(retain, samples=2000)
        return [metric.measure(ranked(linear([1.0] * 5), values))[0] for values in (many, few)]

    assert losses(None)[0] > losses(None)[1] + 1
    assert losses(0.5)[0] == pytest.approx(losses(0.5)[1], abs=0.1)


@pytest.mark.parametrize("retain", [0, 1, 2.0, "half"])
def test_a_retention_that_is_none(retain: Any) -> None:
    with pytest.raises(hs.SaliencyError, match=r"retain=.*between 0 and 1"):
        hs.soft_sufficiency(retain)
