"""Selection of targets by number, slice and word."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sample_maps import sweep, target

from hf_saliency.errors import SaliencyError
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.maps.spans import Token


@pytest.mark.parametrize(
    ("which", "rows"),
    [
        ((0,), [0]),
        ((-1, 0), [5, 0]),
        ((np.int64(2), -6), [2, 0]),
        ((slice(1, 3),), [1, 2]),
        ((slice(None, None, -2), 0), [5, 3, 1, 0]),
        (("believable",), [3, 4]),  # both pieces of the word
        (("end", slice(0, 1), "an", -1), [5, 0, 0, 5]),
        (("un-\nbelievable",), [1, 2, 3, 4]),
    ],
)
def test_select(which: Any, rows: list[int]) -> None:
    heat = sweep(convergence_delta=np.arange(6.0))
    part = heat.select(*which)
    assert part.targets == tuple(heat.targets[row] for row in rows)
    np.testing.assert_array_equal(part.scores, heat.scores[rows])
    np.testing.assert_array_equal(part.convergence_delta, rows)
    assert part.tokens == heat.tokens


@pytest.mark.parametrize(
    ("which", "message"),
    [
        ((), r"no target is selected: select at least one of the 6, such as select\(0\)"),
        ((slice(9, None),), "no target is selected"),
        ((6,), "there is no target 6: this map has 6, counted from 0"),
        ((-7,), "there is no target -7"),
        (("able",), "no target is at the word 'able'; the targets are 'an', 'un', '-', 'believ'"),
        (("",), "no target is at the word ''"),
        (([0, 1],), r"select\(\[0, 1\]\): give row numbers, slices or words one by one, as in select\(0, -1"),
        ((1.0,), r"select\(1\.0\): give row numbers"),
        ((None,), r"select\(None\): give row numbers"),
    ],
)
def test_select_says_what_is_not_there(which: Any, message: str) -> None:
    with pytest.raises(SaliencyError, match=message):
        sweep().select(*which)


def test_select_by_word_asks_the_text_of_the_token_and_for_a_shared_character() -> None:
    tokens = (
        Token("a", 0, 1),
        Token("▁", 1, 1),
        Token("a", 0, 1, text_index=1),
        Token("b", 0, 1, text_index=2),
    )
    rows = (*(target(str(i), i) for i in range(4)), target("none", None))
    heat = SaliencyMap(("ab", "a", "b"), tokens, rows, np.ones((5, 4)), "own")
    assert [row.label for row in heat.select("ab").targets] == ["0"]
    assert [row.label for row in heat.select("a").targets] == ["2"]
    assert [row.label for row in heat.select("b").targets] == ["3"]
