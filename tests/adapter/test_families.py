"""Every family of masked language models against the slow reference, in float64, alone and in batches."""

from __future__ import annotations

import numpy as np
import pytest
import reference
import tiny
import tiny_models
import torch
import transformers
from tiny_models.encoders import ENCODERS

import hf_saliency as hs
from hf_saliency.score.score import Score
from hf_saliency.targets.masked import MaskedToken

TEXT = "The formal study of grammar is an important part."
OTHERS = ["the cat sat on a mat", "she ran to the dog and the cat, not to education and music!"]

# If all arithmetic is in float64, a result differs from the reference only by float64's rounding (2e-16, times
# a few hundred operations in a row). If a family computes its softmax or its mask in float32, two batches differ
# by float32's rounding instead.
EXACT = 1e-10
FLOAT32_PARTS = 1e-5
IN_FLOAT32 = {
    "deberta",
    "eurobert",
    "flaubert",
    "funnel",
    "longformer",
    "markuplm",
    "modernbert",
    "ultrabert",
    "xlm",
}
# YOSO's backward pass is an estimate by its authors, not the derivative of its forward pass.
ESTIMATED = {"yoso"}
# transformers' Longformer has NaN gradients whenever it pads a text to whole windows, which it does to most texts.
WHOLE_WINDOWS = {"longformer"}
# Models whose score does not depend on some tokens at all: the gradients of these are exactly zero.
LOCAL = {"esm", "longformer"}  # ESM zeroes a masked token's embedding; Longformer's windows are narrow here


def tolerance(family: str) -> float:
    return FLOAT32_PARTS if family in IN_FLOAT32 else EXACT


def assert_same(actual: np.ndarray, expected: np.ndarray, relative: float) -> None:
    """Check equality element by element, not only relative to the largest element of the matrix."""
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=relative, atol=0)


@pytest.fixture(
    params=sorted(
        e.family for e in tiny_models.entries("masked") if e.family in ENCODERS and e.family != "mra"
    )
)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


def test_connectivity_is_that_of_dense_one_hot_inputs(family: str) -> None:
    model, tokenizer = tiny.masked_lm(family)
    heat = hs.Explainer(model, tokenizer)(TEXT)
    class_ids = [tokenizer(TEXT)["input_ids"][target.position] for target in heat.targets]
    expected = reference.connectivity(model, tokenizer, TEXT, heat, class_ids)
    assert heat.scores.dtype == np.float64
    assert np.isfinite(expected).all()
    if family not in LOCAL:
        assert (expected > 0).all()
    assert (expected.max(axis=1) > 1e-6).all()
    assert_same(heat.scores, expected, EXACT)


def test_the_hooked_score_is_the_plain_logit(family: str) -> None:
    model, tokenizer = tiny.masked_lm(family)
    heat = hs.Explainer(model, tokenizer)(TEXT)
    for target in heat.targets[:3]:
        ids = reference.masked_ids(tokenizer, TEXT, target.position)
        with torch.no_grad():
            logits = reference.logits_of(model, ids)[target.position]
        true = tokenizer(TEXT)["input_ids"][target.position]
        assert target.score == pytest.approx(logits[true].item(), rel=tolerance(family), abs=1e-9)
        best = logits.softmax(-1).topk(3)
        assert [prediction.class_id for prediction in target.predictions] == best.indices.tolist()
        assert [p.probability for p in target.predictions] == pytest.approx(best.values.tolist(), rel=1e-5)


def test_a_batch_of_unequal_texts_equals_single_texts(family: str) -> None:
    model, tokenizer = tiny.masked_lm(family)
    explainer = hs.Explainer(model, tokenizer, batch_tokens=100)
    texts = [TEXT, *(OTHERS[:1] if family in WHOLE_WINDOWS else OTHERS)]
    for together, text in zip(explainer(texts), texts, strict=True):
        alone = hs.Explainer(model, tokenizer, batch_tokens=1)(text)  # one row per pass, no padding
        assert_same(together.scores, alone.scores, tolerance(family))
        assert [t.label for t in together.targets] == [t.label for t in alone.targets]


def test_the_score_is_differentiated_not_only_called(family: str) -> None:
    """Compare the gradient to a finite difference along a random direction of the embeddings."""
    if family in ESTIMATED:
        return
    model, tokenizer = tiny.masked_lm(family)
    explainer = hs.Explainer(model, tokenizer)
    text_model = explainer.text_model
    encoding = text_model.encode(TEXT)
    row = MaskedToken(4).rows(encoding, text_model)[0]
    ids = torch.tensor([reference.masked_ids(tokenizer, TEXT, 4)])
    names = [name for name in ("input_ids", "attention_mask") if name in text_model.known]
    rows = [*[ids, torch.ones_like(ids)][: len(names)], torch.tensor([[4]])]
    rows.append(torch.tensor([[row.refs[0].class_id]]))
    readout = MaskedToken().readout(text_model)
    score = Score(model, text_model.streams, [*names, "position", "class_id"], readout, model_inputs=names)
    embeds = text_model.streams[0].embed(ids).requires_grad_()
    (gradient,) = torch.autograd.grad(score(embeds, *rows).sum(), embeds)
    direction = torch.randn(embeds.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    # Parts in float32 round the score to 1e-7; a step of 1e-3 turns this into an error of 1e-4.
    step, relative = (1e-3, 1e-2) if family in IN_FLOAT32 else (1e-5, 1e-5)
    with torch.no_grad():
        difference = score(embeds + step * direction, *rows) - score(embeds - step * direction, *rows)
    assert (gradient * direction).sum().item() == pytest.approx((difference / 2 / step).item(), rel=relative)


def test_longformer_with_padding_of_its_own_is_named() -> None:
    model, tokenizer = tiny.masked_lm("longformer")
    with pytest.warns(
        RuntimeWarning, match=r"not finite.* In float64, load the model with dtype=torch\.float32"
    ):
        heat = hs.Explainer(model, tokenizer)("the cat sat")
    assert np.isnan(heat.scores).any()
    assert np.isfinite(hs.Explainer(model.float(), tokenizer)("the cat sat").scores).all()


def test_a_model_that_computes_in_float32_itself() -> None:
    model, tokenizer = tiny.masked_lm("mra")
    model = model.float()
    heat = hs.Explainer(model, tokenizer)(TEXT)
    class_ids = [tokenizer(TEXT)["input_ids"][target.position] for target in heat.targets]
    expected = reference.connectivity(model, tokenizer, TEXT, heat, class_ids)
    assert heat.scores.dtype == np.float32
    assert_same(heat.scores, expected, 1e-3)


def test_families_that_padding_changes_are_registered(family: str) -> None:
    """Check the converse: padding on the right, with a mask, does not change a family that is not registered."""
    model, tokenizer = tiny.masked_lm(family)
    if not hs.Explainer(model, tokenizer).text_model.pads:
        return
    ids = torch.tensor([tokenizer(TEXT)["input_ids"]])
    padded = torch.nn.functional.pad(ids, (0, 5), value=tokenizer.pad_token_id)
    mask = (torch.arange(padded.shape[1]) < ids.shape[1]).long()[None]
    with torch.no_grad():
        alone = model(input_ids=ids, attention_mask=torch.ones_like(ids))[0]
        beside = model(input_ids=padded, attention_mask=mask)[0][:, : ids.shape[1]]
    torch.testing.assert_close(beside, alone, rtol=tolerance(family), atol=tolerance(family))


def test_the_head_that_deberta_checkpoints_lack_is_warned_of() -> None:
    model, tokenizer = tiny.masked_lm("deberta", legacy=True)
    with pytest.warns(UserWarning, match="legacy=False"):
        hs.Explainer(model, tokenizer)


def test_a_refused_family_says_why() -> None:
    config = transformers.IBertConfig(**tiny.SIZES)
    with pytest.raises(hs.SaliencyError, match="IBertForMaskedLM cannot be explained: its quantised"):
        hs.Explainer(transformers.IBertForMaskedLM(config), tiny.tokenizer())
