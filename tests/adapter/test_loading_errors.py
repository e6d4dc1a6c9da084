"""Errors that name a call that works: for arguments that are no model, and for models not ready to be explained."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import tiny
import torch
import transformers
from torch import nn

import hf_saliency as hs

TEXT = "the cat sat on a mat"


def test_a_class_is_no_tokenizer() -> None:
    model, tokenizer = tiny.masked_lm("bert")
    with pytest.raises(
        hs.SaliencyError, match=f"{type(tokenizer).__name__} is a class: load one of its instances"
    ):
        hs.Explainer(model, type(tokenizer))
    with pytest.raises(hs.SaliencyError, match="BertForMaskedLM is a class"):
        hs.Explainer(type(model), tokenizer)


def test_a_model_without_its_tokenizer_is_told_its_own_auto_class() -> None:
    with pytest.raises(
        hs.SaliencyError, match=r"not GPT2LMHeadModel and NoneType: Explainer\(AutoModelForCausalLM"
    ):
        hs.Explainer(tiny.of_class("GPT2LMHeadModel"))


@pytest.mark.parametrize("attention", ["flex_attention", "paged|sdpa"])
def test_attention_without_a_backward_pass(attention: str) -> None:
    model, tokenizer = tiny.model("causal", "llama")
    model.config._attn_implementation = attention
    with pytest.raises(hs.SaliencyError, match=r"no backward pass.*model.set_attn_implementation\('sdpa'\)"):
        hs.Explainer(model, tokenizer)


def test_attention_whose_kernels_are_not_installed() -> None:
    model, tokenizer = tiny.model("causal", "llama")
    model.config._attn_implementation = "flash_attention_9"
    with pytest.raises(
        hs.SaliencyError, match=r"LlamaForCausalLM.forward raised .*model.set_attn_implementation\('sdpa'\)"
    ):
        hs.Explainer(model, tokenizer)(TEXT)


def test_weights_that_were_never_loaded() -> None:
    config = tiny.masked_lm("bert")[0].config
    with torch.device("meta"):
        model = transformers.BertForMaskedLM(config)
    with pytest.raises(hs.SaliencyError, match="BertForMaskedLM are on the meta device.*from_pretrained"):
        hs.Explainer(model, tiny.tokenizer())


def test_an_error_of_a_causal_model_s_own() -> None:
    class Broken(type(tiny.of_class("GPT2LMHeadModel"))):
        def forward(self, **inputs: Any) -> Any:
            raise ValueError("prompts need an image")

    model = Broken(tiny.of_class("GPT2LMHeadModel").config)
    with pytest.raises(hs.SaliencyError, match="Broken.forward raised ValueError: prompts need an image"):
        hs.Explainer(model, tiny.tokenizer())(TEXT)


@pytest.mark.parametrize("answer", [None, "mat"])
def test_a_longformer_without_three_separators(answer: str | None) -> None:
    model, tokenizer = tiny.model("question_answering", "longformer")
    given = ("the cat sat", "on a mat"), hs.AnswerSpan(answer)
    with pytest.raises(
        hs.SaliencyError, match="tokenizer that belongs to this model.*'global_attention_mask'"
    ):
        hs.Explainer(model, tokenizer)(given[0], target=given[1])
    inputs = {"global_attention_mask": lambda others: (others["input_ids"] == 2).long()}
    heat = hs.Explainer(model, tokenizer, inputs=inputs)(given[0], target=given[1])
    assert len(heat.targets) == 1


def test_the_next_sentence_is_a_label() -> None:
    model = tiny.of_class("BertForNextSentencePrediction")
    heat = hs.Explainer(model, tiny.tokenizer())((TEXT, "dog ran"))
    assert heat.targets[0].label in ("LABEL_0", "LABEL_1")


@pytest.mark.parametrize(
    ("name", "auto"),
    [
        ("BertForPreTraining", "AutoModelForMaskedLM"),
        ("ElectraForPreTraining", "AutoModelForMaskedLM"),
        ("GPT2DoubleHeadsModel", "AutoModelForCausalLM"),
    ],
)
def test_several_heads(name: str, auto: str) -> None:
    explainer = hs.Explainer(tiny.of_class(name), tiny.tokenizer())
    with pytest.raises(
        hs.SaliencyError, match=rf"{name} has no default target.*{auto}.from_pretrained\(name\)"
    ):
        explainer(TEXT)


def vision_language(name: str) -> nn.Module:
    """A tiny model for images and text."""
    text = {
        "vocab_size": 64,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "head_dim": 8,
    }
    torch.manual_seed(0)
    if name == "gemma3":
        vision = {
            "hidden_size": 16,
            "intermediate_size": 24,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
        }
        config: Any = transformers.Gemma3Config(
            text_config=text,
            vision_config={**vision, "image_size": 28, "patch_size": 14},
            image_token_index=60,
        )
        return transformers.Gemma3ForConditionalGeneration(config).double().eval()
    vision = {"depth": 1, "embed_dim": 16, "hidden_size": 16, "num_heads": 2, "mlp_ratio": 1}
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e4}
    config = transformers.Qwen2VLConfig(
        text_config={**text, "rope_parameters": rope},
        vision_config=vision,
        image_token_id=60,
        video_token_id=61,
    )
    return transformers.Qwen2VLForConditionalGeneration(config).double().eval()


@pytest.mark.parametrize("name", ["gemma3", "qwen2_vl"])
def test_models_for_images_and_text_with_text_alone(name: str) -> None:
    model = vision_language(name)
    heat = hs.Explainer(model, tiny.tokenizer())(TEXT)
    ids = torch.tensor([tiny.tokenizer()(TEXT)["input_ids"]])
    with torch.no_grad():
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0]
    for row in heat.targets:
        assert row.score == pytest.approx(logits[row.position - 1, ids[0, row.position]].item(), rel=1e-4)
        assert not heat.scores[heat.targets.index(row), row.position :].any()


def test_an_older_transformers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokenizer = tiny.masked_lm("bert")
    imported = sys.modules["transformers"]  # transformers replaces its lazy module after the first import
    monkeypatch.setattr(imported, "__version__", "4.57.0")
    with pytest.raises(
        hs.SaliencyError, match="transformers 4.57.0 is installed, and hf_saliency needs transformers>="
    ):
        hs.Explainer(model, tokenizer)
    monkeypatch.setattr(imported, "__version__", "99.0.0.dev0")
    hs.Explainer(model, tokenizer)
