"""SequentialIntegratedGradients: closed forms, streams, and the points that it evaluates."""

from __future__ import annotations

import pytest
import torch
from captum.attr import IntegratedGradients
from torch import Tensor

from hf_saliency.attribution.sequential import SequentialIntegratedGradients
from hf_saliency.errors import SaliencyError


def product(embeds: Tensor) -> Tensor:
    return embeds.prod(1).sum(1)


def test_each_token_gets_what_the_score_loses_without_it() -> None:
    """A product is linear in each token, so that one step is exact; integrated gradients mix the tokens."""
    x, start = torch.randn(2, 5, 4, 3, dtype=torch.float64).unbind()
    found = SequentialIntegratedGradients(product).attribute(x, start, n_steps=1)
    for i in range(4):
        without = x.clone()
        without[:, i] = start[:, i]
        torch.testing.assert_close(found[:, i].sum(1), product(x) - product(without), rtol=1e-6, atol=1e-7)
    mixed = IntegratedGradients(product).attribute(x, start)
    assert (found - mixed).abs().max() > 0.1


def test_a_sum_over_tokens_is_integrated_gradients() -> None:
    x, start = torch.randn(2, 5, 4, 3, dtype=torch.float64).unbind()

    def separate(embeds: Tensor) -> Tensor:
        return embeds.prod(2).tanh().sum(1)

    found = SequentialIntegratedGradients(separate).attribute(x, start, n_steps=20)
    expected = IntegratedGradients(separate).attribute(x, start, n_steps=20)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)


def test_the_tokens_of_every_stream_move_alone() -> None:
    first, second = torch.randn(3, 2, 2, dtype=torch.float64), torch.randn(3, 3, 4, dtype=torch.float64)

    def both(e: Tensor, f: Tensor) -> Tensor:
        return e.prod(1).sum(1) * f.prod(1).sum(1)

    found = SequentialIntegratedGradients(both).attribute((first, second), (1.0, 0.0), n_steps=1)
    assert isinstance(found, tuple)
    without = first.clone()
    without[:, 1] = 1
    torch.testing.assert_close(
        found[0][:, 1].sum(1), both(first, second) - both(without, second), rtol=1e-6, atol=1e-7
    )
    torch.testing.assert_close(found[1][:, 2].sum(1), both(first, second), rtol=1e-6, atol=1e-7)


def test_a_token_at_its_baseline_costs_nothing() -> None:
    rows = []

    def counted(embeds: Tensor) -> Tensor:
        rows.append(len(embeds))
        return product(embeds)

    x = torch.randn(1, 4, 3, dtype=torch.float64)
    start = torch.zeros_like(x)
    start[:, 2:] = x[:, 2:]
    SequentialIntegratedGradients(counted).attribute(x, start, n_steps=7)
    assert sum(rows) == 2 * 7


@pytest.mark.parametrize("size", [1, 3, 7, 30])
def test_internal_batch_size_bounds_the_calls(size: int) -> None:
    rows = []

    def counted(embeds: Tensor) -> Tensor:
        rows.append(len(embeds))
        return product(embeds)

    x = torch.randn(3, 4, 3, dtype=torch.float64)
    found = SequentialIntegratedGradients(counted).attribute(
        x, n_steps=7, internal_batch_size=size, return_convergence_delta=True
    )
    assert max(rows) <= size
    expected = SequentialIntegratedGradients(product).attribute(x, n_steps=7, return_convergence_delta=True)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_steps": 0}, "n_steps=0: give a whole number of at least 1"),
        ({"n_steps": 2.0}, "n_steps=2.0"),
        ({"n_steps": 1, "method": "riemann_left"}, "riemann_left needs 2 points or more"),
        ({"method": "simpson"}, "method='simpson': choose one of"),
    ],
)
def test_what_does_not_exist_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(SaliencyError, match=message):
        SequentialIntegratedGradients(product).attribute(torch.ones(3, 4, 2), **options)
