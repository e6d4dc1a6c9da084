"""Weights: their fingerprint changes with them, and a warning names a tokenizer that cannot belong to them."""

from __future__ import annotations

import warnings

import pytest
import tiny
import torch
from torch import nn

import hf_saliency as hs
from hf_saliency.adapter.weights import fingerprint

TEXT = "the cat sat on a mat"


def test_a_change_in_memory_changes_the_fingerprint() -> None:
    model, tokenizer = tiny.masked_lm("bert")
    explainer = hs.Explainer(model, tokenizer)
    before = explainer(TEXT).provenance["weights"]
    assert before == explainer(TEXT).provenance["weights"] == fingerprint(tiny.masked_lm("bert")[0])
    weight = model.bert.encoder.layer[0].output.dense.weight
    with torch.no_grad():
        weight[3, 4] += 1e-9
    changed = explainer(TEXT).provenance["weights"]
    with torch.no_grad():
        weight[3, 4] -= 1e-9
        weight[[0, -1]] = weight[[-1, 0]]
    assert len({before, changed, explainer(TEXT).provenance["weights"]}) == 3
    model.bert.encoder.layer[0].output.dense.weight = nn.Parameter(torch.zeros_like(weight))
    assert explainer(TEXT).provenance["weights"] not in (before, changed)


def test_of_a_large_tensor_a_sample_is_read() -> None:
    weight = nn.Parameter(torch.arange(2.0**18).reshape(256, 1024))
    module = nn.Module()
    module.register_parameter("weight", weight)
    before = fingerprint(module)
    with torch.no_grad():
        weight[0, 1] += 1  # not among the sampled values
    assert fingerprint(module) == before
    with torch.no_grad():
        weight[3] += 1
    one_row = fingerprint(module)
    with torch.no_grad():
        weight[:, 5] += 1
    assert len({before, one_row, fingerprint(module)}) == 3


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.complex64, torch.int8])
def test_every_kind_of_number_has_one(dtype: torch.dtype) -> None:
    module = nn.Module()
    module.register_parameter("weight", nn.Parameter(torch.arange(7).to(dtype), requires_grad=False))
    module.register_parameter("empty", nn.Parameter(torch.zeros(0, dtype=dtype), requires_grad=False))
    module.register_parameter("scalar", nn.Parameter(torch.ones((), dtype=dtype), requires_grad=False))
    assert len(fingerprint(module)) == 16
    assert fingerprint(nn.Linear(2, 2, device="meta")) == ""


def test_a_tokenizer_of_another_model_is_named() -> None:
    model = tiny.of_class("BertForMaskedLM", vocab_size=4000)
    with pytest.warns(
        UserWarning, match="has 4. tokens, but the embedding of BertForMaskedLM has 4,000 rows"
    ):
        hs.Explainer(model, tiny.tokenizer())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hs.Explainer(tiny.of_class("BertForMaskedLM", vocab_size=64), tiny.tokenizer())  # rounded up
