"""Continuation on models with an encoder and a decoder: attributions to both, against dense one-hot autograd."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import reference
import tiny
import torch
from torch import Tensor

import hf_saliency as hs

SOURCE, TARGET = "the cat sat on a mat", "it ran to the dog"
NAMES = [
    "T5ForConditionalGeneration",
    "BartForConditionalGeneration",
    "MBartForConditionalGeneration",
    "MarianMTModel",
    "PegasusForConditionalGeneration",
    "M2M100ForConditionalGeneration",
]


def explainer(name: str) -> hs.Explainer:
    return hs.Explainer(tiny.of_class(name), tiny.tokenizer())


@pytest.mark.parametrize("name", NAMES)
def test_source_and_target_against_dense_autograd(name: str) -> None:
    on = explainer(name)
    model = on.text_model.model
    heat = on((SOURCE, TARGET))
    source = on.text_model.tokenizer(SOURCE)["input_ids"]
    labels = on.text_model.tokenizer(TARGET)["input_ids"]
    count = len(source)
    assert heat.texts == (SOURCE, TARGET)
    assert heat.text_names == ("source text", "target text")
    assert [token.text_index for token in heat.tokens[:count]] == [0] * count
    encoder, decoder = (half.get_input_embeddings() for half in (model.get_encoder(), model.get_decoder()))
    read = [token.piece for token in heat.tokens[count:]]
    ids = on.text_model.tokenizer.convert_tokens_to_ids(read)
    assert ids[-len(labels) :] == labels

    def logit(at: int, class_id: int) -> Tensor:
        output = model(input_ids=torch.tensor([source]), decoder_input_ids=torch.tensor([ids]))
        return output.logits[0, at, class_id]

    assert [row.label for row in heat.targets] == TARGET.split()
    for row, found in zip(heat.targets, heat.scores, strict=True):
        at = row.position - count
        expected = reference.dense([(encoder, source), (decoder, ids)], lambda at=at: logit(at - 1, ids[at]))
        assert row.score == pytest.approx(logit(at - 1, ids[at]).item(), rel=1e-6)
        exact = 1e-5 if name.startswith("T5") else 1e-9
        np.testing.assert_allclose(found[: count + at], expected[: count + at], rtol=exact)
        assert (expected[: count + at] > 0).all()
        assert (found[count + at :] == 0).all()


@pytest.mark.parametrize(
    "method", ["gradient_norm", hs.integrated_gradients(n_steps=10), "leave_one_out", "input_x_gradient"]
)
@pytest.mark.parametrize("name", ["BartForConditionalGeneration", "T5ForConditionalGeneration"])
@pytest.mark.filterwarnings("ignore:integrated_gradients")  # with few steps, neither of the two adds up
def test_a_batch_equals_single_pairs(name: str, method: Any) -> None:
    on = explainer(name)
    pairs = [(SOURCE, TARGET), ("a dog", "music"), ("it was not young", "the cat and the dog")]
    for pair, heat in zip(pairs, on(pairs, method=method), strict=True):
        alone = on(pair, method=method)
        assert (alone.scores != 0).any()
        np.testing.assert_allclose(heat.scores, alone.scores, rtol=1e-5, atol=1e-7)


def test_what_the_model_writes_is_explained() -> None:
    on = explainer("BartForConditionalGeneration")
    heat = on(SOURCE, target=hs.Continuation(max_new_tokens=4))
    model = on.text_model.model
    ids = [3]
    source = torch.tensor([on.text_model.tokenizer(SOURCE)["input_ids"]])
    for _ in range(4):
        ids.append(int(model(input_ids=source, decoder_input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
    pieces = [str(piece) for piece in on.text_model.tokenizer.convert_ids_to_tokens(ids)]
    assert [token.piece for token in heat.tokens[8:]] == pieces[: len(heat.tokens) - 8]
    assert all(row.label == row.predictions[0].label for row in heat.targets)


def test_the_log_probability_of_the_target_completes() -> None:
    on = explainer("MarianMTModel")
    heat = on(
        (SOURCE, TARGET),
        target=hs.Continuation(total=True, unit="log_prob"),
        method=hs.integrated_gradients(n_steps=100),
    )
    assert heat.scores.shape == (1, len(heat.tokens))
    assert abs(heat.convergence_delta[0]) < 1e-3 * abs(heat.scores.sum())


def test_an_empty_target() -> None:
    with pytest.raises(hs.SaliencyError, match="the target text is empty"):
        explainer("BartForConditionalGeneration")((SOURCE, " "))


def test_a_target_that_is_too_long() -> None:
    with pytest.raises(hs.SaliencyError, match="the target has 62 tokens.*overflow= is for the source alone"):
        explainer("BartForConditionalGeneration")((SOURCE, "dog " * 60), overflow="truncate")


def test_the_table_of_positions_ends_a_text() -> None:
    tokenizer = tiny.tokenizer.__wrapped__()
    tokenizer.model_max_length = int(1e30)
    on = hs.Explainer(tiny.of_class("BartForConditionalGeneration"), tokenizer)
    assert on.text_model.max_tokens == 40
    heat = on(SOURCE, target=hs.Continuation(max_new_tokens=60))
    assert len(heat.tokens) <= len(tokenizer(SOURCE)["input_ids"]) + 41


def test_the_target_of_a_causal_model() -> None:
    with pytest.raises(
        hs.SaliencyError, match=r"writes a text for another: explain that with target=hs.Continuation\(\)"
    ):
        explainer("BartForConditionalGeneration")(SOURCE, target=hs.NextToken())


def test_a_given_target_that_starts_as_the_model_never_does_is_named() -> None:
    """For example, a translation that NLLB's tokenizer encodes without its target language."""
    model, tokenizer = tiny.model("seq2seq", "m2m_100")
    model.generation_config.forced_bos_token_id = tokenizer.convert_tokens_to_ids("the")
    explainer = hs.Explainer(model, tokenizer)
    with pytest.warns(
        UserWarning, match=r"start with 'the', but .* starts the given target with '\[CLS\]'.*tgt_lang"
    ):
        explainer(("the cat sat", "dog ran"))
    model.generation_config.forced_bos_token_id = tokenizer.cls_token_id
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explainer(("the cat sat", "dog ran"))


def test_given_ids_that_start_as_the_model_never_does_are_named() -> None:
    model, tokenizer = tiny.model("seq2seq", "m2m_100")
    forced, *rest = tokenizer.convert_tokens_to_ids(["the", "dog", "ran"])
    model.generation_config.forced_bos_token_id = forced
    explainer = hs.Explainer(model, tokenizer)
    with pytest.warns(
        UserWarning,
        match=rf"start with 'the', but the given ids start with 'dog'.*ids that start with {forced}",
    ):
        explainer("the cat sat", target=hs.Continuation(ids=rest))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explainer("the cat sat", target=hs.Continuation(ids=[forced, *rest]))
        explainer("the cat sat", target=hs.Continuation(ids=[forced]))


@pytest.mark.parametrize("family", ["mbart", "plbart"])
def test_a_decoder_that_starts_as_the_model_never_does_is_named(family: str) -> None:
    """These decoders start with the last token of the given target; with their own tokenizers that is its language."""
    model, tokenizer = tiny.model("seq2seq", family)
    model.generation_config.decoder_start_token_id = tokenizer.convert_tokens_to_ids("the")
    explainer = hs.Explainer(model, tokenizer)
    with pytest.warns(UserWarning, match=r"decoder start with 'the', but it starts with '\[SEP\]'.*tgt_lang"):
        explainer(("the cat sat", "dog ran"))
    model.generation_config.decoder_start_token_id = tokenizer.sep_token_id
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explainer(("the cat sat", "dog ran"))
