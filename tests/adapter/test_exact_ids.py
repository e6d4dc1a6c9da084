"""Exact ids: the model reads the given ids, whichever ids the tokenizer would return for the text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tiny
import torch

import hf_saliency as hs

TEXT = "the cat sat on a mat"


@pytest.fixture(scope="module")
def masked() -> hs.Explainer:
    return hs.Explainer(*tiny.masked_lm("bert"))


@pytest.fixture(scope="module")
def causal() -> hs.Explainer:
    return hs.Explainer(tiny.of_class("GPT2LMHeadModel"), tiny.tokenizer())


def same(heat: hs.SaliencyMap, expected: hs.SaliencyMap) -> None:
    assert heat.texts == expected.texts
    assert heat.tokens == expected.tokens
    np.testing.assert_array_equal(heat.scores, expected.scores)


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor, lambda ids: torch.tensor([ids])])
def test_the_tokenizers_own_ids_change_nothing(masked: hs.Explainer, kind: Any) -> None:
    tokenizer = masked.text_model.tokenizer
    expected = masked(TEXT)
    same(masked((TEXT, kind(tokenizer(TEXT)["input_ids"]))), expected)
    same(masked(tokenizer(TEXT)), expected)
    same(masked([tokenizer(TEXT, return_tensors="pt"), "dog ran"])[0], expected)
    same(masked(tokenizer(TEXT, padding="max_length", max_length=20)), expected)
    same(next(iter(masked.stream([(TEXT, tokenizer(TEXT)["input_ids"])]))), expected)


def test_other_ids_of_the_same_text_are_read(masked: hs.Explainer) -> None:
    model, tokenizer = masked.text_model.model, masked.text_model.tokenizer
    usual = tokenizer(TEXT)["input_ids"]
    ids = [*usual[:-1]]  # without the last special token
    heat = masked((TEXT, ids), target=hs.UnmaskedToken())
    assert [token.piece for token in heat.tokens] == [token.piece for token in masked(TEXT).tokens][:-1]
    assert [(token.start, token.end) for token in heat.tokens[1:]] == [
        (token.start, token.end) for token in masked(TEXT).tokens[1:-1]
    ]
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids])).logits[0]
    for row in heat.targets:
        assert row.score == pytest.approx(logits[row.position, ids[row.position]].item(), rel=1e-10)
    several = masked([(TEXT, ids), (TEXT, usual)], target=hs.UnmaskedToken())
    np.testing.assert_allclose(several[0].scores, heat.scores, rtol=1e-9)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((TEXT, [2, 7, 8, 3]), "the ids spell .*, not the text"),
        ((TEXT, [2.5]), "one row of whole numbers"),
        ((TEXT, torch.tensor([[1, 2], [3, 4]])), "one row of whole numbers"),
        ((TEXT, [10**6]), "(?s)10.*|ids"),
        ((TEXT, []), "one row of whole numbers"),
        ((TEXT, [*tiny.tokenizer()(TEXT)["input_ids"], 0]), "begin or end with padding"),
        (tiny.tokenizer()(TEXT) | {"attention_mask": [1, 0] + [1] * 6}, "hides tokens within the text"),
    ],
)
def test_a_mismatch_is_refused(masked: hs.Explainer, given: Any, message: str) -> None:
    with pytest.raises(hs.SaliencyError, match=message):
        masked(given)


def test_a_pair_takes_no_ids(masked: hs.Explainer) -> None:
    classifier = hs.Explainer(tiny.of_class("BertForSequenceClassification"), masked.text_model.tokenizer)
    ids = masked.text_model.tokenizer(TEXT)["input_ids"]
    with pytest.raises(hs.SaliencyError, match="take no ids"):
        classifier(((TEXT, ids), "dog ran"))
    with pytest.raises(hs.SaliencyError, match="pair of texts"):
        classifier(masked.text_model.tokenizer(TEXT, "dog ran"))


@pytest.mark.parametrize("whole", [False, True])
def test_a_sampled_continuation(causal: hs.Explainer, whole: bool) -> None:
    model, tokenizer = causal.text_model.model, causal.text_model.tokenizer
    prompt = causal.encode("the cat").ids[:-1]
    sampled = [*tokenizer("mat sat dog", add_special_tokens=False)["input_ids"]]
    ids = torch.tensor([[*prompt, *sampled] if whole else sampled])
    heat = causal("the cat", target=hs.Continuation(ids=ids))
    assert [row.class_id for row in heat.targets] == sampled
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([[*prompt, *sampled]])).logits[0]
    for row in heat.targets:
        assert row.score == pytest.approx(logits[row.positions[0] - 1, row.class_id].item(), rel=1e-10)
    same(causal(("the cat", (heat.texts[1], sampled)), target=hs.Continuation()), heat)
    with pytest.raises(hs.SaliencyError, match="and not 'dog'"):
        causal(("the cat", ("dog", sampled)), target=hs.Continuation())


def test_a_sampled_translation() -> None:
    explainer = hs.Explainer(tiny.of_class("T5ForConditionalGeneration"), tiny.tokenizer())
    ids = explainer.text_model.tokenizer("dog ran", add_special_tokens=False)["input_ids"]
    heat = explainer("the cat", target=hs.Continuation(ids=ids))
    assert [row.class_id for row in heat.targets] == ids
    model: Any = explainer.text_model.model
    start = int(model.config.decoder_start_token_id)
    same(explainer("the cat", target=hs.Continuation(ids=[start, *ids])), heat)


def test_ids_that_are_none() -> None:
    for ids in ([], [[1], [2]], [1.5], "12"):
        with pytest.raises(hs.SaliencyError, match="one row of token ids"):
            hs.Continuation(ids=ids)
    with pytest.raises(hs.SaliencyError, match="without a text"):
        hs.Continuation(" tea", ids=[1])


def test_a_word_stands_for_the_default_target_at_it(masked: hs.Explainer, causal: hs.Explainer) -> None:
    same(masked(TEXT, target="cat"), masked(TEXT, target=hs.MaskedToken("cat")))
    same(causal(TEXT, target="cat"), causal(TEXT, target=hs.NextToken("cat")))
    classifier = hs.Explainer(tiny.of_class("BertForSequenceClassification"), tiny.tokenizer())
    with pytest.raises(hs.SaliencyError, match=r"hs.Label\('cat'\)"):
        classifier(TEXT, target="cat")
