from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import sample_maps as maps
from hypothesis import given, strategies as st
from scipy.stats import spearmanr

from hf_saliency.errors import SaliencyError
from hf_saliency.maps.compare import agreement, partners
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.maps.spans import Token

PLACES = [(0, 1), (2, 3), (4, 5), (6, 7), (8, 9), (10, 11)]


def of(*rows: list[float], signed: bool = False) -> SaliencyMap:
    return replace(maps.of("a b c d e f", PLACES, np.array(rows, dtype=float)), signed=signed)


scores = st.lists(st.integers(-4, 4).map(float), min_size=6, max_size=6)


@given(scores, scores, st.booleans())
def test_ranks_are_those_of_scipy(a: list[float], b: list[float], signed: bool) -> None:
    found = agreement(of(a, signed=signed), of(b, signed=signed)).spearman[0]
    if not signed:
        a, b = [abs(v) for v in a], [abs(v) for v in b]
    if len(set(a)) == 1 or len(set(b)) == 1:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(spearmanr(a, b).statistic)


def test_overlap_is_the_share_of_the_strongest() -> None:
    one, other = of([9, 8, 7, 0, 0, 0]), of([0, -9, 8, 7, 0, 0], signed=True)
    assert agreement(one, other, top=3).overlap.tolist() == pytest.approx([2 / 3])
    assert agreement(one, one, top=3).overlap.tolist() == [1]
    assert agreement(one, other, top=99).overlap.tolist() == [1]


def test_signs_count_only_where_both_have_them() -> None:
    one, other = of([1, 2, 3, 4, 5, 6], signed=True), of([-1, -2, -3, -4, -5, -6], signed=True)
    assert agreement(one, other).spearman.tolist() == pytest.approx([-1])
    assert agreement(replace(one, signed=False), other).spearman.tolist() == pytest.approx([1])


def test_what_is_not_finite_is_left_out() -> None:
    one = of([1, np.nan, 3, 4, 5, 6])
    other = of([1, 100, 3, 4, np.inf, 6])
    assert agreement(one, other).spearman.tolist() == pytest.approx([1])


def test_rows_meet_where_they_are_read() -> None:
    one = of([1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1])
    first, second = (maps.target(label, i) for i, label in enumerate("ab"))
    one = replace(one, targets=(first, second))
    found = agreement(one, one.select(1, 0))
    assert found.spearman.tolist() == pytest.approx([1, 1])
    assert agreement(one, one.select(1)).spearman.tolist() == pytest.approx([1])


def test_targets_in_another_order_meet_by_their_labels() -> None:
    one = of([1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1])
    targets = tuple(replace(maps.target(name, 0), position=None, positions=()) for name in ("good", "bad"))
    one = replace(one, targets=targets)
    assert agreement(one, one.select(1, 0)).spearman.tolist() == pytest.approx([1, 1])
    assert partners(one, one.select(1, 0)) == [1, 0]
    assert partners(one.select(1), one) == [1]
    assert partners(one.select(1), one.select(0)) == [0]  # one row each
    assert partners(one, one.select(0)) == []


def test_pieces_of_a_word_are_averaged_and_tokenizers_may_differ() -> None:
    words = replace(maps.of("ab cd", [(0, 2), (3, 5)], [[1.0, 3.0]]), targets=(maps.target("ab", 0),))
    pieces = replace(
        maps.of("ab cd", [(0, 1), (1, 2), (3, 5)], [[1.0, 1.0, 4.0], [0.0, 1.0, 8.0]]),
        targets=(maps.target("a", 0), maps.target("b", 1)),
    )
    found = agreement(words, pieces, top=1)
    assert (found.spearman.tolist(), found.overlap.tolist()) == (pytest.approx([1]), [1])


def test_special_tokens_do_not_count() -> None:
    one = of([1, 2, 3, 4, 5, 6])
    marked = replace(
        one,
        tokens=(*one.tokens, Token("[SEP]", 11, 11, special=True)),
        scores=np.array([[1.0, 2, 3, 4, 5, 6, 99]]),
    )
    assert agreement(one, marked, top=1).overlap.tolist() == [1]


def test_it_reads_as_a_line() -> None:
    one = of([1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6])
    assert str(agreement(one, one, top=2)) == "mean Spearman’s ρ = 1.00, top-2 overlap 1.00"
    assert str(agreement(one.select(0), of([1] * 6), top=2)) == "Spearman’s ρ not defined, top-2 overlap 0.00"


def test_maps_without_anything_in_common_are_refused() -> None:
    one = of([1, 2, 3, 4, 5, 6])
    with pytest.raises(SaliencyError, match="do not share their text"):
        agreement(one, maps.of("x", [(0, 1)]))
    with pytest.raises(SaliencyError, match=r"no target in common: 1 and 2 targets.*heat.select\(0\)"):
        agreement(one, of([1] * 6, [2] * 6))
    with pytest.raises(SaliencyError, match="top=0: give a whole number of at least 1"):
        agreement(one, one, top=0)
