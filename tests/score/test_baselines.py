"""Baselines: the embedding that replaces each token, and the tokens that stay."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor

import hf_saliency as hs
from hf_saliency.adapter.text_model import TextModel
from hf_saliency.score.baselines import Baseline, EncodeLike
from hf_saliency.score.batch import Batch, collate, kept, names
from hf_saliency.targets.masked import MaskedToken

TEXT = "the cat sat on a mat"


def encode_like(model: TextModel) -> EncodeLike:
    return lambda given: MaskedToken().encode(given, model, "windows")


def model_and_batch(family: str = "bert", texts: tuple[str, ...] = (TEXT,)) -> tuple[TextModel, Batch]:
    model = hs.Explainer(*tiny.masked_lm(family)).text_model
    rows = [row for text in texts for row in MaskedToken().rows(model.encode(text), model)]
    readout = MaskedToken().readout(model)
    return model, collate(model, rows, readout, names(model, rows, readout))


def replaced(
    given: Any, family: str = "bert", texts: tuple[str, ...] = (TEXT,)
) -> tuple[Tensor, Tensor, Tensor]:
    """The baselines, the embeddings, and a mask of the tokens that stay."""
    model, batch = model_and_batch(family, texts)
    keep = kept(model, batch)
    (baselines,) = Baseline.of(given, model).embeds(model, batch, keep, encode_like(model))
    return baselines, batch.embeds[0], keep[0]


def test_special_tokens_masks_and_padding_are_kept() -> None:
    _, _, keep = replaced(None, texts=(TEXT, "the mat"))
    free = np.array([[1, 2, 3, 4, 5, 6], [1, 2, 0, 0, 0, 0]], dtype=int)
    for row in range(8):
        length, position = (6, row) if row < 6 else (2, row - 6)
        expected = [i for i in free[0 if row < 6 else 1][:length] if i != position + 1]
        assert (~keep[row]).nonzero()[:, 0].tolist() == expected


@pytest.mark.parametrize(
    ("given", "token"),
    [
        (None, "mask_token_id"),
        (hs.mask_embedding, "mask_token_id"),
        (hs.pad_embedding, "pad_token_id"),
    ],
)
@pytest.mark.parametrize("family", ["bert", "albert", "xlm-roberta-xl"])
def test_a_token(given: Any, token: str, family: str) -> None:
    baselines, embeds, keep = replaced(given, family)
    model, tokenizer = tiny.masked_lm(family)
    vector = model.get_input_embeddings()(torch.tensor(getattr(tokenizer, token))).detach()
    assert torch.equal(baselines[~keep], vector.expand_as(baselines[~keep]))
    assert torch.equal(baselines[keep], embeds[keep])


def test_mean_and_zero() -> None:
    model, _ = tiny.masked_lm("bert")
    baselines, _, keep = replaced(hs.mean_embedding)
    mean = model.get_input_embeddings().weight.detach().mean(dim=0)
    torch.testing.assert_close(baselines[~keep], mean.expand_as(baselines[~keep]), rtol=1e-12, atol=1e-15)
    baselines, embeds, keep = replaced(hs.zero_embedding)
    assert (baselines[~keep] == 0).all()
    assert torch.equal(baselines[keep], embeds[keep])


def test_a_number_and_a_tensor() -> None:
    baselines, embeds, keep = replaced(0.5)
    assert (baselines[~keep] == 0.5).all()
    vector = torch.arange(embeds.shape[2], dtype=torch.float64)
    baselines, _, keep = replaced(vector)
    assert torch.equal(baselines[~keep], vector.expand_as(baselines[~keep]))
    whole = torch.randn(embeds.shape[1:], dtype=torch.float64)
    baselines, _, keep = replaced(whole)
    assert torch.equal(baselines[~keep], whole.expand_as(baselines)[~keep])


def test_a_text() -> None:
    """The token at the same place of the other text replaces each token."""
    model, tokenizer = tiny.masked_lm("bert")
    other = "a dog ran to the study"
    baselines, _, keep = replaced(other)
    vectors = model.get_input_embeddings()(torch.tensor(tokenizer(other)["input_ids"])).detach()
    assert torch.equal(baselines[~keep], vectors.expand_as(baselines)[~keep])


def test_a_tensor_and_a_text_in_windows() -> None:
    """A row of a long text receives the part of the baseline that belongs to its window."""
    text = " ".join(["the cat sat on a mat"] * 10)
    model = hs.Explainer(*tiny.masked_lm("bert")).text_model
    encoding = model.encode(text, "windows")
    rows = MaskedToken(50).rows(encoding, model)
    readout = MaskedToken().readout(model)
    batch = collate(model, rows, readout, names(model, rows, readout))
    whole = torch.arange(len(encoding), dtype=torch.float64)[:, None].expand(-1, 16)
    keep = kept(model, batch)
    (baselines,) = Baseline.of(whole, model).embeds(model, batch, keep, encode_like(model))
    columns = torch.tensor(list(batch.columns[0][0]), dtype=torch.float64)
    assert torch.equal(baselines[0, :, 0][~keep[0][0]], columns[~keep[0][0]])
    (again,) = Baseline.of(text, model).embeds(model, batch, keep, encode_like(model))
    assert torch.equal(again, batch.embeds[0])


def test_a_function_sees_the_embedding_the_tokenizer_and_the_ids() -> None:
    seen = []

    def unknown(embedding: torch.nn.Module, tokenizer: Any, ids: Tensor) -> Tensor:
        seen.append(ids.shape)
        return embedding(torch.full_like(ids, tokenizer.unk_token_id))

    baselines, _, keep = replaced(unknown)
    model, tokenizer = tiny.masked_lm("bert")
    vector = model.get_input_embeddings().weight[tokenizer.unk_token_id].detach()
    assert torch.equal(baselines[~keep], vector.expand_as(baselines[~keep]))
    assert seen == [(6, 8)]
    assert not baselines.requires_grad


def test_the_default_without_a_mask_token() -> None:
    model, tokenizer = tiny.masked_lm("bert")
    model = hs.Explainer(model, tokenizer).text_model
    assert Baseline.of(None, model).name == "mask_embedding"
    model.tokenizer = type("NoMask", (), {"mask_token_id": None})()
    assert Baseline.of(None, model).name == "mean_embedding"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (True, "baseline=True: give hs.mask_embedding"),
        ([0.0], r"baseline=\[0.0\]: a list means several baselines, which only hs.integrated_gradients and"),
        (torch.zeros(3, dtype=torch.long), "baseline=a torch.int64 tensor"),
        (torch.zeros(3), r"shape \(3,\), which does not fit"),
        (
            torch.zeros(5, 16),
            r"does not fit a text of 8 tokens, special ones included: .* \(16,\) or \(8, 16\)",
        ),
        (torch.full((16,), torch.nan), "holds NaN or infinity"),
        (lambda embedding, tokenizer, ids: "mask", "returned str, not a tensor"),
        ("mask", "has 3 tokens, .* the explained text has 8: .* hs.mask_embedding"),
        ("", "empty"),
        ((TEXT, TEXT), "cannot be read like the explained text: MaskedToken explains one text"),
        ((TEXT, 1.0), "a tuple of texts for a tuple"),
    ],
)
def test_what_is_no_baseline(given: Any, message: str) -> None:
    with pytest.raises(hs.SaliencyError, match=message):
        replaced(given)


def test_a_tokenizer_without_the_token() -> None:
    with pytest.raises(hs.SaliencyError, match="has no pad token: choose another baseline"):
        hs.pad_embedding(torch.nn.Embedding(2, 3), type("T", (), {"pad_token_id": None})(), torch.zeros(1, 2))


def test_a_mean_needs_a_vocabulary() -> None:
    with pytest.raises(hs.SaliencyError, match="Linear has no vocabulary"):
        hs.mean_embedding(torch.nn.Linear(2, 3), None, torch.zeros(1, 2))
