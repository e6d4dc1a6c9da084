"""LLMGradientNormAttribution on tiny language models, against dense one-hot gradients."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
import transformers
from captum.attr import InputXGradient, LLMGradientAttribution, TextTemplateInput, TextTokenInput
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from hf_saliency.attribution.captum_llm import LLMGradientNormAttribution
from hf_saliency.attribution.gradient_norm import LayerGradientNorm
from hf_saliency.errors import SaliencyError

WORDS = ["<unk>", "<s>", "the", "cat", "sat", "on", "a", "mat", *(f"word{i}" for i in range(40))]
PROMPT, TARGET = "the cat sat on the", "a mat word3 a"
SIZES = {"vocab_size": 48, "bos_token_id": 1, "eos_token_id": 47, "pad_token_id": 0}
MODELS: dict[str, tuple[str, dict[str, Any], float]] = {
    # The last number is the largest relative difference: Llama computes norms and rotary angles in float32.
    "gpt2": ("GPT2LMHeadModel", {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 40}, 1e-10),
    "llama": (
        "LlamaForCausalLM",
        {
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 24,
            "max_position_embeddings": 40,
        },
        1e-5,
    ),
}


@functools.cache
def tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer of words between spaces, so that Captum can decode and encode again."""
    fast = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    fast.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=fast, unk_token="<unk>", bos_token="<s>")


@functools.cache
def model(family: str) -> nn.Module:
    cls = getattr(transformers, MODELS[family][0])
    torch.manual_seed(0)
    made = cls(cls.config_class(**SIZES, **MODELS[family][1])).double().eval()
    for parameter in made.parameters():  # weights large enough that every part of the model matters
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.3)
    return made


def bridge(family: str = "gpt2", **options: Any) -> LLMGradientNormAttribution:
    lm = model(family)
    norm = LayerGradientNorm(lm, lm.get_input_embeddings(), keepdim=True, **options)
    return LLMGradientNormAttribution(norm, tokenizer())


def prompt(**options: Any) -> TextTokenInput:
    return TextTokenInput(PROMPT, tokenizer(), **options)


def dense(family: str, prompt_ids: Tensor, target_ids: Tensor) -> Tensor:
    """(targets, tokens, vocabulary): each log-probability's gradient with respect to the prompt's one-hot vectors."""
    lm = model(family)
    table = lm.get_input_embeddings().weight.detach()
    gradients = []
    for k, target in enumerate(target_ids):
        one_hot = nn.functional.one_hot(torch.cat([prompt_ids, target_ids[:k]]), 48).double().requires_grad_()
        logits = lm(inputs_embeds=(one_hot @ table)[None]).logits[0, -1]
        (gradient,) = torch.autograd.grad(logits.log_softmax(dim=-1)[target], one_hot)
        gradients.append(gradient[: len(prompt_ids)])
    return torch.stack(gradients)


def target_ids() -> Tensor:
    return torch.tensor(tokenizer().encode(TARGET, add_special_tokens=False))


@pytest.mark.parametrize("order", [1, 2, torch.inf])
@pytest.mark.parametrize("family", list(MODELS))
def test_replica(family: str, order: float) -> None:
    result = bridge(family, order=order).attribute(prompt(), TARGET)
    gradients = dense(family, prompt().inp_tensor[0], target_ids())
    exact = {"rtol": MODELS[family][2], "atol": 0.0}
    expected = torch.linalg.vector_norm(gradients, order, dim=-1)
    assert expected.min() > 0
    torch.testing.assert_close(result.token_attr, expected, **exact)
    sequence = torch.linalg.vector_norm(gradients.sum(dim=0), order, dim=-1)
    torch.testing.assert_close(result.seq_attr, sequence, **exact)
    assert (result.seq_attr < 0.999 * result.token_attr.sum(dim=0)).any()  # not Captum's sum, an upper bound
    assert (result.seq_attr <= (1 + exact["rtol"]) * result.token_attr.sum(dim=0)).all()


def test_embedding_space() -> None:
    gradients = dense("gpt2", prompt().inp_tensor[0], target_ids())
    table = model("gpt2").get_input_embeddings().weight.detach()
    # E g is the one-hot gradient. E has full rank, so that its pseudoinverse recovers g.
    expected = torch.linalg.vector_norm(gradients @ torch.linalg.pinv(table).T, dim=-1)
    result = bridge(space="embedding").attribute(prompt(), TARGET)
    torch.testing.assert_close(result.token_attr, expected, rtol=1e-8, atol=0)


def test_names_of_tokens() -> None:
    result = bridge().attribute(prompt(), TARGET)
    assert result.input_tokens == ["<s>", "the", "cat", "sat", "on", "the"]
    assert result.output_tokens == ["a", "mat", "word3", "a"]


def test_captum_refuses_without_the_bridge() -> None:
    lm = model("gpt2")
    norm = LayerGradientNorm(lm, lm.get_input_embeddings(), keepdim=True)
    with pytest.raises(AssertionError, match="does not support"):
        LLMGradientAttribution(norm, tokenizer())
    assert LayerGradientNorm not in LLMGradientAttribution.SUPPORTED_METHODS


def test_captum_lets_everything_else_through_unchanged() -> None:
    lm = model("gpt2")
    norm = LayerGradientNorm(lm, lm.get_input_embeddings(), keepdim=True)

    class Admitted(LLMGradientAttribution):
        SUPPORTED_METHODS = (LayerGradientNorm,)

    captums = Admitted(norm, tokenizer()).attribute(prompt(), TARGET)
    ours = bridge().attribute(prompt(), TARGET)
    torch.testing.assert_close(ours.token_attr, captums.token_attr, rtol=0, atol=0)
    assert norm.forward_func is lm


def test_a_target_of_ids_is_its_string() -> None:
    by_ids = bridge().attribute(prompt(), target_ids())
    torch.testing.assert_close(by_ids.seq_attr, bridge().attribute(prompt(), TARGET).seq_attr)


def test_generated_target() -> None:
    generated = bridge().attribute(prompt(), gen_args={"max_new_tokens": 3, "do_sample": False})
    ids = model("gpt2").generate(prompt().inp_tensor, max_new_tokens=3, do_sample=False)[0, 6:]
    assert generated.output_tokens == tokenizer().convert_ids_to_tokens(ids.tolist())
    given = bridge().attribute(prompt(), ids)
    torch.testing.assert_close(generated.token_attr, given.token_attr)
    torch.testing.assert_close(generated.seq_attr, given.seq_attr)


def test_a_sampled_target_is_one_target() -> None:
    torch.manual_seed(0)
    sampled = bridge().attribute(prompt(), gen_args={"max_new_tokens": 4, "do_sample": True})
    ids = tokenizer().convert_tokens_to_ids(sampled.output_tokens)
    torch.testing.assert_close(
        sampled.seq_attr, bridge().attribute(prompt(), torch.tensor(ids)).seq_attr, rtol=1e-10, atol=0
    )


def test_skipped_tokens_are_read_and_not_shown() -> None:
    whole = bridge().attribute(prompt(), TARGET)
    part = bridge().attribute(prompt(skip_tokens=["<s>", "cat"]), TARGET)
    assert part.input_tokens == ["the", "sat", "on", "the"]
    torch.testing.assert_close(part.token_attr, whole.token_attr[:, [1, 3, 4, 5]], rtol=1e-10, atol=0)
    torch.testing.assert_close(part.seq_attr, whole.seq_attr[[1, 3, 4, 5]], rtol=1e-10, atol=0)


def test_grad_kwargs_reach_both_passes() -> None:
    result = bridge().attribute(prompt(), TARGET, grad_kwargs={"allow_unused": True})
    torch.testing.assert_close(result.seq_attr, bridge().attribute(prompt(), TARGET).seq_attr)


def test_the_model_is_left_as_it_was() -> None:
    lm = model("gpt2")
    before = [(parameter.requires_grad, parameter.grad) for parameter in lm.parameters()]
    bridge().attribute(prompt(), TARGET)
    assert [(parameter.requires_grad, parameter.grad) for parameter in lm.parameters()] == before
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in lm.modules())


def norm(**options: Any) -> LayerGradientNorm:
    lm = model("gpt2")
    return LayerGradientNorm(lm, lm.get_input_embeddings(), **options)


REFUSED = {
    "keepdim": (lambda: norm(), r"must not be the tokens: give LayerGradientNorm\(model, .*keepdim=True\)"),
    "another method": (
        lambda: InputXGradient(model("gpt2")),
        "attr_method is InputXGradient: give LayerGrad",
    ),
    "layers": (
        lambda: LayerGradientNorm(model("gpt2"), [model("gpt2").get_input_embeddings()], keepdim=True),
        "has a list of layers",
    ),
    "a function": (
        lambda: LayerGradientNorm(
            lambda ids: model("gpt2")(ids).logits, model("gpt2").get_input_embeddings(), keepdim=True
        ),
        "was built on a function",
    ),
}


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize("case", list(REFUSED))
def test_refused_methods(case: str) -> None:
    build, message = REFUSED[case]
    with pytest.raises(SaliencyError, match=message):
        LLMGradientNormAttribution(build(), tokenizer())


@pytest.mark.usefixtures("unchecked_types")
def test_a_refused_prompt() -> None:
    with pytest.raises(SaliencyError, match=r"inp is TextTemplateInput: give captum.attr.TextTokenInput\("):
        bridge().attribute(TextTemplateInput("{} cat", ["the"]), TARGET)


def test_refused_targets() -> None:
    one = bridge()
    with pytest.raises(SaliencyError, match="gen_args are for generating a target"):
        one.attribute(prompt(), TARGET, {"max_new_tokens": 2})
    with pytest.raises(SaliencyError, match="target='' has no tokens"):
        one.attribute(prompt(), "")
    with pytest.raises(NotImplementedError):
        one.attribute_future()
