"""Limits: a text longer than a table of positions is refused before the model fails on it."""

from __future__ import annotations

from typing import Any

import pytest
import tiny

import hf_saliency as hs
from hf_saliency.adapter.text_model import TextModel

LONG = " ".join(["the cat sat on a mat and dog ran"] * 2)
SHORT = "the cat sat"


@pytest.mark.parametrize(
    ("head", "name", "changes"),
    [
        ("causal", "ctrl", {"max_position_embeddings": 12}),
        ("causal", "codegen", {"max_position_embeddings": 12}),
        ("causal", "gptj", {"max_position_embeddings": 12}),
        ("causal", "mpt", {"max_seq_len": 12}),
        ("masked", "yoso", {"max_position_embeddings": 12}),
        ("masked", "nystromformer", {"max_position_embeddings": 12}),
        ("causal", "gpt2", {"max_position_embeddings": 12}),
        ("masked", "roberta", {"max_position_embeddings": 14}),
    ],
)
def test_the_table_of_positions_is_the_limit(head: str, name: str, changes: dict[str, Any]) -> None:
    model, tokenizer = tiny.model(head, name, **changes)
    explainer = hs.Explainer(model, tokenizer)
    assert explainer.text_model.max_tokens is not None
    with pytest.raises(hs.SaliencyError, match="the text has 20 tokens.* the model reads at most 1[0-4]"):
        explainer(LONG)
    explainer(SHORT)


def test_source_and_target_have_limits_of_their_own() -> None:
    model, tokenizer = tiny.model(
        "seq2seq", "led", max_encoder_position_embeddings=24, max_decoder_position_embeddings=8
    )
    explainer = hs.Explainer(model, tokenizer)
    assert explainer.text_model.limits == (24, 8)
    explainer((LONG, SHORT))
    with pytest.raises(hs.SaliencyError, match="the target has 20 tokens.*at most 8"):
        explainer((SHORT, LONG))


def test_one_text_for_both_halves_has_the_smaller_limit() -> None:
    model, tokenizer = tiny.model(
        "question_answering", "led", max_encoder_position_embeddings=24, max_decoder_position_embeddings=8
    )
    assert TextModel(model, tokenizer).limits == (8, 8)
