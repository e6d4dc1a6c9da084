"""Echoes: a text that encoder and decoder both read, as in BART's classifier and masked language model."""

from __future__ import annotations

import captum.attr
import dense
import numpy as np
import pytest
import tiny
import torch
from torch import nn

import hf_saliency as hs

TEXT = "the cat sat on a mat"


def test_a_token_counts_for_both_of_its_places() -> None:
    model, tokenizer = tiny.model("sequence_classification", "bart")
    heat = hs.Explainer(model, tokenizer)(TEXT, target=hs.Label(1))
    inputs = dense.known(model, tokenizer(TEXT))
    assert [place.moved for place in dense.entrances(model, inputs)] == [False, True]
    both = dense.one_hot_norms(model, inputs, lambda output: output["logits"][0, 1])
    np.testing.assert_allclose(heat.scores[0], both.numpy(), rtol=1e-10)


@pytest.mark.parametrize("family", ["bart", "mbart", "t5"])
def test_integrated_gradients_complete_through_both(family: str) -> None:
    model, tokenizer = tiny.model("sequence_classification", family)
    score, arguments = hs.Explainer(model, tokenizer).captum(TEXT, target=hs.Label(1))
    rows = arguments["additional_forward_args"]
    with torch.no_grad():
        half = 0.5 * arguments["inputs"]
        less = score(half, *rows)
        total = score(arguments["inputs"], *rows)
    method = captum.attr.IntegratedGradients(score)
    values = method.attribute(**arguments, baselines=half, n_steps=500, internal_batch_size=64)
    assert abs((total - less).item()) > 1e-3
    torch.testing.assert_close(values.sum(dim=(1, 2)), total - less, rtol=1e-3, atol=1e-5)


def test_tables_of_their_own_are_refused() -> None:
    model, tokenizer = tiny.model("sequence_classification", "bart")
    decoder = model.model.decoder
    decoder.embed_tokens.weight = nn.Parameter(decoder.embed_tokens.weight.clone() + 1.0)
    with pytest.raises(hs.SaliencyError, match="tables of their own.*tie_word_embeddings=True"):
        hs.Explainer(model, tokenizer)(TEXT)


def test_a_decoder_that_reads_something_else_is_refused() -> None:
    model, tokenizer = tiny.model("sequence_classification", "bart")
    explainer = hs.Explainer(model, tokenizer, inputs={"decoder_input_ids": torch.tensor([[2, 5, 6]])})
    with pytest.raises(hs.SaliencyError, match="reads a different text from its encoder"):
        explainer(TEXT)


def test_a_source_and_a_target_are_no_echo() -> None:
    model, tokenizer = tiny.model("seq2seq", "bart")
    heat = hs.Explainer(model, tokenizer)((TEXT, TEXT))
    source, target = len(tokenizer(TEXT)["input_ids"]), heat.scores.shape[1]
    assert (heat.scores[:, :source] > 0).all()
    assert np.triu(heat.scores[:, source + 2 : target], k=0).sum() == 0


@pytest.mark.parametrize("name", ["MBartForSequenceClassification", "PLBartForSequenceClassification"])
def test_the_token_that_moves_to_the_front_is_the_one_that_transformers_moves(name: str) -> None:
    """transformers finds the token by counting padding; with [PAD] in the text it is not the last one."""
    model, tokenizer = tiny.model("sequence_classification", name.partition("For")[0].lower())
    text = "the cat [PAD] sat the mat"
    heat = hs.Explainer(model, tokenizer)(text, target=hs.Label(1))
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    one_hot = (
        nn.functional.one_hot(ids, model.get_input_embeddings().num_embeddings).double().requires_grad_()
    )
    table = model.get_input_embeddings().weight
    scale = getattr(model.get_encoder().embed_tokens, "embed_scale", 1.0)

    def lookup(module: nn.Module, arguments: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        looked = arguments[0]
        if torch.equal(looked, ids):
            return scale * one_hot @ table
        index = (ids != model.config.pad_token_id).sum() - 1
        moved = torch.cat([one_hot[:, index : index + 1], one_hot[:, :-1]], dim=1)
        return scale * moved @ table

    halves = {model.get_encoder().embed_tokens, model.get_decoder().embed_tokens}
    handles = [half.register_forward_hook(lookup) for half in halves]
    try:
        logit = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, 1]
    finally:
        for handle in handles:
            handle.remove()
    (gradient,) = torch.autograd.grad(logit, one_hot)
    assert heat.targets[0].score == pytest.approx(logit.item(), rel=1e-9)
    torch.testing.assert_close(torch.tensor(heat.scores[0]), gradient[0].norm(dim=-1), rtol=1e-8, atol=1e-12)
