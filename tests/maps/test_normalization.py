"""Normalisation: rows are scaled separately, whatever their size, with and without NaN."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from sample_maps import floats, maps, of

from hf_saliency.errors import SaliencyError
from hf_saliency.maps.fields import TargetRow
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.maps.spans import Token

LAWS = settings(max_examples=60, deadline=None)
NAN, INF = math.nan, math.inf


def test_normalized_by_hand() -> None:
    heat = of("abc", [(0, 1), (1, 2), (2, 3)], np.array([[1, -4, 3], [0, 0, 0], [NAN, 1, 3], [INF, -2, 2]]))
    row_max = [[0.25, -1, 0.75], [0, 0, 0], [NAN, 1 / 3, 1], [INF, -1, 1]]
    row_sum = [[0.125, -0.5, 0.375], [0, 0, 0], [NAN, 0.25, 0.75], [INF, -0.5, 0.5]]
    np.testing.assert_allclose(heat.normalized(), row_max, rtol=1e-15)
    np.testing.assert_allclose(heat.normalized("row_sum"), row_sum, rtol=1e-15)
    np.testing.assert_array_equal(heat.normalized("none"), heat.scores)
    with pytest.raises(
        SaliencyError, match=r"normalized\(how\)='max': choose one of 'row_max', 'row_sum', 'none'"
    ):
        heat.normalized("max")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", ["tiny", "max"])
def test_normalized_neither_overflows_nor_vanishes(dtype: Any, scale: str) -> None:
    limits = np.finfo(dtype)
    value = limits.smallest_subnormal if scale == "tiny" else limits.max
    heat = of("abcd", [(i, i + 1) for i in range(4)], np.full((1, 4), value, dtype))
    for how, expected in (("row_max", 1), ("row_sum", 0.25)):
        found = heat.normalized(how)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, np.full((1, 4), expected))


@LAWS
@given(maps(floats))
def test_normalized_rows_reach_one(heat: SaliencyMap) -> None:
    finite = np.isfinite(heat.scores)
    some = (finite & (heat.scores != 0)).any(axis=1)
    row_max = np.where(finite, np.abs(heat.normalized("row_max")), 0)
    row_sum = np.where(finite, np.abs(heat.normalized("row_sum")), 0)
    np.testing.assert_array_equal(row_max.max(axis=1, initial=0), some)
    # Each of at most 6 quotients is rounded twice. Their sum and the divisor each add one rounding per quotient.
    np.testing.assert_allclose(row_sum.sum(axis=1), some, rtol=16 * np.finfo(heat.scores.dtype).eps)
    for how in ("row_max", "row_sum"):
        np.testing.assert_array_equal(heat.normalized(how)[~finite], heat.scores[~finite])


def test_the_prompt_of_a_conversation_is_all_but_its_last_message() -> None:
    texts = ("be brief", "who came", "she did")
    tokens = tuple(
        Token(t[a:b], a, b, k)
        for k, t in enumerate(texts)
        for a, b in ((0, t.index(" ")), (t.index(" ") + 1, len(t)))
    )
    heat = SaliencyMap(texts, tokens, (TargetRow("she did", None, 1.0),), np.ones((1, 6)), "saliency")
    named = dataclasses.replace(heat, text_names=("system", "user", "assistant"))
    assert named.normalized("none", columns="prompt").tolist() == [[1, 1, 1, 1, 0, 0]]
    assert heat.normalized("none", columns="prompt").tolist() == [[1, 1, 0, 0, 0, 0]]
