"""RowScale: float16 gradients far outside float16's range, against the true values in float64."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from hf_saliency.attribution.gradient_norm import GradientNorm, LayerGradientNorm
from hf_saliency.attribution.inputs import RowScale, gradients_in_range
from hf_saliency.errors import SaliencyError

VOCABULARY, TOKENS, WIDTH = 9, 5, 4


class Amplifier(nn.Module):
    """A model that computes each row's score in its own dtype, and then multiplies it by that row's factor.

    Parameters
    ----------
    factors
        A factor for each row, in the dtype of the returned score.
    """

    def __init__(self, factors: Tensor) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)
        self.weight = nn.Parameter(torch.randn(TOKENS, WIDTH))
        self.half()
        self.factors = factors
        self.calls = 0

    def read(self, embeds: Tensor) -> Tensor:
        self.calls += 1
        return (embeds * self.weight).sum((1, 2)).to(self.factors.dtype) * self.factors

    def forward(self, ids: Tensor) -> Tensor:
        return self.read(self.embedding(ids))

    def truth(self, space: str) -> Tensor:
        """The true norms in float64: those of the weight, times the factor."""
        gradient = self.weight.detach().double()
        if space == "one_hot":
            gradient = gradient @ self.embedding.weight.detach().double().T
        return self.factors.double().abs()[:, None] * gradient.norm(dim=-1)


def from_embeds(model: Amplifier, ids: Tensor, space: str) -> Tensor:
    return GradientNorm(model.read, model.embedding, space=space).attribute(model.embedding(ids).detach())


def from_ids(model: Amplifier, ids: Tensor, space: str) -> Tensor:
    return LayerGradientNorm(model, model.embedding, space=space).attribute(ids)


WAYS = pytest.mark.parametrize("way", [from_embeds, from_ids])
# The gradient is rounded twice in float16, after the products with the factor and with the weight: 2 * 2**-11.
FLOAT16 = 2 * 2.0**-11


@WAYS
@pytest.mark.parametrize("space", ["one_hot", "embedding"])
@pytest.mark.parametrize(
    "factors",
    [
        torch.tensor([1e-9, 3e-9, 1e-8, 1e-7, 1e-6]),
        torch.tensor([1e5, 1e7, 1e9, 3e10, 1.0]),
        torch.tensor([1e-9, 1e-3, 1.0, 1e4, 1e7]),
        torch.tensor([1e-9, 1e-3, 1.0, 1e4, 1e7], dtype=torch.float64),
        # The scores themselves are in float16: their scale cannot exceed 2**15, and factors cannot be far from 1.
        torch.tensor([3e-4, 1e-2, 1.0, 1e2, 1e4], dtype=torch.float16),
    ],
    ids=["tiny", "huge", "mixed", "mixed, float64 scores", "float16 scores"],
)
def test_every_row_keeps_float16_digits(way: Callable, space: str, factors: Tensor) -> None:
    model = Amplifier(factors)
    norms = way(model, torch.randint(VOCABULARY, (5, TOKENS)), space)
    truth = model.truth(space)
    assert norms.dtype == torch.float32
    assert truth.min() > 0
    assert ((norms.double() - truth).abs() / truth).max() < FLOAT16


@WAYS
def test_gradients_in_range_cost_one_pass(way: Callable) -> None:
    model = Amplifier(torch.ones(5))
    way(model, torch.randint(VOCABULARY, (5, TOKENS)), "one_hot")
    assert model.calls == 1


@WAYS
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_small_gradients_cost_a_second_pass(way: Callable, dtype: torch.dtype) -> None:
    model = Amplifier(torch.full((5,), 1e-4, dtype=dtype))
    way(model, torch.randint(VOCABULARY, (5, TOKENS)), "one_hot")
    assert model.calls == 2


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_other_formats_are_never_scaled(dtype: torch.dtype) -> None:
    model = Amplifier(torch.full((5,), 1e-9))
    model.to(dtype)
    norms = from_ids(model, torch.randint(VOCABULARY, (5, TOKENS)), "embedding")
    assert model.calls == 1
    # Two roundings in bfloat16, the format with the fewest digits of the three.
    torch.testing.assert_close(norms.double(), model.truth("embedding"), rtol=2 * 2.0**-8, atol=0)


@WAYS
def test_rows_of_zero_gradient_and_of_none_leave_the_others_alone(way: Callable) -> None:
    model = Amplifier(torch.tensor([0.0, 1e-9, math.nan, 1e7, math.inf]))
    norms = way(model, torch.randint(VOCABULARY, (5, TOKENS)), "one_hot").double()
    truth = model.truth("one_hot")
    assert norms[0].count_nonzero() == 0
    assert not norms[[2, 4]].isfinite().any()
    assert ((norms[[1, 3]] - truth[[1, 3]]).abs() / truth[[1, 3]]).max() < FLOAT16
    assert model.calls <= 6


def test_an_overflow_on_the_way_is_found_between_two_scales() -> None:
    # In the backward pass, the factor 2**12 comes first and overflows from scale 2**4 on. Then comes 2**-26: at scale
    # 2**-2, the first finite one tried, it leaves a subnormal number of eight digits. Scale 2**3 keeps all eleven.
    calls: list[Tensor] = []
    weight = torch.randn(3, 4).half()

    def score(embeds: Tensor) -> Tensor:
        calls.append(embeds)
        return (embeds * weight * 2.0**-13 * 2.0**-13 * 2.0**12).float().sum((1, 2))

    embeds = torch.ones(2, 3, 4, dtype=torch.float16)
    norms = GradientNorm(score, space="embedding").attribute(embeds)
    expected = (2.0**-14 * weight.double().norm(dim=-1)).expand(2, 3)
    assert len(calls) == 6
    torch.testing.assert_close(norms.double(), expected, rtol=FLOAT16, atol=0)


def test_the_scales_tried_close_in_on_the_largest_that_is_finite() -> None:
    tried: list[float] = []
    forward = RowScale(lambda: torch.ones(1), in_float16=lambda: True)

    def differentiate() -> list[Tensor]:
        forward()
        tried.append(math.log2(forward.scale))
        return [torch.where(forward.scale < 2.0**4, forward.scale * 2.0**-14, math.inf)[:, None]]

    (gradient,) = gradients_in_range(forward, differentiate)
    assert tried == [10, -2, 4, 1, 2, 3]
    assert gradient.item() == 2.0**-14


def test_streams_share_the_scale_of_their_row() -> None:
    factors = torch.tensor([1e-8, 1e6])

    def score(first: Tensor, second: Tensor) -> Tensor:
        return (first.sum((1, 2)) + 3 * second.sum((1, 2))).float() * factors

    embeds = torch.ones(2, 3, 4, dtype=torch.float16)
    first, second = GradientNorm(score, space="embedding").attribute((embeds, embeds[:, :2]))
    torch.testing.assert_close(first, (2 * factors)[:, None].expand(2, 3), rtol=FLOAT16, atol=0)
    torch.testing.assert_close(second, (6 * factors)[:, None].expand(2, 2), rtol=FLOAT16, atol=0)


def test_targets_select_after_scaling() -> None:
    factors = torch.tensor([[1e-9, 1.0, 1e6]])

    def score(embeds: Tensor) -> Tensor:
        return embeds.sum((1, 2)).float()[:, None] * factors

    embeds = torch.ones(3, 2, 4, dtype=torch.float16)
    norms = GradientNorm(score, space="embedding").attribute(embeds, [2, 0, 1])
    expected = 2 * factors[0, [2, 0, 1], None].expand(3, 2)
    torch.testing.assert_close(norms, expected, rtol=FLOAT16, atol=0)


def test_float16_by_autocast_is_scaled() -> None:
    weight = torch.randn(4, 1)

    def score(embeds: Tensor) -> Tensor:
        return (embeds @ weight)[..., 0].sum(1).float() * 1e-9

    embeds = torch.randn(2, 3, 4)
    with torch.autocast("cpu", dtype=torch.float16):
        norms = GradientNorm(score, space="embedding").attribute(embeds)
    expected = (1e-9 * weight.norm()).expand(2, 3)
    torch.testing.assert_close(norms, expected, rtol=FLOAT16, atol=0)


def test_float16_needs_a_score_for_each_row() -> None:
    embeds = torch.ones(3, 2, 4, dtype=torch.float16)
    with pytest.raises(SaliencyError, match="1 rows for 3 rows of embeddings.*model.float()"):
        GradientNorm(lambda e: e.sum()[None], space="embedding").attribute(embeds)
