"""Context mixing: value zeroing and attention rollout against replicas in loops, and refused models."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor, nn

import hf_saliency as hs

TEXT = "the cat learned it !"
METHODS = ["value_zeroing", "attention_rollout"]


def demo(family: str, head: str = "masked", **changes: Any) -> tuple[nn.Module, hs.Explainer]:
    model, tokenizer = tiny.model(head, family, **changes)
    model = model.double().eval()
    return model, hs.Explainer(model, tokenizer)


def masked_ids(explainer: hs.Explainer, position: int) -> Tensor:
    ids = list(explainer.encode(TEXT).ids)
    ids[position] = explainer.text_model.tokenizer.mask_token_id
    return torch.tensor([ids])


def test_attention_rollout_by_its_definition() -> None:
    model, explainer = demo("bert")
    heat = explainer(TEXT, method="attention_rollout")
    model.set_attn_implementation("eager")
    for row, target in zip(heat.scores, heat.targets, strict=True):
        ids = masked_ids(explainer, target.position)
        with torch.no_grad():
            layers = model(ids, output_attentions=True).attentions
        rolled = torch.eye(ids.shape[1], dtype=torch.float64)
        for weights in layers:
            rolled = (0.5 * weights[0].mean(0) + 0.5 * torch.eye(ids.shape[1])) @ rolled
        np.testing.assert_allclose(row, rolled[target.position], rtol=1e-10)


def test_value_zeroing_by_its_definition() -> None:
    """One layer and one token at a time, with zeros written into the output of the value projection."""
    model, explainer = demo("bert")
    heat = explainer(TEXT, method="value_zeroing")
    layers = model.bert.encoder.layer
    target = heat.targets[2]
    ids = masked_ids(explainer, target.position)
    count = ids.shape[1]
    with torch.no_grad():
        hidden = model(ids, output_hidden_states=True).hidden_states
        rolled = torch.eye(count, dtype=torch.float64)
        for number, layer in enumerate(layers):
            distance = torch.zeros(count, count, dtype=torch.float64)
            for j in range(count):

                def zero(module: nn.Module, inputs: Any, output: Tensor, j: int = j) -> Tensor:
                    changed = output.clone()
                    changed[:, j] = 0
                    return changed

                hook = layer.attention.self.value.register_forward_hook(zero)
                out = layer(hidden[number])
                hook.remove()
                out = out if isinstance(out, Tensor) else out[0]
                distance[:, j] = 1 - torch.cosine_similarity(out[0], hidden[number + 1][0], dim=-1)
            rolled = distance / distance.sum(1, keepdim=True) @ rolled
    np.testing.assert_allclose(heat.scores[2], rolled[target.position], rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("head", "family"), [("masked", "bert"), ("masked", "albert"), ("causal", "gpt2")])
def test_alone_batched_and_by_any_attention(method: str, head: str, family: str) -> None:
    model, explainer = demo(family, head)
    alone = explainer(TEXT, method=method)
    np.testing.assert_allclose(alone.scores.sum(1), 1, rtol=1e-10)
    together, _ = explainer([TEXT, "the cat sat on the mat and learned it"], method=method)
    np.testing.assert_allclose(together.scores, alone.scores, rtol=0, atol=1e-9)
    small = hs.Explainer(model, explainer.text_model.tokenizer, batch_tokens=24)
    np.testing.assert_allclose(small(TEXT, method=method).scores, alone.scores, rtol=0, atol=1e-9)
    model.set_attn_implementation("eager")
    np.testing.assert_allclose(explainer(TEXT, method=method).scores, alone.scores, rtol=0, atol=1e-9)
    assert not alone.signed
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("method", METHODS)
def test_a_next_token_holds_nothing_of_what_follows(method: str) -> None:
    _, explainer = demo("gpt2", "causal")
    heat = explainer(TEXT, method=method)
    for row, target in zip(heat.scores, heat.targets, strict=True):
        assert not row[target.position :].any()


@pytest.mark.parametrize("method", METHODS)
def test_where_it_is_not_defined(method: str) -> None:
    tokenizer = tiny.tokenizer()
    for head, family in (("seq2seq", "t5"), ("masked", "fnet")):
        explainer = hs.Explainer(tiny.model(head, family)[0], tokenizer)
        text = (TEXT, "the mat") if head == "seq2seq" else TEXT
        with pytest.raises(hs.SaliencyError, match="context mixing is defined for"):
            explainer(text, method=method)
    classifier = hs.Explainer(*tiny.model("sequence_classification", "bert"))
    with pytest.raises(hs.SaliencyError, match="is not read at a single token"):
        classifier(TEXT, method=method)
