"""NumPy values are accepted wherever Python's are, and are converted to Python's."""

from __future__ import annotations

import numpy as np
import pytest
import tiny

import hf_saliency as hs

WORD = np.str_("tea")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (lambda: hs.MaskedToken(WORD, against=[WORD]), hs.MaskedToken("tea", against=["tea"])),
        (lambda: hs.MaskedToken(unit=np.str_("prob")), hs.MaskedToken(unit="prob")),
        (lambda: hs.NextToken([WORD, 1]), hs.NextToken(["tea", 1])),
        (lambda: hs.Continuation(WORD), hs.Continuation("tea")),
        (lambda: hs.Label([WORD, 0]), hs.Label(["tea", 0])),
        (lambda: hs.Label(threshold=np.float32(0.5)), hs.Label(threshold=0.5)),
        (lambda: hs.TokenLabel(WORD, aggregation=np.str_("word")), hs.TokenLabel("tea", aggregation="word")),
        (lambda: hs.AnswerSpan(WORD, ends=np.str_("start")), hs.AnswerSpan("tea", ends="start")),
        (lambda: hs.Similarity(np.str_("mean"), np.str_("dot")), hs.Similarity("mean", "dot")),
    ],
)
def test_strings_and_numbers_of_numpy(given: object, expected: object) -> None:
    assert callable(given)
    assert repr(given()) == repr(expected)
    assert "np." not in repr(given())


def test_texts_of_numpy() -> None:
    heat = hs.Explainer(*tiny.masked_lm("bert"))(np.array(["the cat sat"]), target=hs.MaskedToken("cat"))[0]
    assert type(heat.texts[0]) is str
    assert type(hs.Label(np.int64(1)).label) is int


def test_strings_of_numpy_in_methods() -> None:
    method = hs.leave_one_out(baseline=WORD, feature=np.str_("word"))
    assert repr(method.arguments) == repr(hs.leave_one_out(baseline="tea", feature="word").arguments)
    norm = hs.gradient_norm(np.str_("embedding"))
    assert repr(norm.arguments) == repr(hs.gradient_norm("embedding").arguments)


@pytest.mark.parametrize("threshold", [0, 1, 1.5, np.float32(2), "much", True])
def test_a_threshold_is_a_probability(threshold: object) -> None:
    with pytest.raises(hs.SaliencyError, match="threshold="):
        hs.Label(threshold=threshold)  # type: ignore[arg-type]
