"""A text that encoder and decoder both read: BART's classifier and its masked language model."""

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
    with pytest.raises(hs.SaliencyError, match="reads another text than its encoder"):
        explainer(TEXT)


def test_a_source_and_a_target_are_no_echo() -> None:
    model, tokenizer = tiny.model("seq2seq", "bart")
    heat = hs.Explainer(model, tokenizer)((TEXT, TEXT))
    source, target = len(tokenizer(TEXT)["input_ids"]), heat.scores.shape[1]
    assert (heat.scores[:, :source] > 0).all()
    assert np.triu(heat.scores[:, source + 2 : target], k=0).sum() == 0
