"""Metrics by rank: their values for a linear score and their mean over all orders; the true order is the best."""

from __future__ import annotations

import itertools
import pickle
from typing import Any

import numpy as np
import pytest
from linear_text import linear, ranked

import hf_saliency as hs
from hf_saliency.metrics.metric import RankedUnits

WEIGHTS = (0.5, -1.0, 3.0, 2.0, 0.25)
SHARES = (0.2, 0.4, 0.6)
ORDERS = list(itertools.permutations(range(5)))


def value(metric: hs.Metric, score: Any, values: Any, **changes: Any) -> float:
    top, bottom = metric.measure(ranked(score, values, **changes))
    return top / bottom


def of_orders(metric: hs.Metric) -> list[float]:
    """Return the value of a metric for each order of the five units."""
    return [value(metric, linear(WEIGHTS, 1.5), [-order.index(i) for i in range(5)]) for order in ORDERS]


def test_values_of_a_linear_score() -> None:
    score = linear(WEIGHTS, 1.5)  # 6.25 for the whole text; the ranked weights are 3, 2, 0.5, 0.25, -1
    assert value(hs.comprehensiveness(SHARES), score, WEIGHTS) == pytest.approx((3 + 5 + 5.5) / 3)
    assert value(hs.sufficiency(SHARES), score, WEIGHTS) == pytest.approx((1.75 - 0.25 - 0.75) / 3)
    points = [6.25, 3.25, 1.25, 0.75, 0.5, 1.5]
    assert value(hs.deletion_area(), score, WEIGHTS) == pytest.approx(
        (sum(points) - (points[0] + points[-1]) / 2) / 5
    )
    points = [1.5, 4.5, 6.5, 7.0, 7.25, 6.25]
    assert value(hs.insertion_area(), score, WEIGHTS) == pytest.approx(
        (sum(points) - (points[0] + points[-1]) / 2) / 5
    )


def test_the_mean_of_all_orders_is_that_of_a_straight_line() -> None:
    total = sum(WEIGHTS)
    assert np.mean(of_orders(hs.comprehensiveness(SHARES))) == pytest.approx(0.4 * total)
    assert np.mean(of_orders(hs.sufficiency(SHARES))) == pytest.approx(0.6 * total)
    assert np.mean(of_orders(hs.deletion_area())) == pytest.approx(1.5 + total / 2)
    assert np.mean(of_orders(hs.insertion_area())) == pytest.approx(1.5 + total / 2)
    assert np.mean(of_orders(hs.normalized_comprehensiveness())) == pytest.approx(0.5)
    assert np.mean(of_orders(hs.normalized_sufficiency())) == pytest.approx(0.5)
    assert np.mean(of_orders(hs.rank_agreement())) == pytest.approx(0)
    losses = [
        value(hs.log_odds(0.4), linear(WEIGHTS), [-order.index(i) for i in range(5)], unit="log_prob")
        for order in ORDERS
    ]
    assert np.mean(losses) == pytest.approx(-0.4 * total)
    assert min(losses) == value(hs.log_odds(0.4), linear(WEIGHTS), WEIGHTS, unit="log_prob")


def test_the_first_unit_that_decides() -> None:
    """One unit of five decides: orders find it after three units on average, and the oracle finds it first."""
    shares = [value(hs.decision_flip(), linear([0, 0, 1, 0, 0], -0.5), order) for order in ORDERS]
    assert np.mean(shares) == pytest.approx(3 / 5)
    assert value(hs.decision_flip(), linear([0, 0, 1, 0, 0], -0.5), [0, 0, 1, 0, 0]) == min(shares) == 1 / 5


@pytest.mark.parametrize(
    "metric",
    [
        hs.comprehensiveness(SHARES),
        hs.sufficiency(SHARES),
        hs.deletion_area(),
        hs.insertion_area(),
        hs.masking_area(),
        hs.normalized_comprehensiveness(),
        hs.normalized_sufficiency(),
        hs.soft_comprehensiveness(samples=400),
        hs.soft_sufficiency(samples=400),
        hs.rank_agreement(),
    ],
    ids=lambda metric: metric.name,
)
def test_the_true_order_scores_best(metric: hs.Metric) -> None:
    weights = np.array([0.5, 1.0, 3.0, 2.0, 0.25])
    values = [value(metric, linear(weights), weights[list(order)]) for order in ORDERS]
    best = value(metric, linear(weights), weights)
    assert best == pytest.approx(max(values) if metric.better == "higher" else min(values))
    assert value(metric, linear(weights), -weights) == pytest.approx(
        min(values) if metric.better == "higher" else max(values), abs=0.05 if "soft" in metric.name else None
    )


def test_the_area_below_random_orders() -> None:
    weights = [1.0, 2.0, 3.0, 4.0]
    assert value(hs.masking_area(random_orders=2000), linear(weights), weights) == pytest.approx(
        0.25, abs=0.01
    )
    many = [
        value(hs.masking_area(random_orders=2000), linear(weights), order)
        for order in itertools.permutations(weights)
    ]
    assert np.mean(many) == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize(("share", "masked"), [(0.01, 1), (0.2, 1), (0.21, 2), (0.4, 2), (1.0, 5)])
def test_a_share_is_rounded_up(share: float, masked: int) -> None:
    assert value(hs.comprehensiveness([share]), linear([1.0] * 5), range(5)) == masked


def test_equal_values_are_ranked_by_position() -> None:
    assert value(hs.comprehensiveness([0.4]), linear(WEIGHTS), [1, 1, 1, 1, 1]) == pytest.approx(-0.5)
    assert value(hs.comprehensiveness([0.2]), linear(WEIGHTS), [0, 0, 0, 1, 1]) == pytest.approx(2.0)


def test_an_answer_that_changes() -> None:
    score = linear([1.0, 2.0, 4.0, 8.0], -3.5)
    assert value(hs.decision_flip(), score, [1, 2, 4, 8]) == 0.5  # the scores are 11.5, 3.5, -0.5
    assert value(hs.decision_flip(), score, [8, 4, 2, 1]) == 1.0
    assert value(hs.decision_flip(), linear([1.0] * 4, 1), [1, 2, 4, 8]) == 1.0  # the answer never changes


def test_log_odds() -> None:
    weights = np.log([2.0, 4.0, 8.0])
    loss = value(hs.log_odds(0.5), linear(weights, -8.0), weights, unit="log_prob")
    assert loss == pytest.approx(-np.log(32.0))

    def chance(keep: np.ndarray) -> np.ndarray:
        return np.exp(linear(weights, -8.0)(keep))

    assert value(hs.log_odds(0.5), chance, weights, unit="prob") == pytest.approx(loss)
    with pytest.raises(hs.SaliencyError, match=r"the target's unit is 'logit'.*unit='log_prob'"):
        value(hs.log_odds(), linear(weights), weights)


def test_leave_one_out_agrees_with_itself() -> None:
    assert value(hs.rank_agreement(), linear(WEIGHTS), WEIGHTS) == pytest.approx(1)
    assert value(hs.rank_agreement(), linear(WEIGHTS), np.negative(WEIGHTS)) == pytest.approx(-1)
    magnitudes = np.abs(WEIGHTS)
    assert value(hs.rank_agreement(), linear(WEIGHTS), magnitudes, magnitude=True) == pytest.approx(1)
    assert value(hs.rank_agreement(), linear(WEIGHTS), magnitudes) == pytest.approx(0.7)
    assert np.isnan(value(hs.rank_agreement(), linear(WEIGHTS), [1] * 5))


@pytest.mark.parametrize("shares", [(), (0.0,), (1.1,), "abc", 3, (-0.5, 0.5)])
def test_shares_that_are_none(shares: Any) -> None:
    with pytest.raises(hs.SaliencyError, match=r"shares=.*above 0 up to 1"):
        hs.comprehensiveness(shares)


def test_each_variant_is_evaluated_once() -> None:
    units = ranked(linear(WEIGHTS), WEIGHTS)
    for metric in (hs.comprehensiveness(), hs.sufficiency(), hs.deletion_area(), hs.insertion_area()):
        metric.measure(units)
    assert units.text._variants.evaluated == 10  # type: ignore[attr-defined]  # of 6 and 6, whole and empty shared


@pytest.mark.parametrize(
    "make",
    [
        *(
            hs.comprehensiveness,
            hs.sufficiency,
            hs.log_odds,
            hs.deletion_area,
            hs.insertion_area,
            hs.decision_flip,
        ),
        *(hs.masking_area, hs.rank_agreement, hs.normalized_comprehensiveness, hs.normalized_sufficiency),
        *(hs.soft_comprehensiveness, hs.soft_sufficiency),
    ],
)
def test_metrics_pickle(make: Any) -> None:
    metric = make()
    copy = pickle.loads(pickle.dumps(metric))
    assert (copy, hash(copy)) == (metric, hash(metric))
    assert metric == make()
    assert (copy.name, copy.arguments, copy.citation) == (metric.name, metric.arguments, metric.citation)
    assert pickle.loads(pickle.dumps(hs.log_odds(share=0.1))).arguments == {"share": 0.1}


def test_metrics_are_equal_if_one_call_makes_both() -> None:
    assert hs.log_odds(0.1) == hs.log_odds(share=0.1) != hs.log_odds(0.2)
    assert hs.log_odds() != hs.decision_flip()
    assert hs.log_odds() != "log_odds"
    assert len({hs.log_odds(0.1), hs.log_odds(share=0.1), hs.log_odds(0.2)}) == 2
    shares = np.array([0.1, 0.2])
    assert (
        hs.comprehensiveness(shares)
        == hs.comprehensiveness(shares.copy())
        != hs.comprehensiveness(2 * shares)
    )
    assert hs.Metric("top", "higher", _measure) == hs.Metric("top", "higher", _measure)
    assert hs.Metric("top", "higher", _measure) != hs.Metric("top", "lower", _measure)
    copy = pickle.loads(pickle.dumps(hs.Metric("top", "higher", _measure)))
    assert copy == hs.Metric("top", "higher", _measure)


def _measure(ranked: RankedUnits) -> tuple[float, float]:
    return 1.0, 1.0
