"""Functions in pieces: the same values and gradients, with one piece in memory at a time."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from hf_saliency.score.passes import in_pieces


class Recorder:
    """A function of two inputs and a row tensor that records the number of rows in each call."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, inputs: Sequence[Tensor], rows: Sequence[Tensor]) -> Tensor:
        self.sizes.append(len(inputs[0]))
        first, second = inputs
        return (first.sin().sum(dim=(1, 2)) * second[:, 0] ** 3) + rows[0] * first[:, 0, 0]


def arguments(rows: int = 7) -> tuple[list[Tensor], list[Tensor]]:
    torch.manual_seed(0)
    inputs = [
        torch.randn(rows, 3, 2, dtype=torch.float64, requires_grad=True),
        torch.randn(rows, 4, dtype=torch.float64, requires_grad=True),
    ]
    return inputs, [torch.arange(rows)]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_values_and_gradients_are_those_of_the_whole(size: int) -> None:
    inputs, rows = arguments()
    outer = torch.randn(7, dtype=torch.float64)
    expected = torch.autograd.grad(Recorder()(inputs, rows), inputs, outer)
    function = Recorder()
    values = in_pieces(function, inputs, rows, size)
    torch.testing.assert_close(values, Recorder()(inputs, rows), rtol=1e-14, atol=0)
    gradients = torch.autograd.grad(values, inputs, outer)
    for given, wanted in zip(gradients, expected, strict=True):
        torch.testing.assert_close(given, wanted, rtol=1e-14, atol=0)
    assert max(function.sizes) == min(size, 7)
    assert sum(function.sizes) == 7  # one pass for values and gradients


def test_without_gradients_nothing_is_differentiated() -> None:
    inputs, rows = arguments()
    with torch.no_grad():
        values = in_pieces(Recorder(), inputs, rows, 2)
    assert not values.requires_grad
    plain = [tensor.detach() for tensor in inputs]
    assert not in_pieces(Recorder(), plain, rows, 2).requires_grad


def test_a_second_derivative_is_refused() -> None:
    inputs, rows = arguments()
    values = in_pieces(Recorder(), inputs, rows, 2)
    (gradient, _) = torch.autograd.grad(values.sum(), inputs, create_graph=True)
    with pytest.raises(RuntimeError, match="does not require grad"):
        gradient.sum().backward()


def test_float16_gradients_can_still_be_scaled() -> None:
    """A gradient below the range of float16 survives if the caller scales the score."""
    inputs = [torch.full((4, 1, 1), 2.0**-12, dtype=torch.float16, requires_grad=True)]

    def cube(inputs: Sequence[Tensor], rows: Sequence[Tensor]) -> Tensor:
        return (inputs[0] ** 3).float().sum(dim=(1, 2))

    scaled = in_pieces(cube, inputs, [torch.arange(4)], 2) * 2.0**12
    (gradient,) = torch.autograd.grad(scaled.sum(), inputs)
    assert (gradient > 0).all()


def test_errors_come_through() -> None:
    inputs, rows = arguments()

    def failing(inputs: Sequence[Tensor], rows: Sequence[Tensor]) -> Tensor:
        raise ValueError("no such class")

    with pytest.raises(ValueError, match="no such class"):
        in_pieces(failing, inputs, rows, 2)
