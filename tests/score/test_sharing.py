"""SharedPass: separate gradients for many rows of a text from a single forward pass."""

from __future__ import annotations

from typing import Any

import captum.attr
import numpy as np
import pytest
import tiny
import torch
from captum._utils.gradient import compute_gradients
from torch import Tensor

import hf_saliency as hs
from hf_saliency.score.sharing import SharedPass, _through

TEXT = "the cat sat on a mat and it learned music"


def test_products_in_pieces_are_the_gradients_row_by_row() -> None:
    torch.manual_seed(0)
    leaf = torch.randn(2, 5, 3, dtype=torch.float64, requires_grad=True)
    text, place = torch.tensor([0, 1, 0, 0, 1]), torch.tensor([0, 0, 1, 2, 1])
    position = torch.tensor([[4, 4], [0, 2], [1, 3], [2, 2], [3, 0]])  # some rows read a token twice
    weight = torch.randn(3, dtype=torch.float64)

    def run() -> tuple[Tensor, Tensor, Tensor]:
        hidden = leaf.cumsum(dim=1).sin()
        read = hidden[text[:, None], position]
        return hidden, read, (read @ weight).exp().sum(dim=1)

    scores = run()[2]
    expected = torch.stack(
        [torch.autograd.grad(scores[i], leaf, retain_graph=True)[0][text[i]] for i in range(5)]
    )
    for at_once in (1, 2, 3):
        for cut in (False, True):
            hidden, read, scores = run()
            cuts = ((hidden, read),) if cut else ()
            (found,) = SharedPass(scores, (leaf,), text, position, cuts).gradients(place, at_once)
            torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


def test_a_score_that_goes_around_the_head_is_seen() -> None:
    leaf = torch.randn(2, 3, requires_grad=True)
    read = leaf.sin()
    assert _through((read,), read.sum())
    assert not _through((read,), read.sum() + leaf.sum())
    assert not _through((read.detach(),), read.sum())
    assert not _through((read,), torch.ones(()))


@pytest.mark.parametrize("name", ["GPT2LMHeadModel", "LlamaForCausalLM"])
def test_rows_of_a_long_text_share_a_forward_pass_beyond_the_budget(name: str) -> None:
    model = tiny.of_class(name)
    plain = hs.Explainer(model, tiny.tokenizer())(TEXT)
    on = hs.Explainer(model, tiny.tokenizer(), batch_tokens=12)
    on("the cat sat")
    shapes = []
    hook = model.register_forward_pre_hook(
        lambda module, arguments, given: shapes.append(tuple(given["input_ids"].shape)), with_kwargs=True
    )
    try:
        found = on(TEXT)
    finally:
        hook.remove()
    assert {shape[0] for shape in shapes} == {1}
    assert len(shapes) < len(found.targets)
    np.testing.assert_allclose(found.scores, plain.scores, rtol=1e-5 if name.startswith("Llama") else 1e-10)


def test_sharing_leaves_the_attribution_as_it_is() -> None:
    shared: list[bool] = []

    class Watched(captum.attr.Saliency):
        def attribute(self, *arguments: Any, **options: Any) -> Any:
            shared.append(self.gradient_func is not compute_gradients)
            return super().attribute(*arguments, **options)

    built: list[Watched] = []

    def build(score: Any, tables: Any) -> Watched:
        built.append(Watched(score))
        return built[-1]

    on = hs.Explainer(tiny.of_class("GPT2LMHeadModel"), tiny.tokenizer())
    heat = on(TEXT, method=hs.Method("watched", build, reduction="norm", at_input=True))
    assert shared == [True]
    assert built[0].gradient_func is compute_gradients
    np.testing.assert_array_equal(heat.scores, on(TEXT, method=hs.saliency()).scores)
