"""Padding: a trial, not the signature, determines how modules that are not from transformers handle it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor, nn
from transformers import BigBirdConfig, BigBirdForMaskedLM

import hf_saliency as hs

TEXTS = ["the cat sat on a mat", "the formal study of grammar is an important part of education", "dog ran"]


class Pooled(nn.Module):
    """A classifier over an encoder's states; it accepts the mask, but only some poolings respect it."""

    def __init__(self, pooling: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder = tiny.of_class("BertModel")
        self.config = self.encoder.config
        self.recurrent = nn.GRU(16, 8, batch_first=True, bidirectional=True).double()
        self.head = nn.Linear(16, 3).double()
        self.pooling = pooling

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Any:
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return {"logits": self.head(self.pool(states, attention_mask))}

    def pool(self, states: Tensor, mask: Tensor) -> Tensor:
        if self.pooling == "masked mean":
            weights = mask[..., None].to(states.dtype)
            return (states * weights).sum(1) / weights.sum(1)
        if self.pooling == "last token":
            return states[torch.arange(len(states)), mask.sum(1) - 1]
        if self.pooling == "recurrent":
            return self.recurrent(states)[0][:, 0]
        if self.pooling == "max":
            return states.amax(1)
        if self.pooling == "max of products":
            return (states * mask[..., None]).amax(1)
        if self.pooling == "less the mean of the batch":
            return states[:, 0] - states[:, 0].mean(0)
        if self.pooling == "longest of the batch":
            return states[:, mask.sum(1).max() - 1]
        return states.mean(1) if self.pooling == "mean" else states[:, -1]


class PooledBert(type(tiny.of_class("BertForSequenceClassification"))):
    """A subclass of a class of transformers, with a custom pooling."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Any:
        states = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return {"logits": self.classifier(states.mean(1))}


def batches(explainer: hs.Explainer, target: hs.Target, texts: list[Any]) -> list[int]:
    """Return the number of rows of each call of the model; check that each text has the same scores as alone."""
    rows: list[int] = []
    model = explainer.text_model.model
    alone = [explainer(text, target=target) for text in texts]
    handle = model.register_forward_pre_hook(
        lambda _, __, inputs: rows.append(len(inputs["input_ids"])), with_kwargs=True
    )
    maps = explainer(texts, target=target)
    handle.remove()
    for single, batched in zip(alone, maps, strict=True):
        torch.testing.assert_close(
            torch.tensor(batched.scores), torch.tensor(single.scores), rtol=1e-9, atol=1e-12
        )
        assert [row.score for row in batched.targets] == pytest.approx([row.score for row in single.targets])
    return rows


POOLINGS = ["mean", "max", "max of products", "last column", "longest of the batch", "recurrent"]


@pytest.mark.parametrize("pooling", [*POOLINGS, "masked mean", "last token"])
@pytest.mark.parametrize(
    "target",
    [hs.Label(), hs.Output(lambda output, inputs: output["logits"][:, 1])],
    ids=["Label", "Output"],
)
def test_a_text_has_the_scores_that_it_has_alone(pooling: str, target: hs.Target) -> None:
    explainer = hs.Explainer(Pooled(pooling), tiny.tokenizer())
    shared = max(batches(explainer, target, TEXTS))
    assert (shared == 3) == (pooling in ("masked mean", "last token"))


def test_rows_that_are_read_together_are_named() -> None:
    model = Pooled("less the mean of the batch")
    with pytest.warns(
        UserWarning, match=r"reads the rows of a batch together: .*batch_tokens=1\) runs each row"
    ):
        hs.Explainer(model, tiny.tokenizer())(TEXTS, target=hs.Label(0))
    alone = hs.Explainer(model, tiny.tokenizer(), batch_tokens=1)
    method = hs.leave_one_out()
    heat = alone([TEXTS[2], "a dog"], target=hs.Label(0), method=method)[0]
    np.testing.assert_array_equal(heat.scores, 0)  # the mean of one row is the row itself


def test_rows_of_one_length_that_are_read_together_are_named_once() -> None:
    explainer = hs.Explainer(Pooled("less the mean of the batch"), tiny.tokenizer())
    with pytest.warns(UserWarning, match="reads the rows of a batch together") as warned:
        explainer(["a dog ran", "a cat sat"], target=hs.Label(0), method="saliency")
    assert len(warned) == 1
    # A second warning would make the test fail.
    explainer(["a dog ran", "a cat sat"], target=hs.Label(0), method="saliency")
    # The method's copies of one text share a batch, too.
    with pytest.warns(UserWarning, match="reads the rows of a batch together"):
        hs.Explainer(Pooled("less the mean of the batch"), tiny.tokenizer())("a dog", target=hs.Label(0))


def test_a_subclass_of_a_class_of_transformers_is_tried() -> None:
    model = PooledBert(tiny.of_class("BertForSequenceClassification").config).double().eval()
    batches(hs.Explainer(model, tiny.tokenizer()), hs.Label(0), TEXTS)


def test_pairs_and_compared_texts() -> None:
    batches(
        hs.Explainer(Pooled("mean"), tiny.tokenizer()),
        hs.Label(0),
        [(TEXTS[0], TEXTS[2]), (TEXTS[1], TEXTS[0])],
    )


class Unmasked(type(tiny.of_class("BartForConditionalGeneration"))):
    """An encoder-decoder that ignores the mask of its source."""

    def forward(self, attention_mask: Tensor | None = None, **inputs: Any) -> Any:
        return super().forward(**inputs)


def test_each_sequence_of_a_row_is_padded_in_turn() -> None:
    model = tiny.of_class("BartForConditionalGeneration")
    model.__class__ = Unmasked
    long, short = "the cat sat on a mat and dog", "the cat"
    texts = [(long, "ran the cat"), (short, f"{long} ran"), (long, f"{long} and {long} ran")]
    batches(hs.Explainer(model, tiny.tokenizer()), hs.Continuation(where="ran"), texts)


class TokenHead(nn.Module):
    """A token classifier with a recurrent layer that reads in both directions."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder = tiny.of_class("BertModel")
        self.config = self.encoder.config
        self.recurrent = nn.LSTM(16, 8, batch_first=True, bidirectional=True).double()

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Any:
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return {"logits": self.recurrent(states)[0]}


def test_token_labels() -> None:
    batches(hs.Explainer(TokenHead(), tiny.tokenizer()), hs.TokenLabel(), TEXTS)


def test_a_maximum_that_padding_loses_in_one_row_is_still_one() -> None:
    texts = ["the the", "the the the the the the the the"]
    explainer = hs.Explainer(Pooled("max"), tiny.tokenizer())
    explainer(texts, target=hs.Label(0))  # do the trial first, because it has batches of two
    assert max(batches(explainer, hs.Label(0), texts)) == 1


def test_a_trial_is_remembered_until_a_weight_changes_or_a_text_is_longer() -> None:
    model = Pooled("masked mean")
    explainer = hs.Explainer(model, tiny.tokenizer())
    calls: list[int] = []
    model.register_forward_hook(lambda *_: calls.append(1))

    def passes(texts: list[str]) -> int:
        calls.clear()
        explainer(texts, target=hs.Label(0))
        return len(calls)

    first, again = passes(TEXTS[:1] + TEXTS[2:]), passes(TEXTS[:1] + TEXTS[2:])
    assert again == first - 9
    assert passes(TEXTS) == first - 2  # the check that rows are read separately ran already
    assert passes(TEXTS) == again
    model.pooling = "mean"
    with torch.no_grad():
        model.head.weight.mul_(2)
    passes(TEXTS)
    assert max(batches(explainer, hs.Label(0), TEXTS)) == 1


def test_what_is_registered_is_not_tried() -> None:
    class Vouched(Pooled):
        pass

    hs.register_family(Vouched, hs.Family(pads=True))
    explainer = hs.Explainer(Vouched("masked mean"), tiny.tokenizer())
    assert explainer.text_model.pads is True
    assert batches(explainer, hs.Label(), TEXTS)[-1] == 3


def test_a_kind_of_attention_that_changes_with_the_length_is_put_back() -> None:
    """BigBird permanently switches off its sparse attention when it reads a short text."""
    _, tokenizer = tiny.masked_lm("bert")
    config = BigBirdConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        block_size=2,
        num_random_blocks=1,
        max_position_embeddings=64,
        attention_type="block_sparse",
        pad_token_id=tokenizer.pad_token_id,
        sep_token_id=tokenizer.sep_token_id,
    )
    torch.manual_seed(0)
    model = BigBirdForMaskedLM(config).double().eval()
    parts = [*model.modules()]
    short, long, target = "the cat learned it !", "the cat learned it ! " * 5, hs.MaskedToken(2)
    explainer = hs.Explainer(model, tokenizer, progress=False)
    alone = [explainer(text, target=target) for text in (long, short, long)]
    together = explainer([short, long], target=target)
    assert all(now is then for now, then in zip(model.modules(), parts, strict=True))
    assert model.bert.attention_type == "block_sparse"
    np.testing.assert_array_equal(alone[0].scores, alone[2].scores)
    for one, other in zip(together, alone[1:], strict=True):
        np.testing.assert_allclose(one.scores, other.scores, rtol=0, atol=1e-12)
