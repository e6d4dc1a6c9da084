"""Continuations that lack the space that the model would write before them."""

from __future__ import annotations

import warnings

import pytest
import tiny
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

import hf_saliency as hs


@pytest.fixture(scope="module")
def explainer() -> hs.Explainer:
    """A byte-level causal model with a small head, so that :func:`prefer` can set its logits."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    core.train_from_iterator(["Paris Paris the capital of France is Paris,Paris,Paris"] * 5, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core)
    model = tiny.of_class("GPT2LMHeadModel", vocab_size=400, tie_word_embeddings=False)
    with torch.no_grad():
        model.lm_head.weight.mul_(0.01)
    return hs.Explainer(model, tokenizer)


def prefer(explainer: hs.Explainer, wanted: str, other: str) -> None:
    """Make one token much more probable than another after the prompt."""
    model, tokenizer = explainer.text_model.model, explainer.text_model.tokenizer
    ids = tokenizer("The capital of France is", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        states = model.transformer(ids).last_hidden_state[0, -1]
        direction = states / (states @ states)
        for text, logit in ((wanted, 8.0), (other, 0.0)):
            model.lm_head.weight[tokenizer(text)["input_ids"][0]] = logit * direction


def test_a_missing_space_is_named(explainer: hs.Explainer) -> None:
    prefer(explainer, " Paris", "Paris")
    with pytest.warns(
        UserWarning, match=r"explainer\(\(prompt, ' Paris'\), target=hs.Continuation"
    ) as record:
        heat = explainer(("The capital of France is", "Paris"), target=hs.Continuation())
    assert record[0].filename == __file__
    assert heat.targets[0].label == "Paris"


@pytest.mark.parametrize("text", [" Paris", "Paris"])
def test_what_is_meant_is_not_warned_of(explainer: hs.Explainer, text: str) -> None:
    prefer(explainer, text, "Paris" if text[0] == " " else " Paris")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explainer(("The capital of France is", text), target=hs.Continuation())
