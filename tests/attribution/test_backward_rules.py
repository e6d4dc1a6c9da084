"""Backward rules: a closed form of each rule, families of models, fused and plain attention, conservation."""

from __future__ import annotations

import contextlib
import itertools
from typing import Any

import numpy as np
import pytest
import tiny
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import _get_current_function_mode_stack
from transformers.activations import ACT2FN
from transformers.models.llama.modeling_llama import LlamaMLP, LlamaRMSNorm

import hf_saliency as hs
from hf_saliency.adapter.architecture import activation_modules, attention_modules

RULES = ["ln_freeze", "cp_lrp", "attn_lrp", "gim"]
TEXT = "the cat learned it !"
EXACT = {"rtol": 1e-10, "atol": 1e-12}


def relevance(function: Any, inputs: Tensor, rules: str = "attn_lrp", **modules: Any) -> Tensor:
    attribution = hs.RelevanceGradient(lambda e: function(e).flatten(1).sum(1), rules, **modules)
    return attribution.attribute(inputs)


@pytest.fixture
def embeds() -> Tensor:
    return torch.randn(2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize(
    "norm",
    [
        nn.LayerNorm(4).double(),
        nn.LayerNorm(4, elementwise_affine=False).double(),
        lambda e: F.layer_norm(e, (3, 4)),
        lambda e: (e - e.mean(-1, keepdim=True)) / (e.var(-1, keepdim=True) + 1e-5).sqrt(),
        lambda e: (e - e.mean(-1, keepdim=True)) / (e.std(-1, keepdim=True) + 1e-5),
        lambda e: (e - e.mean(-1, keepdim=True)) * torch.pow(e.var(-1, keepdim=True) + 1e-5, -0.5),
    ],
)
def test_the_divisor_of_a_layer_norm_is_a_constant(norm: Any, rules: str, embeds: Tensor) -> None:
    """With a constant divisor the norm is linear in the input, so that the relevance adds up to the output."""
    weight = torch.arange(12, dtype=torch.float64).reshape(3, 4)
    probe = relevance(lambda e: norm(e) * weight, embeds, rules)
    torch.testing.assert_close(probe.flatten(1).sum(1), (norm(embeds) * weight).flatten(1).sum(1), **EXACT)


@pytest.mark.parametrize(
    "norm",
    [
        LlamaRMSNorm(4).double().requires_grad_(False),
        nn.RMSNorm(4).double().requires_grad_(False),
        lambda e: e / (e.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt(),
    ],
)
def test_the_divisor_of_an_rms_norm_is_a_constant(norm: Any, embeds: Tensor) -> None:
    rtol = 1e-6 if isinstance(norm, LlamaRMSNorm) else 1e-10  # it computes in float32
    torch.testing.assert_close(relevance(norm, embeds), norm(embeds).detach(), rtol=rtol, atol=1e-6)


@pytest.mark.parametrize(
    "name", ["gelu", "gelu_new", "gelu_pytorch_tanh", "quick_gelu", "silu", "relu", "relu2", "tanh"]
)
def test_relevance_passes_activations(name: str, embeds: Tensor) -> None:
    """Composed activations are recognised as modules; the rule applies only once to a function inside a module."""
    module = ACT2FN[name]
    found = activation_modules(nn.Sequential(nn.Linear(4, 4), module, nn.Softmax(-1), nn.Sigmoid()))
    assert found == (module,)
    embeds[0, 0, 0] = 0
    torch.testing.assert_close(relevance(module, embeds, activations=found), module(embeds), **EXACT)
    if name in ("gelu", "silu", "relu", "tanh"):
        torch.testing.assert_close(relevance(module, embeds), module(embeds), **EXACT)
    assert (
        not torch.allclose(relevance(module, embeds, "gim", activations=found), module(embeds))
        or name == "relu"
    )


@pytest.mark.parametrize(
    "product",
    [
        lambda a, b: a * b,
        torch.mul,
        lambda a, b: a @ b.transpose(-1, -2),
        lambda a, b: torch.bmm(a, b.transpose(1, 2)),
        lambda a, b: torch.einsum("bik,bjk->bij", a, b),
        lambda a, b: torch.einsum("bik,bjk->bij", [a, b]),
        lambda a, b: a.clone().mul_(b),
    ],
)
def test_products_share_relevance(product: Any, embeds: Tensor) -> None:
    """Each factor receives half of the product's relevance, and both halves add up to the product."""
    both = relevance(lambda e: product(3 * e, torch.cat([e[..., 2:], e[..., :2]], -1)), embeds)
    expected = product(3 * embeds, torch.cat([embeds[..., 2:], embeds[..., :2]], -1))
    torch.testing.assert_close(both.flatten(1).sum(1), expected.flatten(1).sum(1), **EXACT)
    constant = torch.ones_like(embeds)
    torch.testing.assert_close(
        relevance(lambda e: product(e, constant), embeds),
        relevance(lambda e: product(e, constant), embeds, "ln_freeze"),
        **EXACT,
    )


def heads(e: Tensor) -> Tensor:
    return e[:, None]


def plain_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, groups: int) -> Tensor:
    k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
    scores = q @ k.transpose(-1, -2) * 0.5
    scores = scores if mask is None else scores.masked_fill(~mask, -torch.inf)
    return F.softmax(scores, dim=-1) @ v


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("causal", [False, True])
def test_fused_attention_is_plain_attention(rules: str, groups: int, causal: bool, embeds: Tensor) -> None:
    generator = torch.Generator().manual_seed(2)
    matrices = [torch.randn(4, 4, dtype=torch.float64, generator=generator) for _ in range(3)]
    mask = torch.ones(3, 3, dtype=torch.bool).tril() if causal else None

    def states(e: Tensor) -> list[Tensor]:
        query, key, value = (heads(e @ matrix) for matrix in matrices)
        return [query.repeat(1, groups, 1, 1), key, value]

    def fused(e: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(*states(e), is_causal=causal, scale=0.5, enable_gqa=groups > 1)

    expected = relevance(lambda e: plain_attention(*states(e), mask, groups), embeds, rules)
    torch.testing.assert_close(relevance(fused, embeds, rules), expected, **EXACT)
    boolean = relevance(
        lambda e: F.scaled_dot_product_attention(
            *states(e), mask, 0.0, False, scale=0.5, enable_gqa=groups > 1
        ),
        embeds,
        rules,
    )
    torch.testing.assert_close(boolean, expected, **EXACT)


def test_attention_weights_are_constants_in_cp_lrp(embeds: Tensor) -> None:
    weights = torch.softmax(embeds @ embeds.transpose(-1, -2), -1)
    found = relevance(
        lambda e: F.scaled_dot_product_attention(heads(e), heads(e), heads(e), scale=1.0), embeds, "cp_lrp"
    )
    torch.testing.assert_close(found, weights.sum(1)[..., None] * embeds, **EXACT)


def test_the_softmax_of_gim_by_its_definition() -> None:
    scores = torch.tensor([[[[1.0, 2.0, 4.0]]]], dtype=torch.float64)
    value = torch.tensor([3.0, -1.0, 2.0], dtype=torch.float64)
    softer = torch.softmax(scores / 2, -1)
    expected = scores * softer * (value - (value * softer).sum(-1, keepdim=True))
    torch.testing.assert_close(
        relevance(lambda e: F.softmax(e, dim=-1) * value, scores, "gim"), expected, **EXACT
    )


def test_a_gated_unit_with_its_norm_conserves_relevance(embeds: Tensor) -> None:
    config = tiny.model("causal", "llama")[0].config
    torch.manual_seed(0)
    unit, norm = LlamaMLP(config).double().requires_grad_(False), nn.RMSNorm(config.hidden_size).double()
    inputs = torch.randn(2, 3, config.hidden_size, dtype=torch.float64)
    norm.requires_grad_(False)
    output = unit(norm(inputs)).flatten(1).sum(1)
    found = relevance(lambda e: unit(norm(e)), inputs, activations=activation_modules(unit))
    torch.testing.assert_close(found.flatten(1).sum(1), output, **EXACT)


def test_cp_lrp_conserves_the_logit() -> None:
    """Without biases and positions, and with a piecewise linear activation, the relevance adds up to the logit."""
    model, tokenizer = tiny.model("causal", "gpt2", activation_function="relu")
    model = model.double().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(".bias") or ".wpe." in name:
                parameter.zero_()
    for attention in ("eager", "sdpa"):
        model.set_attn_implementation(attention)
        heat = hs.Explainer(model, tokenizer)(TEXT, method="cp_lrp")
        np.testing.assert_allclose(heat.scores.sum(1), [row.score for row in heat.targets], rtol=1e-10)


# AttnLRP of the last next token of TEXT by LXT 2.1, for GPT-2 and Llama with plain attention.
STORED: dict[str, list[float]] = {
    "gpt2": [
        0.0036229288204260857,
        -0.48050941014448123,
        -0.09111996899736306,
        0.0629661595909359,
        -0.044030118346711736,
        -0.6541882529976917,
        0.0,
        0.0,
    ],
    "llama": [
        0.010624280981429719,
        0.1358261077400749,
        0.2963423242405445,
        0.28156034379508743,
        0.016660268650410127,
        0.3101485718827607,
        0.0,
        0.0,
    ],
}


@pytest.mark.parametrize("family", list(STORED))
def test_attn_lrp_is_that_of_lxt(family: str) -> None:
    model, tokenizer = tiny.model("causal", family)
    heat = hs.Explainer(model.double().eval(), tokenizer)(TEXT, method="attn_lrp")
    np.testing.assert_allclose(
        heat.scores[-1], STORED[family], rtol=0, atol=1e-8 if family == "gpt2" else 1e-6
    )


FAMILIES = [
    ("masked", "bert"),
    ("masked", "albert"),
    ("masked", "deberta"),
    ("masked", "modernbert"),
    ("causal", "gpt2"),
    ("causal", "llama"),
    ("causal", "gemma2"),
    ("causal", "qwen3"),
    ("seq2seq", "t5"),
]


@pytest.mark.parametrize(("head", "family"), FAMILIES)
def test_families(head: str, family: str) -> None:
    """Each rule, fused and plain attention, alone and in a batch with a longer text, sharing a gradient pass or not."""
    model, tokenizer = tiny.model(head, family)
    model = model.double().eval()
    texts: list[Any] = [TEXT, "the cat sat on the mat and learned it"]
    if head == "seq2seq":
        texts = [(text, "the mat") for text in texts]
    assert attention_modules(model)
    seen = {}
    tolerance = 1e-5 if family in ("llama", "gemma2", "qwen3", "modernbert") else 1e-10  # parts in float32
    for rules in RULES:
        per_kind = []
        for kind in ("eager", "sdpa"):
            with contextlib.suppress(ValueError):  # a family without fused attention
                model.set_attn_implementation(kind)
            explainer = hs.Explainer(model, tokenizer)
            together = explainer(texts, method=rules)
            alone = explainer(texts[0], method=rules)
            scale = np.abs(alone.scores).max()
            np.testing.assert_allclose(together[0].scores, alone.scores, rtol=0, atol=tolerance * scale)
            per_kind.append(alone.scores)
        np.testing.assert_allclose(
            per_kind[0], per_kind[1], rtol=0, atol=tolerance * np.abs(per_kind[0]).max()
        )
        seen[rules] = per_kind[0]
    separate = explainer(texts[0], method=lambda score: hs.RelevanceGradient(score, "gim"))
    np.testing.assert_allclose(separate.scores, seen["gim"], rtol=0, atol=1e-5 * np.abs(seen["gim"]).max())
    for first, second in itertools.pairwise(RULES):
        assert np.abs(seen[first] - seen[second]).max() > 1e-6 * np.abs(seen[first]).max()


def test_the_softmax_of_a_probability_is_none_of_attention() -> None:
    explainer = hs.Explainer(*hs.load_demo())
    target = hs.MaskedToken("tea", unit="log_prob")
    for rules in ("cp_lrp", "gim"):
        assert np.abs(explainer("She drank hot tea.", target=target, method=rules).scores).max() > 1e-3


@pytest.mark.parametrize("rules", RULES)
def test_nothing_is_left_behind(rules: str) -> None:
    model, tokenizer = tiny.model("causal", "gpt2")
    explainer = hs.Explainer(model, tokenizer)
    explainer(TEXT, method=rules)

    def fail(*_: Any) -> None:
        raise KeyboardInterrupt

    hook = model.transformer.h[1].mlp.register_forward_hook(fail)
    with pytest.raises(KeyboardInterrupt):
        explainer(TEXT, method=rules)
    hook.remove()
    assert not _get_current_function_mode_stack()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_hidden_attention_is_refused() -> None:
    layer = nn.TransformerEncoderLayer(4, 2, batch_first=True).eval().requires_grad_(False)
    with pytest.raises(hs.SaliencyError, match=r"MultiheadAttention.*rules='ln_freeze'"):
        relevance(layer, torch.randn(1, 3, 4))
    assert relevance(layer, torch.randn(1, 3, 4), "ln_freeze").shape == (1, 3, 4)
    model, _ = tiny.model("causal", "llama")
    model.config._attn_implementation = "flex_attention"
    with pytest.raises(hs.SaliencyError, match="set_attn_implementation"):
        attention_modules(model)


@pytest.mark.usefixtures("unchecked_types")
def test_unknown_rules() -> None:
    with pytest.raises(hs.SaliencyError, match="rules='attnlrp': choose one of .*did you mean 'attn_lrp'"):
        hs.RelevanceGradient(lambda e: e.sum((1, 2)), "attnlrp")  # type: ignore[arg-type]
