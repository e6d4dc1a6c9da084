"""Columns that are dropped or merged to words, and the targets that are read at them."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from sample_maps import maps, of, sweep, target

from hf_saliency.errors import SaliencyError
from hf_saliency.maps import spans
from hf_saliency.maps.fields import TargetRow
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.maps.spans import Token

LAWS = settings(max_examples=60, deadline=None)
FINITE = st.floats(-1e6, 1e6, width=32)
NAN, INF = math.nan, math.inf


def test_drop_special_moves_positions() -> None:
    rows = (target("[CLS]", 0), target("an", 1), target("whole", None), target("end", 6))
    heat = sweep(targets=rows, scores=np.arange(32.0).reshape(4, 8), convergence_delta=np.arange(4.0))
    part = heat.drop_special()
    assert part.labels == ("an", "un", "-", "believ", "able", "end")
    assert [(row.label, row.position) for row in part.targets] == [("an", 0), ("whole", None), ("end", 5)]
    np.testing.assert_array_equal(part.scores, heat.scores[[1, 2, 3], 1:7])
    np.testing.assert_array_equal(part.convergence_delta, [1, 2, 3])
    assert part.drop_special() == part


def test_words_by_hand() -> None:
    heat = sweep(scores=np.tile(np.array([1, 2, 3, 4, -5, 2, 7, 8]), (6, 1)) * 1.0, signed=True)
    assert heat.words().labels == ("[CLS]", "an", "un", "-", "believable", "end", "[SEP]")
    assert heat.words().tokens[4] == Token("believable", 7, 17)
    assert heat.words().tokens[5] is heat.tokens[6]
    assert [row.position for row in heat.words().targets] == [1, 2, 3, 4, 4, 5]
    assert [row.label for row in heat.words().targets] == ["an", "un", "-", "believ", "able", "end"]
    for reduction, value in {"sum": -3, "mean": -1.5, "max": -5, "norm": math.sqrt(29)}.items():
        part = heat.words(reduction)
        np.testing.assert_allclose(part.scores[0], [1, 2, 3, 4, value, 7, 8], rtol=1e-15)
        assert part.arguments == {"words": reduction}
        assert part.signed is (reduction != "norm")
        assert part.words("mean") is part
    with pytest.raises(SaliencyError, match="reduction='total': the sum is called 'sum'"):
        heat.words("total")


def test_a_norm_over_words_is_unsigned_everywhere() -> None:
    heat = dataclasses.replace(of("a b", [(0, 1), (2, 3)], np.array([[-1.0, 2.0]])), signed=True)
    np.testing.assert_array_equal(heat.words("norm").scores, [[1, 2]])


def test_words_are_summed_in_float64() -> None:
    pieces = of("abc", [(0, 1), (1, 2), (2, 3)], np.array([[1, 2**-24, 2**-24]], np.float32))
    assert pieces.words().scores.tolist() == [[1 + 2**-23]]  # in float32 both steps are lost


@pytest.mark.parametrize("reduction", ["sum", "mean", "max", "norm"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_words_with_extreme_scores(reduction: str, dtype: Any) -> None:
    limits = np.finfo(dtype)
    rows = np.array(
        [[NAN, 1, 5], [INF, -INF, 5], [limits.max / 4, limits.max / 4, 5], [limits.tiny, limits.tiny, 5]]
    )
    part = of("ab c", [(0, 1), (1, 2), (3, 4)], rows.astype(dtype)).words(reduction)
    np.testing.assert_array_equal(part.scores[:, 1], 5)
    assert math.isnan(part.scores[0, 0])
    assert not math.isfinite(part.scores[1, 0])
    ratio = {"sum": 2, "mean": 1, "max": 1, "norm": math.sqrt(2)}[reduction]
    expected = [ratio * (limits.max / 4), ratio * limits.tiny]
    np.testing.assert_allclose(part.scores[2:, 0], expected, rtol=2 * limits.eps)


def test_pieces_that_share_a_character_are_one_column() -> None:
    heat = of("x 👍🏽 y", [(0, 1), (2, 3), (2, 3), (3, 4), (3, 4), (5, 6)]).words()
    assert heat.labels == ("x", "👍🏽", "y")
    np.testing.assert_array_equal(heat.scores, [[1, 2 + 3 + 4 + 5, 6]])


def test_a_part_of_a_character_is_named_as_one_wherever_it_stands() -> None:
    tokens = [Token("x", 0, 1), *(Token(f"é {i}/2", 2, 3) for i in (1, 2)), Token("…y", 4, 5)]
    heat = SaliencyMap(("x é y",), tuple(tokens), (target("x", 0),), np.ones((1, 4)), "own")
    assert heat.labels == ("x", "é 1/2", "é 2/2", "y")
    assert heat.part([0], [0, 2]).labels == ("x", "é 2/2")  # Bars show the strongest tokens in this way
    assert heat.words().labels == ("x", "é", "y")


def test_words_stay_within_their_text() -> None:
    tokens = (
        Token("a", 0, 1),
        Token("b", 1, 2),
        Token("a", 0, 1, text_index=1),
        Token("b", 1, 2, text_index=1),
    )
    heat = SaliencyMap(("ab", "ab"), tokens, (target("x", 3),), np.array([[1.0, 2, 3, 4]]), "own")
    np.testing.assert_array_equal(heat.words().scores, [[3, 7]])
    assert [token.text_index for token in heat.words().tokens] == [0, 1]
    assert heat.words().targets[0].position == 1


@pytest.mark.parametrize("reduction", ["sum", "mean", "max", "norm"])
def test_maps_without_rows_or_columns(reduction: str) -> None:
    assert sweep(targets=(), scores=np.ones((0, 8))).words(reduction).scores.shape == (0, 7)
    only = SaliencyMap(
        ("",), (Token("[CLS]", 0, 0, special=True),), (target("x", None),), np.ones((1, 1)), "own"
    )
    none = only.drop_special()
    assert none.scores.shape == none.words(reduction).scores.shape == (1, 0)
    for how in ("row_max", "row_sum"):
        assert none.normalized(how).shape == (1, 0)


@LAWS
@given(maps(FINITE))
def test_words_preserve_the_sum_of_every_row(heat: SaliencyMap) -> None:
    total = np.abs(heat.scores).sum(axis=1, dtype=np.float64)
    difference = heat.words().scores.sum(axis=1, dtype=np.float64) - heat.scores.sum(axis=1, dtype=np.float64)
    # Both sums have at most 6 terms; those of words are stored in the map's precision.
    assert (np.abs(difference) <= 6 * np.finfo(heat.scores.dtype).eps * total).all()


@LAWS
@given(maps(), st.sampled_from(["sum", "mean", "max", "norm"]))
def test_words_and_drop_special_commute(heat: SaliencyMap, reduction: str) -> None:
    assert heat.drop_special().words(reduction) == heat.words(reduction).drop_special()


@pytest.mark.parametrize(("dtype", "large"), [(np.float32, 2e38), (np.float64, 1.5e308)])
def test_a_sum_beyond_the_dtype_is_infinite(dtype: type, large: float) -> None:
    tokens, rows = (Token("a", 0, 1), Token("b", 1, 2)), (TargetRow("x", None, 1.0),) * 2
    heat = SaliencyMap(("ab",), tokens, rows, np.full((2, 2), large, dtype), "m")
    np.testing.assert_array_equal(heat.words().scores, np.full((2, 1), np.inf))
    np.testing.assert_array_equal(heat.merge_targets(["one", "one"]).scores, np.full((1, 2), np.inf))


@LAWS
@given(maps())
def test_words_are_whole_words_and_keep_every_target_in_its_place(heat: SaliencyMap) -> None:
    part = heat.words()
    for number, text in enumerate(heat.texts):
        for start, end in spans.words(text):
            plain = [
                (t.start, t.end) if t.text_index == number and not t.special else (0, 0) for t in part.tokens
            ]
            assert len(spans.overlapping(plain, start, end)) <= 1
    for old, new in zip(heat.targets, part.targets, strict=True):
        if old.position is None:
            assert new.position is None
        else:
            was, now = heat.tokens[old.position], part.tokens[new.position]
            assert (now.text_index, now.special) == (was.text_index, was.special)
            assert now.start <= was.start <= was.end <= now.end
            assert dataclasses.replace(new, position=old.position, score=0.0) == dataclasses.replace(
                old, score=0.0
            )
