"""Averages of many maps agree with sums written out by hand, and their tests with closed forms."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from sample_maps import sweep

import hf_saliency as hs
from hf_saliency.errors import SaliencyError
from hf_saliency.maps.summarize import compared


def heat(text: str, scores: Any, position: int = 0, **changes: Any) -> hs.SaliencyMap:
    """Return a map with one target, and one token for each word."""
    tokens, start = [], 0
    for word in text.split():
        start = text.index(word, start)
        tokens.append(hs.Token(word, start, start + len(word)))
        start += len(word)
    rows = (hs.TargetRow(text.split()[position], position, 1.0),)
    values: dict[str, Any] = {"method": "m", "signed": True} | changes
    return hs.SaliencyMap((text,), tuple(tokens), rows, np.array([scores], float), **values)


MAPS = [heat("Tea is hot", [4, 1, -2]), heat("tea was cold tea", [8, 0, 2, 4], 1), heat("is", [3])]


def row(table: hs.Table, label: Any, column: str = "label") -> dict[str, Any]:
    (i,) = np.flatnonzero(table[column] == label)
    return {name: values[i].item() for name, values in table.columns.items()}


def test_each_text_counts_once() -> None:
    table = hs.summarize(MAPS, by="word")
    tea = row(table, "tea")
    assert tea["value"] == pytest.approx((1.0 + (1.0 + 0.5) / 2) / 2)
    assert tea["n"] == 2
    assert row(table, "hot")["value"] == 0.5
    assert np.isnan(row(table, "hot")["low"])
    assert table["value"].tolist() == sorted(table["value"], reverse=True)
    assert table.facts["n"] == 3


def test_positions_are_relative_to_the_target() -> None:
    table = hs.summarize(MAPS, by="position")
    assert table["position"].tolist() == [-1, 0, 1, 2]
    assert row(table, 1, "position")["value"] == pytest.approx((0.25 + 0.25) / 2)


def test_targets_columns_and_functions_are_keys() -> None:
    assert row(hs.summarize(MAPS, by="target"), "was")["value"] == pytest.approx((1 + 0 + 0.25 + 0.5) / 4)
    table = hs.summarize(MAPS, by=["x", "y", "x"])
    assert row(table, "x")["n"] == 2
    lengths = hs.summarize(MAPS, by=lambda token, heat: len(token.piece) if token.piece != "is" else None)
    assert sorted(lengths["label"]) == ["3", "4"]


def test_shares_and_context() -> None:
    table = hs.summarize(MAPS[:1], by="word", normalize="row_sum", columns="context")
    assert row(table, "hot")["value"] == pytest.approx(2 / 3)
    assert "tea" not in table["label"]


def test_pieces_of_a_word_are_summed() -> None:
    tokens = (hs.Token("un", 0, 2), hs.Token("##do", 2, 4))
    one = hs.SaliencyMap(("undo",), tokens, (hs.TargetRow("x", None, 1.0),), np.array([[1.0, 3.0]]), "m")
    assert row(hs.summarize(one, normalize="none"), "undo")["value"] == 4
    assert row(hs.summarize(one, by="token", normalize="none"), "##do")["value"] == 3


def test_the_interval_is_that_of_the_bootstrap() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(10, 1, 400)
    maps = [heat("a", [value]) for value in values]
    table = hs.summarize(maps, normalize="none", resamples=2000)
    half = 1.96 * values.std() / 20
    assert table["low"][0] == pytest.approx(values.mean() - half, abs=0.02)
    assert table["high"][0] == pytest.approx(values.mean() + half, abs=0.02)
    assert hs.summarize(maps, normalize="none", resamples=2000) == table
    assert hs.summarize(maps, normalize="none", resamples=2000, seed=1) != table


def test_two_groups_are_compared() -> None:
    maps = [heat("a", [float(value)]) for value in (1, 2, 3, 11, 12, 13)]
    table = hs.summarize(maps, normalize="none", groups=["x"] * 3 + ["y"] * 3, resamples=4000)
    assert table["difference"].tolist() == [-10, -10]
    assert table["effect_size"][0] == pytest.approx(-10)
    # Of the 20 ways to choose three values, 2 are at least as extreme.
    assert table["p_value"][0] == pytest.approx(2 / 20, abs=0.03)
    assert sorted(table["group"]) == ["x", "y"]


def test_equal_groups_do_not_differ() -> None:
    same = np.ones(5)
    difference, p, effect = compared(same, same, 100, np.random.default_rng(0))
    assert (difference, p) == (0, 1)
    assert np.isnan(effect)


@pytest.mark.parametrize(
    ("change", "noun"),
    [({"method": "n"}, "methods"), ({"arguments": {"n_steps": 5}}, "arguments of the method")],
)
def test_maps_of_different_kinds_are_refused(change: Any, noun: str) -> None:
    with pytest.raises(SaliencyError, match=f"different {noun}"):
        hs.summarize([MAPS[0], heat("a b", [1, 2], **change)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"by": "words"}, "by='words': choose one of"),
        ({"by": ["x"]}, "by has 1 values for 3 maps"),
        ({"groups": "ab"}, "give a list with one value for each map"),
        ({"confidence": 95}, "between 0 and 1"),
        ({"resamples": 0}, "resamples=0"),
        ({"seed": -1}, "seed=-1"),
        ({"normalize": "max"}, "choose one of"),
    ],
)
def test_other_arguments_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(SaliencyError, match=message):
        hs.summarize(MAPS, **arguments)


def test_maps_are_read_one_at_a_time() -> None:
    alive: list[weakref.ref[hs.SaliencyMap]] = []

    def read() -> Iterator[hs.SaliencyMap]:
        for number in range(5):
            each = heat("a b", [number + 1, 1])
            alive.append(weakref.ref(each))
            yield each
            del each
            # The first map, with which the others are compared, and this one.
            assert sum(ref() is not None for ref in alive) <= 2

    assert hs.summarize(read(), normalize="none", groups=list("xyxyx")).facts["n"] == 5
    with pytest.raises(SaliencyError, match="groups has 4 values for 5 maps"):
        hs.summarize(read(), groups=list("xyxy"))
    with pytest.raises(SaliencyError, match="groups has 6 values for 5 maps"):
        hs.summarize(read(), groups=list("xyxyxy"))


def test_no_maps_are_refused() -> None:
    with pytest.raises(SaliencyError, match="at least one map"):
        hs.summarize([])


def test_agreements_of_every_pair() -> None:
    other = sweep(method="other", scores=sweep().scores[:, ::-1].copy())
    table = hs.agreement_matrix({"a": [sweep(), sweep()], "b": [sweep(), other]}, top=3)
    pair = {(x, y): v for x, y, v in zip(table["first"], table["second"], table["value"], strict=True)}
    expected = np.mean([np.nanmean(hs.agreement(sweep(), each).spearman) for each in (sweep(), other)])
    assert pair["a", "b"] == pair["b", "a"] == pytest.approx(expected)
    assert pair["a", "a"] == pytest.approx(1)
    assert table["n"].tolist() == [2] * 4


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        ([sweep()], "a dictionary of two names"),
        ({"a": sweep()}, "a dictionary of two names"),
        ({"a": sweep(), "b": [sweep(), sweep()]}, "differ in length"),
        ({"a": sweep(), "b": "text"}, "'b' must be a SaliencyMap or a non-empty list of them, not 'text'"),
    ],
)
def test_other_matrices_are_refused(maps: Any, message: str) -> None:
    with pytest.raises(SaliencyError, match=message):
        hs.agreement_matrix(maps)
