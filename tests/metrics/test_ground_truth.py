"""Measures with a ground truth: values by hand, the mean of all orders, and the oracle as the best."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from handmade import saliency_map, with_scores

import hf_saliency as hs
from hf_saliency.metrics.ground_truth import MEASURES

TRUTH = np.array([True, False, True, False, False])
ORDERS = [np.array(order) for order in itertools.permutations(range(5))]


def value(name: str, values: Any, share: float = 0.4) -> float:
    return MEASURES[name][0](np.asarray(values, float), TRUTH, share)


def test_numbers_of_one_ranking() -> None:
    values = [3.0, 5.0, 2.0, 2.5, -1.0]  # the true tokens have ranks 2 and 4
    found = {name: value(name, values) for name in MEASURES}
    assert found == pytest.approx(
        {
            "precision_at_k": 0.5,
            "mean_rank": 3.0,
            "reciprocal_rank": 0.5,
            "pointing_game": 0.0,
            "relevance_mass": 5 / 12.5,
            "auprc": 0.5,
            "token_f1": 0.5,
            "iou": 1 / 3,
        }
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("precision_at_k", 0.4),
        ("mean_rank", 3.0),
        ("pointing_game", 0.4),
        ("relevance_mass", 0.4),
        ("token_f1", 0.4),
        ("reciprocal_rank", (4 + 3 / 2 + 2 / 3 + 1 / 4) / 10),  # the first true token has rank 1, 2, 3 or 4
        ("auprc", ((4 + 3 / 2 + 2 / 3 + 1 / 4) + 2 * (1 / 2 + 2 / 3 + 3 / 4 + 4 / 5)) / 20),
        ("iou", (6 / 3 + 1) / 10),  # six of ten pairs share one token with the true pair
    ],
)
def test_the_mean_of_all_orders(name: str, expected: float) -> None:
    assert np.mean([value(name, order + 1) for order in ORDERS]) == pytest.approx(expected)


@pytest.mark.parametrize("name", list(MEASURES))
def test_the_oracle_is_best(name: str) -> None:
    values = [value(name, order) for order in ORDERS]
    best, oracle = (max if MEASURES[name][1] == "higher" else min)(values), value(name, TRUTH)
    assert oracle == 1.5 if name == "mean_rank" else oracle == 1
    assert oracle >= best if MEASURES[name][1] == "higher" else oracle <= best


def test_special_and_masked_tokens_do_not_count() -> None:
    heat = saliency_map("one two six ten", targets=[1], special=True)
    truth = [token.piece in ("one", "two", "[CLS]") for token in heat.tokens]
    scores = np.array([[9.0, 3.0, 8.0, 1.0, 2.0, 9.0]])  # [CLS], [SEP] and the target have the largest scores
    table = hs.ground_truth({"a": with_scores(heat, scores), "b": [with_scores(heat, -scores)]}, [truth])
    at = (table["label"] == "a") & (table["group"] == "pointing_game")
    assert table["value"][at] == 1
    assert table["value"][table["label"] == "b"].tolist() == table["value"][table["label"] == "a"].tolist()
    signed = hs.ground_truth(
        {"b": with_scores(heat, -scores)}, [truth], ranking="value", metrics=["mean_rank"]
    )
    assert signed["value"][0] == 3
    assert signed["label"].tolist() == ["b", "random"]


@pytest.mark.parametrize(
    ("maps", "truths", "message"),
    [
        ({}, [], "maps is a dictionary"),
        ({"a": saliency_map("one two")}, [], "truths has 0 elements for 1 texts"),
        ({"a": saliency_map("one two")}, [[1.0, 0.0]], r"truths\[0\] holds float64"),
        ({"a": saliency_map("one two")}, [[True]], r"shape \(2,\) or \(2, 2\)"),
        ({"a": saliency_map("one two")}, [[True, False]], r"truths\[0\] must mark at least one token"),
        ({"a": saliency_map("one"), "b": saliency_map("one two")}, [[True]], "the maps 'b' have other"),
    ],
)
def test_refused(maps: Any, truths: Any, message: str) -> None:
    with pytest.raises(hs.SaliencyError, match=message):
        hs.ground_truth(maps, truths)
