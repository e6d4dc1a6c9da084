"""The example of recurrent networks: it runs, its numbers are correct, and the explainer takes such a model."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor, nn

import hf_saliency as hs
from hf_saliency.adapter import families

SCRIPT = Path(__file__).parents[2] / "examples" / "rnn_memorization.py"


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("rnn_memorization", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["rnn_memorization"] = module  # dataclasses look up their module here
    spec.loader.exec_module(module)
    return module


def test_it_writes_its_figure(
    example: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    example.main(tmp_path, 2)
    assert (tmp_path / "rnn_memorization.png").stat().st_size > 10_000
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["GRU", "LSTM"]


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM])
def test_its_connectivity_is_that_of_dense_one_hot_inputs(
    example: ModuleType, kind: type[nn.GRU] | type[nn.LSTM]
) -> None:
    torch.manual_seed(0)
    alphabet = example.Alphabet("".join(sorted(set(example.PASSAGE))))
    model = example.CharacterModel(kind, len(alphabet.characters), width=8).double()
    heat = example.explain(model, alphabet, "model")
    ids = alphabet.ids(example.PASSAGE)
    for row, target in zip(heat.scores, heat.targets, strict=True):
        assert target.position is not None
        hot = nn.functional.one_hot(ids[:, : target.position], len(alphabet.characters)).double()
        hot.requires_grad_()
        logit = model.head(model.layers(hot @ model.embed.weight)[0])[0, -1, ids[0, target.position]]
        (gradient,) = torch.autograd.grad(logit, hot)
        np.testing.assert_allclose(row[: target.position], gradient[0].norm(dim=-1), rtol=1e-5)
        assert not row[target.position :].any()
        assert target.score == pytest.approx(logit.item())


class Recurrent(nn.Module):
    """A language model of no known family, with a second embedding table next to that of its words."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.genres = nn.Embedding(48, 8), nn.Embedding(3, 8)
        self.layers, self.head = nn.LSTM(8, 8, batch_first=True), nn.Linear(8, 48)

    def forward(self, input_ids: Tensor) -> Tensor:
        genre = self.genres(torch.ones(len(input_ids), 1, dtype=torch.long))
        logits: Tensor = self.head(self.layers(self.words(input_ids) + genre)[0])
        return logits


def test_a_plain_module_goes_through_the_explainer_once_it_is_registered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    model, tokenizer = Recurrent().double(), tiny.tokenizer()
    with pytest.raises(hs.SaliencyError, match="name the module that embeds the token ids"):
        hs.Explainer(model, tokenizer)
    monkeypatch.setattr(families, "_REGISTERED", {})
    hs.register_family(Recurrent, hs.Family(embedding=lambda module: module.words))
    texts = ["the cat sat on a mat", "she ran to the dog and the cat"]
    for text, heat in zip(texts, hs.Explainer(model, tokenizer)(texts, target=hs.NextToken()), strict=True):
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        for row, target in zip(heat.scores, heat.targets, strict=True):
            assert target.position is not None
            embeds = model.words(ids).detach().requires_grad_()
            hidden = model.layers(embeds + model.genres.weight[1])[0]
            (gradient,) = torch.autograd.grad(
                model.head(hidden)[0, target.position - 1, target.class_id], embeds
            )
            expected = (gradient[0] @ model.words.weight.T).norm(dim=-1)
            np.testing.assert_allclose(row, expected.detach(), rtol=1e-10, atol=1e-15)
