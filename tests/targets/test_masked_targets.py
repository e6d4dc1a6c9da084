"""MaskedSpan and PseudoLogLikelihood against dense one-hot autograd, and in batches and pieces of any size."""

from __future__ import annotations

import numpy as np
import pytest
import reference
import tiny
import torch
from torch import Tensor, nn

import hf_saliency as hs

TEXT = "the cat sat on a mat"
FAMILIES = ["bert", "roberta", "modernbert"]


def explainer(family: str, batch_tokens: int | None = None) -> hs.Explainer:
    return hs.Explainer(*tiny.masked_lm(family), progress=False, batch_tokens=batch_tokens)


def log_probability(model: nn.Module, ids: list[int], position: int, class_id: int) -> Tensor:
    inputs = {"input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, len(ids), dtype=torch.long)}
    return model(**inputs)[0][0, position].log_softmax(-1)[class_id]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_span_is_masked_at_once_and_its_log_probabilities_are_summed(family: str) -> None:
    model, tokenizer = tiny.masked_lm(family)
    ids = tokenizer(TEXT)["input_ids"]
    masked = [*ids[:2], tokenizer.mask_token_id, tokenizer.mask_token_id, *ids[4:]]

    def score() -> Tensor:
        inputs = {
            "input_ids": torch.tensor([masked]),
            "attention_mask": torch.ones(1, len(ids), dtype=torch.long),
        }
        logits = model(**inputs)[0][0].log_softmax(-1)
        return logits[2, ids[2]] + logits[3, ids[3]]

    heat = explainer(family)(TEXT, target=hs.MaskedSpan("cat sat"))
    (target,) = heat.targets
    assert (target.label, target.unit, target.masked) == ("cat sat", "log_prob", True)
    assert target.score == pytest.approx(score().item(), rel=1e-10)
    expected = reference.dense([(model.get_input_embeddings(), masked)], score)
    np.testing.assert_allclose(heat.scores[0], expected, rtol=1e-9)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("batch_tokens", [1, 20, None])
def test_a_pseudo_log_likelihood_is_the_sum_over_masks(family: str, batch_tokens: int | None) -> None:
    model, tokenizer = tiny.masked_lm(family)
    ids = tokenizer(TEXT)["input_ids"]
    module, total = model.get_input_embeddings(), 0.0
    gradient = np.zeros((len(ids), module.num_embeddings))
    table = module.weight.detach()
    for i in range(1, len(ids) - 1):  # mask each token in turn; the mask does not depend on it
        seen = [*ids[:i], tokenizer.mask_token_id, *ids[i + 1 :]]
        one_hot = torch.nn.functional.one_hot(torch.tensor([seen]), len(table)).double().requires_grad_()
        hook = module.register_forward_hook(lambda module, arguments, output, x=one_hot: x @ table)
        try:
            score = log_probability(model, seen, i, ids[i])
        finally:
            hook.remove()
        (own,) = torch.autograd.grad(score, one_hot)
        own = own[0].numpy().copy()
        own[i] = 0
        gradient += own
        total += score.item()
    heat = explainer(family, batch_tokens)(TEXT, target=hs.PseudoLogLikelihood())
    assert heat.targets[0].score == pytest.approx(total, rel=1e-10)
    np.testing.assert_allclose(heat.scores[0], np.linalg.norm(gradient, axis=1), rtol=1e-9)


def test_the_pieces_of_a_pseudo_log_likelihood_bound_a_pass() -> None:
    rows = []
    one = explainer("bert", 24)
    hook = one.text_model.model.bert.encoder.register_forward_hook(
        lambda module, arguments, output: rows.append(output[0].shape[0])
    )
    try:
        one(TEXT, target=hs.PseudoLogLikelihood())
    finally:
        hook.remove()
    assert max(rows) <= 3  # 8 tokens each
    assert sum(rows) >= 6


@pytest.mark.parametrize("target", [hs.MaskedSpan("cat sat"), hs.PseudoLogLikelihood()])
def test_integrated_gradients_add_up(target: object) -> None:
    heat = explainer("bert")(TEXT, target=target, method=hs.integrated_gradients(tolerance=1e-5))
    assert np.abs(heat.convergence_delta).max() < 1e-4 * np.abs(heat.scores).sum()


def test_a_text_with_masks_has_no_likelihood() -> None:
    with pytest.raises(hs.SaliencyError, match="holds mask tokens.*give the whole text"):
        explainer("bert")("the [MASK] sat", target=hs.PseudoLogLikelihood())


@pytest.mark.parametrize("unit", ["logit", "log_prob", "prob"])
def test_a_span_against_another_of_its_length(unit: Any) -> None:
    on = explainer("bert")
    model, tokenizer = tiny.masked_lm("bert")
    ids = tokenizer(TEXT)["input_ids"]
    masked = [*ids[:2], tokenizer.mask_token_id, tokenizer.mask_token_id, *ids[4:]]
    other = tokenizer("dog ran", add_special_tokens=False)["input_ids"]

    def score() -> Tensor:
        values = model(input_ids=torch.tensor([masked])).logits[0]
        if unit != "logit":
            values = values.log_softmax(-1) if unit == "log_prob" else values.softmax(-1)
        return sum(values[at, ids[at]] - values[at, other[at - 2]] for at in (2, 3))

    heat = on(TEXT, target=hs.MaskedSpan("cat sat", against="dog ran", unit=unit))
    (target,) = heat.targets
    assert target.against == "dog ran"
    assert target.score == pytest.approx(score().item(), rel=1e-9)
    expected = reference.dense([(model.get_input_embeddings(), masked)], score)
    np.testing.assert_allclose(heat.scores[0], expected, rtol=1e-9)


def test_a_span_against_one_of_another_length() -> None:
    with pytest.raises(hs.SaliencyError, match="read as 'dog' in place of 'cat sat', which has 2 tokens"):
        explainer("bert")(TEXT, target=hs.MaskedSpan("cat sat", against="dog"))
    with pytest.raises(hs.SaliencyError, match="against=7: give a string"):
        hs.MaskedSpan("cat", against=7)  # type: ignore[arg-type]
