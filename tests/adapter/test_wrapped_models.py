"""Wrapped models: PEFT, torch.compile, activation checkpointing, tied weights."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import dense
import numpy as np
import peft
import pytest
import tiny
import torch
from torch import nn

import hf_saliency as hs

# PEFT uses a deprecated name of transformers.
pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*is deprecated:FutureWarning")

TEXT = "The formal study of grammar is an important part."
CLASSIFIER = ("sequence_classification", "gpt2")


def lora(model: Any, **options: Any) -> Any:
    """The model with adapters of random weights, so that they change the output."""
    config = peft.LoraConfig(r=2, target_modules=options.pop("target_modules", ["query", "value"]), **options)
    wrapped = peft.get_peft_model(model, config)
    for name, parameter in wrapped.named_parameters():
        if "lora_" in name:
            nn.init.normal_(parameter, std=0.5)
    return wrapped.double()


def row(model: Any, tokenizer: Any, heat: hs.SaliencyMap) -> tuple[float, np.ndarray]:
    """Score and connectivity of the first target of a masked language model, from plain calls of the model."""
    target = heat.targets[0]
    inputs = {name: torch.tensor([value]) for name, value in tokenizer(TEXT).items()}
    inputs["input_ids"][0, target.position] = tokenizer.mask_token_id

    def score(output: Any) -> torch.Tensor:
        return output["logits"][0, target.position, target.class_id]

    with torch.no_grad():
        plain = score(model(**inputs)).item()
    return plain, dense.one_hot_norms(model, inputs, score).numpy()


WRAPPED: dict[str, Callable[[Any], Any]] = {
    "LoRA": lora,
    "compiled": lambda model: torch.compile(model, backend="eager"),
    "compiled LoRA": lambda model: torch.compile(lora(model), backend="eager"),
    "parallel": lambda model: nn.DataParallel(model).cpu(),  # moves the model to a GPU if there is one
}


@pytest.mark.parametrize("name", sorted(WRAPPED))
def test_what_stands_around_a_model_is_taken_off(name: str) -> None:
    model, tokenizer = tiny.masked_lm("bert")
    bare = hs.Explainer(model, tokenizer)(TEXT).scores
    wrapped = WRAPPED[name](model).eval()
    heat = hs.Explainer(wrapped, tokenizer)(TEXT)
    inner = wrapped
    while hasattr(inner, "_orig_mod"):
        inner = inner._orig_mod
    inner = inner.module if isinstance(inner, nn.DataParallel) else inner
    plain, expected = row(inner, tokenizer, heat)
    assert heat.targets[0].score == pytest.approx(plain, rel=1e-10)
    np.testing.assert_allclose(heat.scores[0], expected, rtol=1e-10)
    assert heat.provenance["class"] == "BertForMaskedLM"
    assert np.allclose(bare, heat.scores) == ("LoRA" not in name)


@pytest.mark.parametrize("part", ["whole", "encoder"])
def test_a_model_compiled_in_place_runs_as_it_was_written(part: str) -> None:
    model, tokenizer = tiny.masked_lm("bert")
    bare = hs.Explainer(model, tokenizer)(TEXT)
    (model if part == "whole" else model.bert).compile(backend="eager")
    ids = torch.tensor([tokenizer(TEXT)["input_ids"]])
    with torch.no_grad():
        model(input_ids=ids)  # compiled now, without our hooks
        heat = hs.Explainer(model, tokenizer)(TEXT)
        model(input_ids=ids)
    np.testing.assert_array_equal(heat.scores, bare.scores)


def test_prompts_that_are_learned_are_refused() -> None:
    model, tokenizer = tiny.model("causal", "gpt2")
    config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
    with pytest.raises(
        hs.SaliencyError, match=r"PromptTuningConfig puts learned vectors.*get_base_model\(\)"
    ):
        hs.Explainer(peft.get_peft_model(model, config), tokenizer)


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpoints_of_activations(reentrant: bool) -> None:
    model, tokenizer = tiny.masked_lm("bert")
    bare = hs.Explainer(model, tokenizer)(TEXT)
    model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    model.train()
    heat = hs.Explainer(model, tokenizer)(TEXT)
    np.testing.assert_array_equal(heat.scores, bare.scores)
    assert model.is_gradient_checkpointing
    assert model.training


@pytest.mark.parametrize("tied", [True, False])
def test_tied_weights(tied: bool) -> None:
    model, tokenizer = tiny.masked_lm("bert", tie_word_embeddings=tied)
    same = model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert same == tied
    heat = hs.Explainer(model, tokenizer)(TEXT)
    plain, expected = row(model, tokenizer, heat)
    assert heat.targets[0].score == pytest.approx(plain, rel=1e-10)
    np.testing.assert_allclose(heat.scores[0], expected, rtol=1e-10)


METHODS: dict[str, Any] = {
    "gradient_norm": hs.gradient_norm(),
    "saliency": hs.saliency(),
    "input_x_gradient": hs.input_x_gradient(),
    "integrated_gradients": hs.integrated_gradients(n_steps=8),
    "sequential_integrated_gradients": hs.sequential_integrated_gradients(n_steps=4),
    "discretized_integrated_gradients": hs.discretized_integrated_gradients(n_steps=4),
    "gradient_shap": hs.gradient_shap(n_samples=3),
    "smooth_grad": hs.smooth_grad(n_samples=3),
    "smooth_grad_squared": hs.smooth_grad_squared(n_samples=3),
    "var_grad": hs.var_grad(n_samples=3),
    "occlusion": hs.occlusion(),
    "leave_one_out": hs.leave_one_out(),
    "shapley_sampling": hs.shapley_sampling(n_samples=3),
    "kernel_shap": hs.kernel_shap(n_samples=20),
    "lime": hs.lime(n_samples=20),
    "random_baseline": hs.random_baseline(),
}


@pytest.mark.filterwarnings("ignore:.*")  # warnings of methods about their convergence
@pytest.mark.parametrize("name", sorted(METHODS))
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_a_classifier_without_a_pad_token_in_batches_by_every_method(family: str, name: str) -> None:
    model, tokenizer = tiny.model("sequence_classification", family)
    assert model.config.pad_token_id is None
    texts = ["the cat sat on a mat", "she ran to the dog"]
    together = hs.Explainer(model, tokenizer)(texts, target=hs.Label(1), method=METHODS[name])
    for text, heat in zip(texts, together, strict=True):
        alone = hs.Explainer(model, tokenizer)(text, target=hs.Label(1), method=METHODS[name])
        inputs = dense.known(model, tokenizer(text))
        with torch.no_grad():
            plain = model(**inputs).logits[0, 1].item()
        assert heat.targets[0].score == pytest.approx(plain, rel=1e-5)
        if name not in RANDOM:
            np.testing.assert_allclose(
                heat.scores, alone.scores, rtol=1e-4, atol=1e-6 * np.abs(alone.scores).max()
            )
        assert np.isfinite(heat.scores).all()
    assert model.config.pad_token_id is None


# Methods whose random draws depend on the row's number.
RANDOM = {
    "gradient_shap", "smooth_grad", "smooth_grad_squared", "var_grad", "shapley_sampling", "kernel_shap", "lime",
    "random_baseline",
}  # fmt: skip


def test_a_classifier_whose_head_peft_trains() -> None:
    model, tokenizer = tiny.model(*CLASSIFIER)
    wrapped = lora(model, target_modules=["c_attn"], task_type="SEQ_CLS", fan_in_fan_out=True).eval()
    texts = ["the cat sat on a mat", "she ran to the dog"]
    for text, heat in zip(texts, hs.Explainer(wrapped, tokenizer)(texts, target=hs.Label(1)), strict=True):
        with torch.no_grad():
            plain = wrapped(**dense.known(model, tokenizer(text))).logits[0, 1].item()
        assert heat.targets[0].score == pytest.approx(plain, rel=1e-10)
        assert (heat.scores > 0).all()


def test_reentrant_checkpoints_are_refused_with_the_other_kind_named() -> None:
    model = tiny.of_class("BertForSequenceClassification")

    class Checkpointed(torch.nn.Module):
        def __init__(self, inner: torch.nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, *given: Any, **named: Any) -> Any:
            run = functools.partial(self.inner, **named)
            return torch.utils.checkpoint.checkpoint(run, *given, use_reentrant=True)

    model.bert.encoder.layer[0] = Checkpointed(model.bert.encoder.layer[0])
    with pytest.raises(hs.SaliencyError, match="checkpoint with use_reentrant=False"):
        hs.Explainer(model, tiny.tokenizer())("the cat sat")


def adapted_embedding(kind: str, tied: bool = False) -> tuple[Any, Any]:
    """A model whose word embedding is wrapped by PEFT, and its tokenizer."""
    model, tokenizer = tiny.masked_lm("bert", tie_word_embeddings=tied)
    if kind == "saved":
        wrapped = lora(model, modules_to_save=["word_embeddings"])
        with torch.no_grad():
            wrapped.get_input_embeddings().modules_to_save["default"].weight.mul_(1.5)
        return wrapped, tokenizer
    wrapped = lora(model, target_modules=["word_embeddings"])
    for name, parameter in wrapped.named_parameters():
        if "lora_embedding" in name:
            nn.init.normal_(parameter, std=0.5)
    if kind == "merged":
        wrapped.merge_adapter()
    return wrapped, tokenizer


@pytest.mark.parametrize("kind", ["saved", "merged"])
def test_an_embedding_within_a_layer_of_peft(kind: str) -> None:
    wrapped, tokenizer = adapted_embedding(kind)
    heat = hs.Explainer(wrapped, tokenizer)(TEXT)
    alone = copy.deepcopy(wrapped)
    if kind == "merged":
        alone.unmerge_adapter()
    alone = alone.merge_and_unload()
    expected = hs.Explainer(alone, tokenizer)(TEXT)
    np.testing.assert_allclose(heat.scores, expected.scores, rtol=1e-10)
    target = heat.targets[0]
    assert target.score == pytest.approx(row(alone, tokenizer, heat)[0], rel=1e-10)
    np.testing.assert_allclose(heat.scores[0], row(alone, tokenizer, heat)[1], rtol=1e-10)


@pytest.mark.filterwarnings("ignore:.*tie:UserWarning")  # from PEFT, which merges into the tied head as well
@pytest.mark.parametrize("kind", ["saved", "merged", "added"])
def test_a_tied_embedding_within_a_layer_of_peft(kind: str) -> None:
    wrapped, tokenizer = adapted_embedding(kind, tied=True)
    if kind == "added":
        with pytest.raises(
            hs.SaliencyError, match=r"PEFT adapts the text embedding.*model.merge_adapter\(\)"
        ):
            hs.Explainer(wrapped, tokenizer)
        return
    heat = hs.Explainer(wrapped, tokenizer)(TEXT)
    score, norms = row(wrapped, tokenizer, heat)
    assert heat.targets[0].score == pytest.approx(score, rel=1e-10)
    np.testing.assert_allclose(heat.scores[0], norms, rtol=1e-10)


def test_an_embedding_that_an_adapter_adds_to_is_refused_until_it_is_merged() -> None:
    wrapped, tokenizer = adapted_embedding("added")
    with pytest.raises(hs.SaliencyError, match=r"PEFT adapts the text embedding.*model.merge_adapter\(\)"):
        hs.Explainer(wrapped, tokenizer)
    wrapped.merge_adapter()
    explainer = hs.Explainer(wrapped, tokenizer)
    explainer(TEXT)
    wrapped.unmerge_adapter()
    with pytest.raises(hs.SaliencyError, match="unmerged.*make another one"):
        explainer(TEXT)


def test_trained_rows_of_an_embedding_are_refused_until_they_are_merged() -> None:
    model, tokenizer = tiny.masked_lm("bert", tie_word_embeddings=False)
    plain = copy.deepcopy(model)
    wrapped = lora(model, trainable_token_indices=tokenizer("cat sat")["input_ids"][1:3])
    rows = wrapped.get_input_embeddings().token_adapter.trainable_tokens_delta["default"]
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "lora_" in name:
                parameter.zero_()  # keep only the trained rows
        rows.mul_(1.5)
        plain.get_input_embeddings().weight[tokenizer("cat sat")["input_ids"][1:3]] *= 1.5
    with pytest.raises(hs.SaliencyError, match=r"PEFT adapts the text embedding.*model.merge_adapter\(\)"):
        hs.Explainer(wrapped, tokenizer)
    wrapped.merge_adapter()
    heat, expected = (hs.Explainer(each, tokenizer)(TEXT) for each in (wrapped, plain))
    np.testing.assert_allclose(heat.scores, expected.scores, rtol=1e-10)
