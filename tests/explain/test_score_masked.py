"""Scores of texts with masked tokens, against a loop over the plain model, one variant at a time, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor, nn

import hf_saliency as hs

TEXT = "the cat sat on a mat"


def some(explainer: hs.Explainer, target: hs.Target, text: Any = TEXT, count: int = 7) -> np.ndarray:
    """Random variants, with the whole text first and the empty one last."""
    tokens = len(explainer.encode(text, target=target))
    keep = np.random.default_rng(0).random((count, tokens)) < 0.5
    keep[0], keep[-1] = True, False
    return keep


def with_embeddings(model: nn.Module, ids: list[int], vectors: dict[int, Tensor]) -> Any:
    """The output of the model for ids, with the embeddings at some positions replaced."""

    def replace(module: nn.Module, arguments: Any, output: Tensor) -> Tensor:
        changed = output.clone()
        for position, vector in vectors.items():
            changed[0, position] = vector
        return changed

    handle = model.get_input_embeddings().register_forward_hook(replace)  # type: ignore[operator]
    try:
        with torch.no_grad():
            return model(input_ids=torch.tensor([ids]))
    finally:
        handle.remove()


@pytest.mark.parametrize("family", ["bert", "roberta"])
@pytest.mark.parametrize("unit", ["logit", "log_prob"])
def test_a_masked_language_model_reads_masks(family: str, unit: Any) -> None:
    model, tokenizer = tiny.masked_lm(family)
    explainer, target = hs.Explainer(model, tokenizer), hs.MaskedToken(unit=unit)
    encoding, keep = explainer.encode(TEXT), some(explainer, target)
    scores = explainer.score_masked(TEXT, target, keep)
    assert scores.shape == (6, 7)
    assert scores.dtype == np.float64
    for row, position in enumerate(range(1, 7)):
        for variant, stays in enumerate(keep):
            ids = [
                i if (stay or token.special) and j != position else tokenizer.mask_token_id
                for j, (i, stay, token) in enumerate(zip(encoding.ids, stays, encoding.tokens, strict=True))
            ]
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([ids])).logits[0, position]
            values = logits if unit == "logit" else logits.log_softmax(dim=-1)
            expected = values[encoding.ids[position]].item()
            assert scores[row, variant] == pytest.approx(expected, rel=1e-10)


def test_variants_of_their_own_for_each_target() -> None:
    explainer, target = hs.Explainer(*tiny.masked_lm("bert")), hs.MaskedToken()
    keep = np.random.default_rng(1).random((6, 3, 8)) < 0.5
    scores = explainer.score_masked(TEXT, target, keep)
    for row in range(6):
        np.testing.assert_allclose(
            scores[row], explainer.score_masked(TEXT, target, keep[row])[row], rtol=1e-10
        )


@pytest.mark.parametrize("baseline", [None, hs.zero_embedding])
def test_a_causal_model_reads_the_baseline(baseline: Any) -> None:
    model = tiny.of_class("GPT2LMHeadModel")
    explainer, target = hs.Explainer(model, tiny.tokenizer()), hs.NextToken()
    encoding, keep = explainer.encode(TEXT), some(explainer, target)
    tokenizer = explainer.text_model.tokenizer
    vector = (baseline or hs.mask_embedding)(model.get_input_embeddings(), tokenizer, torch.tensor([[0]]))
    scores = explainer.score_masked(TEXT, target, keep, baseline=baseline)
    for row, position in enumerate(range(1, 7)):
        for variant, stays in enumerate(keep):
            pairs = zip(stays, encoding.tokens, strict=True)
            gone = [j for j, (stay, token) in enumerate(pairs) if not (stay or token.special)]
            output = with_embeddings(model, list(encoding.ids), dict.fromkeys(gone, vector))
            expected = output.logits[0, position - 1, encoding.ids[position]].item()
            assert scores[row, variant] == pytest.approx(expected, rel=1e-10)


def test_the_predicted_class_is_that_of_the_whole_text() -> None:
    model, tokenizer = tiny.masked_lm("bert")
    explainer, target = hs.Explainer(model, tokenizer), hs.MaskedToken(predicted=True, unit="prob")
    encoding, keep = explainer.encode(TEXT), some(explainer, target, count=12)
    scores, changed = explainer.score_masked(TEXT, target, keep), 0
    for row, position in enumerate(range(1, 7)):
        always = [token.special and i != position for i, token in enumerate(encoding.tokens)]
        stays = torch.tensor((keep | always) & (np.arange(8) != position))
        ids = torch.where(stays, torch.tensor(encoding.ids), tokenizer.mask_token_id)
        with torch.no_grad():
            chances = model(input_ids=ids).logits[:, position].softmax(dim=-1)
        best = chances[0].argmax()
        np.testing.assert_allclose(scores[row], chances[:, best], rtol=1e-10)
        changed += int((chances.argmax(dim=-1) != best).sum())
    assert changed  # choosing the class for each variant would change it


CASES: list[tuple[str, Any, hs.Target]] = [
    ("T5ForConditionalGeneration", ("the cat sat", "on a mat and"), hs.Continuation()),
    ("BertForMultipleChoice", ("the cat sat", "on a mat", "to learn music , not grammar"), hs.Choice(1)),
    ("BertForQuestionAnswering", ("the cat", "sat on a mat and"), hs.AnswerSpan("a mat")),
    ("BertModel", ("the cat sat", "on a mat and it"), hs.Similarity("mean")),
    ("BertForMaskedLM", TEXT, hs.MaskedSpan("cat sat")),
    ("BertForMaskedLM", TEXT, hs.PseudoLogLikelihood()),
    ("LlamaForCausalLM", ("the cat sat", " on a mat and"), hs.Continuation(total=True)),
    ("GPT2ForSequenceClassification", TEXT, hs.Label(all_labels=True)),
]


@pytest.mark.parametrize(("name", "text", "target"), CASES)
def test_batched_equals_single(name: str, text: Any, target: hs.Target) -> None:
    model, tokenizer = tiny.of_class(name), tiny.tokenizer()
    together, alone = hs.Explainer(model, tokenizer), hs.Explainer(model, tokenizer, batch_tokens=1)
    keep = some(together, target, text)
    scores = together.score_masked(text, target, keep)
    np.testing.assert_allclose(scores, alone.score_masked(text, target, keep), rtol=1e-5)
    np.testing.assert_allclose(
        scores,
        np.stack([together.score_masked(text, target, one[None])[..., 0] for one in keep], axis=-1),
        rtol=1e-5,
    )
    heat = together(text, target=target)
    whole = scores[0] if scores.ndim == 1 else scores[:, 0]
    np.testing.assert_allclose(whole, [row.score for row in heat.targets], rtol=1e-5)
    np.testing.assert_allclose(together.score_masked(text, target)[..., 0], whole, rtol=1e-5)
    assert np.unique(scores).size > scores.size // 2


def test_a_window_of_a_long_text() -> None:
    explainer = hs.Explainer(*tiny.masked_lm("bert"))
    text, target = "the cat sat on a mat and " * 8, hs.MaskedToken([3, 40])
    keep = np.ones((2, 58), bool)
    keep[1, 38] = False  # outside the first target's window
    scores = explainer.score_masked(text, target, keep, overflow="windows")
    assert scores[0, 0] == scores[0, 1]
    assert scores[1, 0] != scores[1, 1]


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        (np.ones((2, 5), bool), r"keep= has the shape \(2, 5\): the text has 8 tokens"),
        (np.ones(8, bool), r"boolean array of shape \(variants, 8\) or \(6, variants, 8\)"),
        (np.ones((5, 2, 8), bool), r"has the shape \(5, 2, 8\)"),
        (np.ones((2, 8)), "keep= holds float64: give a boolean array"),
        (torch.ones(2, 8), "keep= holds float32"),
    ],
)
def test_refused(keep: Any, message: str) -> None:
    explainer = hs.Explainer(*tiny.masked_lm("bert"))
    with pytest.raises(hs.SaliencyError, match=message):
        explainer.score_masked(TEXT, hs.MaskedToken(), keep)


def test_tensors_lists_and_nothing() -> None:
    model, tokenizer = tiny.masked_lm("bert")
    model.train()
    explainer, target = hs.Explainer(model, tokenizer), hs.MaskedToken("cat")
    keep = some(explainer, target)
    scores = explainer.score_masked(TEXT, target, keep)
    np.testing.assert_array_equal(scores, explainer.score_masked(TEXT, target, torch.tensor(keep)))
    np.testing.assert_array_equal(scores, explainer.score_masked(TEXT, target, keep.tolist()))
    assert explainer.score_masked(TEXT, target, keep[:0]).shape == (0,)
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
