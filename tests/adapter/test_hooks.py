"""Hooks: embeddings replace a module's own, however it lays out a batch; and models that are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor, nn

import hf_saliency as hs

TEXTS = ["the cat sat on a mat", "the dog ran"]


class Recurrent(nn.Module):
    """A GRU classifier; torch's own default lays a batch out as (tokens, batch)."""

    def __init__(self, batch_first: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.batch_first = batch_first
        self.embed = nn.Embedding(len(tiny.tokenizer()), 6)
        self.inner = nn.GRU(6, 8, batch_first=batch_first)
        self.head = nn.Linear(8, 3)
        self.double()

    def forward(self, input_ids: Tensor) -> Tensor:
        if self.batch_first:
            return self.head(self.inner(self.embed(input_ids))[0][:, -1])
        return self.head(self.inner(self.embed(input_ids.T))[0][-1])


@pytest.mark.parametrize("method", ["gradient_norm", "integrated_gradients", "leave_one_out", "occlusion"])
@pytest.mark.parametrize(
    "texts", [TEXTS, [TEXTS[0]] * 8, ["cat", "dog", "mat"]], ids=["two", "square", "three"]
)
def test_a_module_that_reads_tokens_first_gives_the_same(method: str, texts: list[str]) -> None:
    first, second = (
        hs.Explainer(Recurrent(batch_first), tiny.tokenizer())(texts, target=hs.Label(1), method=method)
        for batch_first in (True, False)
    )
    for one, other in zip(first, second, strict=True):
        assert one.scores.any()
        np.testing.assert_allclose(one.scores, other.scores, rtol=1e-9, atol=1e-12)
        assert one.targets[0].score == pytest.approx(other.targets[0].score, rel=1e-12)


class TwoTables(nn.Module):
    """A classifier that looks up its ids in two separate tables."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = (nn.Embedding(len(tiny.tokenizer()), 6) for _ in range(2))
        self.head = nn.Linear(6, 3)

    def forward(self, input_ids: Tensor) -> Tensor:
        return self.head((self.one(input_ids) + self.other(input_ids)).mean(dim=1))


class Cloned(TwoTables):
    """The second table receives a copy of the ids, as a keyword argument."""

    def forward(self, input_ids: Tensor) -> Tensor:
        return self.head((self.one(input_ids) + self.other(input=input_ids.clone())).mean(dim=1))


def _positions() -> tuple[nn.Module, Any]:
    model = tiny.of_class("BertForSequenceClassification")
    return model, model.bert.embeddings.position_embeddings


def _two_tables() -> tuple[nn.Module, Any]:
    model = TwoTables()
    return model, model.one


def _cloned() -> tuple[nn.Module, Any]:
    model = Cloned()
    return model, model.one


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (_cloned, r"second table \(other\)"),
        (_positions, "does not look up the token ids"),
        (_two_tables, r"second table \(other\)"),
    ],
)
def test_an_embedding_that_shows_nothing_or_a_part_is_refused(made: Any, message: str) -> None:
    model, embedding = made()
    with pytest.raises(hs.SaliencyError, match=message):
        hs.Explainer(model, tiny.tokenizer(), embedding=embedding)(TEXTS[0], target=hs.Label(1))
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in model.modules())
