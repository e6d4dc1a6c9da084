"""Causality: models that may be run on the beginning of a text alone, and models that may not."""

from __future__ import annotations

from typing import Any

import pytest
import tiny
import torch
from torch import Tensor, nn

import hf_saliency as hs
from hf_saliency.adapter.streams import OneSequence

TEXT = "the cat sat on a mat and dog ran to formal study of grammar"
BOTH_WAYS = "does not read only from left to right"


def logits(model: nn.Module, text: str) -> Tensor:
    with torch.no_grad():
        found: Any = model(input_ids=torch.tensor([tiny.tokenizer()(text)["input_ids"]]))
    return found.logits[0]


def trims(on: hs.Explainer, text: str) -> bool:
    encoding = on.encode(text)
    return on.text_model.trims(encoding.columns(range(1, len(encoding) - 1)), OneSequence())


def assert_plain(heat: hs.SaliencyMap, model: nn.Module) -> None:
    """Check that the scores are those of one forward pass over the whole text."""
    plain, ids = logits(model, heat.texts[0]), tiny.tokenizer()(heat.texts[0])["input_ids"]
    for row in heat.targets:
        assert row.score == pytest.approx(plain[row.position - 1, ids[row.position]].item(), rel=1e-9)


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4},
        {
            kind: {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
            for kind in ("full_attention", "sliding_attention")
        },
    ],
    ids=["flat", "by layer"],
)
def test_positions_that_depend_on_the_length_are_not_trimmed(rope: dict[str, Any]) -> None:
    name = "olmo3" if "full_attention" in rope else "llama"
    model, tokenizer = tiny.model("causal", name, rope_parameters=rope, max_position_embeddings=8)
    for batch_tokens in (None, 1):
        on = hs.Explainer(model, tokenizer, batch_tokens=batch_tokens)
        heat = on(TEXT)
        assert not trims(on, TEXT)
        assert_plain(heat, model)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_an_offset_of_all_logits_hides_nothing(dtype: torch.dtype) -> None:
    model = tiny.of_class("BertLMHeadModel", is_decoder=False)
    with torch.no_grad():
        model.cls.predictions.bias.fill_(-60.0)
    on = hs.Explainer(model.to(dtype), tiny.tokenizer())
    with pytest.warns(UserWarning, match=BOTH_WAYS):
        heat = on(TEXT)
    assert not trims(on, TEXT)
    assert heat.scores[0, heat.targets[0].position + 1 :].any()


def test_weak_dependence_on_later_tokens_is_seen() -> None:
    model = tiny.of_class("BertLMHeadModel", is_decoder=False)
    for parameter in model.bert.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.02)
    on = hs.Explainer(model.float(), tiny.tokenizer())
    with pytest.warns(UserWarning, match=BOTH_WAYS):
        on(TEXT)


class PrefixModel(nn.Module):
    """A language model in which the tokens up to a mask see each other."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = tiny.of_class("LlamaForCausalLM")
        self.config = self.inner.config

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Any:
        count = input_ids.shape[1]
        mask = torch.full((count, count), -1e9, dtype=torch.float64).triu(1).repeat(len(input_ids), 1, 1, 1)
        for row, ids in enumerate(input_ids):
            found = (ids == tiny.tokenizer().mask_token_id).nonzero()
            if len(found):
                mask[row, 0, : int(found[-1]) + 1, : int(found[-1]) + 1] = 0
        return self.inner(input_ids=input_ids, attention_mask=mask, use_cache=False)


def test_a_prefix_that_is_read_both_ways_is_seen_wherever_it_ends() -> None:
    model = PrefixModel()
    on = hs.Explainer(model, tiny.tokenizer(), embedding=model.inner.get_input_embeddings())
    with pytest.warns(UserWarning, match=BOTH_WAYS):
        heat = on("the cat sat on [MASK] a mat and dog ran to formal study of grammar", target=hs.NextToken())
    assert_plain(heat, model)


def test_a_module_of_ones_own_is_tried_with_each_text() -> None:
    model = PrefixModel()
    on = hs.Explainer(model, tiny.tokenizer(), embedding=model.inner.get_input_embeddings())
    on("the cat sat on a mat", target=hs.NextToken())
    text = "the cat sat on [MASK] a mat"
    for method in ("gradient_norm", "leave_one_out"):
        with pytest.warns(UserWarning, match=BOTH_WAYS):
            heat = on(text, target=hs.NextToken(), method=method)
        assert_plain(heat, model)
    assert_plain(on("the cat sat on a mat", target=hs.NextToken()), model)


def test_one_token_over_and_over_tells_nothing() -> None:
    on = hs.Explainer(tiny.of_class("BertLMHeadModel", is_decoder=False), tiny.tokenizer())
    assert not trims(on, "the the the")
    with pytest.warns(UserWarning, match=BOTH_WAYS):
        on(TEXT)
