"""Features: tokens or words that can be removed, numbered from 0 in each row."""

from __future__ import annotations

from typing import Any

import pytest
import tiny

import hf_saliency as hs
from hf_saliency.score.batch import collate, kept, names
from hf_saliency.score.features import feature_mask, sentences
from hf_saliency.targets.masked import MaskedToken

TEXT = "the cat learned it !"  # [CLS] the cat learn ##ed it ! [SEP]


def masks(feature: Any, *texts: str) -> list[list[int]]:
    model = hs.Explainer(*tiny.masked_lm("bert")).text_model
    rows = [row for text in texts for row in MaskedToken().rows(model.encode(text), model)]
    readout = MaskedToken().readout(model)
    batch = collate(model, rows, readout, names(model, rows, readout))
    (found,) = feature_mask(batch, kept(model, batch), feature)
    return found.tolist()


def test_tokens() -> None:
    found = masks("token", TEXT)
    assert found[0] == [-1, -1, 0, 1, 2, 3, 4, -1]
    assert found[2] == [-1, 0, 1, -1, 2, 3, 4, -1]


def test_words_keep_the_pieces_that_are_not_masked() -> None:
    found = masks("word", TEXT)
    assert found[0] == [-1, -1, 0, 1, 1, 2, 3, -1]
    assert found[2] == [-1, 0, 1, -1, 2, 3, 4, -1]
    assert found[5] == [-1, 0, 1, 2, 2, 3, -1, -1]


def test_padding_has_no_feature() -> None:
    assert masks("word", TEXT, "the mat")[6] == [-1, -1, 0, -1, -1, -1, -1, -1]


def test_a_mask_of_the_text_has_no_feature() -> None:
    assert masks("token", "the [MASK] sat")[0] == [-1, 0, -1, 1, -1]


def test_an_unknown_feature() -> None:
    with pytest.raises(
        hs.SaliencyError, match="feature='paragraph': choose one of 'token', 'word', 'sentence'"
    ):
        masks("paragraph", TEXT)


def test_sentences() -> None:
    assert masks("sentence", "the cat ! it learned . it")[3] == [-1, 0, 0, 0, -1, 1, 1, 1, 2, -1]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("One. Two!  Three?", ["One.", "Two!", "Three?"]),
        ('He said "no." She left.', ['He said "no."', "She left."]),
        ("It cost 3.50 at example.com... Fine", ["It cost 3.50 at example.com...", "Fine"]),
        ("a title\nthe text", ["a title", "the text"]),
        ("犬がいる。猫もいる！", ["犬がいる。", "猫もいる！"]),
        ("  no end ", ["no end"]),
        ("", []),
        (" . ", ["."]),
    ],
)
def test_the_rule_for_sentences(text: str, parts: list[str]) -> None:
    assert [text[start:end] for start, end in sentences(text)] == parts


def test_spans_of_the_users_own() -> None:
    """[CLS] the cat learn ##ed it ! [SEP]: tokens outside the spans stay; a span's end splits 'learned'."""
    assert masks([(0, 7), (8, 13)], TEXT)[5] == [-1, 0, 0, 1, -1, -1, -1, -1]
    assert masks([(0, 8, 13), (0, 0, 7)], TEXT)[5] == [-1, 0, 0, 1, -1, -1, -1, -1]
    assert masks(lambda encoding: [(0, len(encoding.texts[0]))], TEXT)[5] == [-1, 0, 0, 0, 0, 0, -1, -1]


@pytest.mark.parametrize(
    ("feature", "message"),
    [
        ([(0, 99)], r"the span \(0, 0, 99\) .* 20 characters"),
        ([(1, 0, 3)], r"the span \(1, 0, 3\)"),
        ([(0, 5), (4, 7)], "overlap"),
        ([(5, 5)], "a list of spans of characters"),
        ([(0, 1.5)], "a list of spans"),
        ([(3, 4)], r"the span \(0, 3, 4\) is ' ', which contains no token"),
        ([], "a list of spans"),
        (3, "a list of spans"),
        (lambda encoding: encoding.nothing, "raised AttributeError"),
        (lambda encoding: None, "feature=<lambda>: its result=None: give .* a list of spans"),
    ],
)
def test_features_that_do_not_fit(feature: Any, message: str) -> None:
    with pytest.raises(hs.SaliencyError, match=message):
        masks(feature, TEXT)


@pytest.mark.parametrize("name", ["leave_one_out", "occlusion", "shapley_sampling", "kernel_shap", "lime"])
@pytest.mark.parametrize("feature", ["sentence", [(0, 9), (10, 18)], lambda encoding: [(0, 9), (10, 18)]])
def test_every_method_that_removes_takes_features(name: str, feature: Any) -> None:
    explainer = hs.Explainer(*hs.load_demo())
    few = {"n_samples": 8} if name in ("kernel_shap", "lime") else {}
    method = getattr(hs, name)(feature=feature, **few)
    heat = explainer("He slept. The dog ate it.", target=hs.MaskedToken("dog"), method=method)
    pairs = list(zip(heat.tokens, heat.scores[0], strict=True))
    first = [score for token, score in pairs if 0 < token.end <= 9]
    assert len(first) >= 3
    assert len(set(first)) == 1
    assert first[0] != 0
    assert all(
        (score == 0) == (feature != "sentence")
        for token, score in pairs
        if token.start > 18 and not token.special
    )


def test_leave_one_out_of_a_sentence_is_a_difference_of_scores() -> None:
    explainer = hs.Explainer(*hs.load_demo())
    method = hs.leave_one_out(feature="sentence")
    heat = explainer("He slept. The dog ate it.", target=hs.MaskedToken("dog"), method=method)
    scores = [score for token, score in zip(heat.tokens, heat.scores[0], strict=True) if 0 < token.end <= 9]
    mask = explainer.text_model.tokenizer.mask_token
    without = explainer(f"{' '.join([mask] * len(scores))} The dog ate it.", target=hs.MaskedToken("dog"))
    assert sum(scores) == pytest.approx(heat.targets[0].score - without.targets[0].score, abs=1e-4)
