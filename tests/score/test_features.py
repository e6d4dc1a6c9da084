"""Features: tokens or words that can be taken away, numbered from 0 in each row."""

from __future__ import annotations

import pytest
import tiny

import hf_saliency as hs
from hf_saliency.score.batch import collate, feature_mask, kept, names
from hf_saliency.targets.masked import MaskedToken

TEXT = "the cat learned it !"  # [CLS] the cat learn ##ed it ! [SEP]


def masks(feature: str, *texts: str) -> list[list[int]]:
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
    with pytest.raises(hs.SaliencyError, match="feature='sentence': choose one of 'token', 'word'"):
        masks("sentence", TEXT)
