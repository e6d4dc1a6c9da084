"""Score: the forward function that Captum sees, of one stream or several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import captum.attr
import pytest
import tiny
import torch
from torch import Tensor, nn

import hf_saliency as hs
from hf_saliency.adapter.streams import OneSequence, Stream
from hf_saliency.score.batch import Batch, collate, names
from hf_saliency.score.passes import PassResult
from hf_saliency.score.score import Score
from hf_saliency.targets.masked import MaskedToken
from hf_saliency.targets.readout import Readout, token_logits

TEXT = "the cat sat on a mat"


def score_and_batch(family: str = "bert", where: Any = None) -> tuple[Score, Batch]:
    explainer = hs.Explainer(*tiny.masked_lm(family))
    model = explainer.text_model
    rows = MaskedToken(where).rows(model.encode(TEXT), model)
    readout = MaskedToken().readout(model)
    row_names = names(model, rows, readout)
    inputs = [name for name in row_names if name in model.known]
    score = Score(model.model, model.streams, row_names, readout, model_inputs=inputs)
    return score, collate(model, rows, readout, row_names)


def test_captum_methods_take_it_as_it_is() -> None:
    score, batch = score_and_batch()
    (embeds,) = batch.embeds
    method = captum.attr.IntegratedGradients(score)
    values, delta = method.attribute(
        embeds,
        baselines=torch.zeros_like(embeds),
        additional_forward_args=batch.tensors,
        n_steps=200,
        internal_batch_size=64,
        return_convergence_delta=True,
    )
    total = score(embeds, *batch.tensors) - score(torch.zeros_like(embeds), *batch.tensors)
    assert (total.abs() > 0.1).any()
    torch.testing.assert_close(values.sum(dim=(1, 2)), total, rtol=0.02, atol=0.02)
    assert delta.abs().max() < 0.05


def test_layer_and_input_methods_agree_at_its_site() -> None:
    score, batch = score_and_batch()
    rows = batch.tensors
    direct = captum.attr.InputXGradient(score).attribute(
        batch.embeds[0].requires_grad_(), additional_forward_args=rows
    )
    layer = captum.attr.LayerGradientXActivation(score, score.sites[0]).attribute(
        batch.embeds[0], additional_forward_args=rows
    )
    torch.testing.assert_close(layer, direct, rtol=1e-12, atol=0)


def test_the_outcome_comes_out_of_the_same_pass() -> None:
    score, batch = score_and_batch()
    sink: list[PassResult] = []
    scores = score(*batch.embeds, *batch.tensors, sink)
    (result,) = sink
    assert torch.equal(result.scores, scores)
    assert result.classes.shape == result.probabilities.shape == (6, 1, 3)
    assert (result.probabilities.diff(dim=2) <= 0).all()


def test_a_negative_class_is_the_most_probable_one() -> None:
    score, batch = score_and_batch()
    rows = list(batch.tensors)
    rows[score.names.index("class_id")] = torch.full((6, 1), -1)
    sink: list[PassResult] = []
    score(*batch.embeds, *rows, sink)
    assert torch.equal(sink[0].class_ids, sink[0].classes[..., 0])


@pytest.mark.parametrize("family", ["bert", "mobilebert", "deberta", "modernbert", "electra"])
def test_only_the_hidden_states_that_are_read_are_projected(family: str) -> None:
    score, batch = score_and_batch(family)
    head = score._model[0].get_output_embeddings()
    shapes: list[tuple[int, ...]] = []
    whole = head.forward

    def noted(hidden: Tensor) -> Tensor:
        shapes.append(tuple(hidden.shape))
        return whole(hidden)

    head.forward = noted
    score(*batch.embeds, *batch.tensors)
    # MobileBERT multiplies by its head's weight without calling the head, so that its full logits are read.
    assert [shape[:2] for shape in shapes] == ([] if family == "mobilebert" else [(6, 1)])


def test_no_gradient_reaches_a_weight() -> None:
    score, batch = score_and_batch()
    scores = score(batch.embeds[0].requires_grad_(), *batch.tensors)
    scores.sum().backward()
    assert all(parameter.grad is None for parameter in score._model[0].parameters())
    assert batch.embeds[0].grad.abs().sum() > 0


@dataclass(frozen=True)
class Thrice(OneSequence):
    """A layout with one text that enters a model in three places."""

    def streams(self, own: Sequence[Stream]) -> tuple[Stream, ...]:
        return tuple(own)


class TwoStreams(nn.Module):
    """A model with two embedding modules, one of which it calls twice."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Embedding(10, 4).double(), nn.Embedding(10, 4).double()
        self.head = nn.Linear(4, 10).double()

    def forward(self, input_ids: Tensor) -> Tensor:
        a, b, c = self.first(input_ids), self.second(input_ids), self.first(input_ids.flip(1))
        return self.head(a * b.mean(1, keepdim=True) + c**2)


def test_several_streams_each_at_its_own_call() -> None:
    model = TwoStreams()
    streams = (Stream(model.first), Stream(model.second), Stream(model.first, call=1))
    readout = Readout(token_logits, part=0, layout=Thrice())
    score = Score(model, streams, ("input_ids", "position", "class_id"), readout, model_inputs=("input_ids",))
    ids = torch.tensor([[1, 2, 3], [4, 5, 6]])
    rows = (ids, torch.tensor([[0], [2]]), torch.tensor([[7], [8]]))
    embeds = (model.first(ids), model.second(ids), model.first(ids.flip(1)))
    expected = model(ids)[torch.arange(2), rows[1][:, 0], rows[2][:, 0]]
    assert torch.equal(score(*embeds, *rows), expected)
    moved = (embeds[0], embeds[1], embeds[2] + 1.0)
    assert not torch.allclose(score(*moved, *rows), expected)
    norms = hs.GradientNorm(score, (model.first, model.second, model.first)).attribute(
        tuple(value.detach() for value in embeds), additional_forward_args=rows
    )
    assert [norm.shape for norm in norms] == [(2, 3)] * 3
    assert all((norm.sum() > 0) for norm in norms)


def test_a_stream_that_is_not_consumed_exactly_once_is_refused() -> None:
    model = TwoStreams()
    score = Score(
        model,
        (Stream(model.first), Stream(model.second)),
        ("input_ids", "position", "class_id"),
        Readout(token_logits, part=0, layout=Thrice()),
        model_inputs=("input_ids",),
    )
    ids = torch.tensor([[1, 2, 3]])
    with pytest.raises(
        hs.SaliencyError, match="called its text embedding 2 times in a forward pass instead of 1"
    ):
        score(model.first(ids), model.second(ids), ids, torch.tensor([[0]]), torch.tensor([[1]]))


class Gated(nn.Module):
    """A language model that computes its logits from the head's output and all hidden states."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = tiny.of_class("GPT2LMHeadModel")
        self.config = self.inner.config
        self.gate = nn.Linear(16, 1).double()

    def get_input_embeddings(self) -> nn.Module:
        return self.inner.get_input_embeddings()

    def get_output_embeddings(self) -> nn.Module:
        return self.inner.lm_head

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Any:
        states = self.inner.transformer(input_ids, attention_mask=attention_mask).last_hidden_state
        return {"logits": self.inner.lm_head(states) * self.gate(states).sigmoid()}


@pytest.mark.parametrize("hooked", [False, True])
def test_a_head_whose_output_is_needed_whole_is_not_cut(hooked: bool) -> None:
    model: Any = tiny.of_class("GPT2LMHeadModel") if hooked else Gated()
    if hooked:  # a user's hook that edits some positions

        def louder(module: nn.Module, given: Any, output: Tensor) -> Tensor:
            return torch.cat([output[:, :3] * 2, output[:, 3:]], dim=1)

        model.lm_head.register_forward_hook(louder)
    on = hs.Explainer(model, tiny.tokenizer())
    texts = ["the cat sat on a mat", "the dog ran to it"]
    for heat, text in zip(on(texts, target=hs.NextToken()), texts, strict=True):
        ids = tiny.tokenizer()(text)["input_ids"]
        with torch.no_grad():
            plain = model(input_ids=torch.tensor([ids]))["logits"][0]
        for row in heat.targets:
            assert row.score == pytest.approx(plain[row.position - 1, ids[row.position]].item(), rel=1e-9)
