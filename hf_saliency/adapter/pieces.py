"""A function of many rows in pieces that fit into memory, with its gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

Function = Callable[[Sequence[Tensor], Sequence[Tensor]], Float[Tensor, " rows"]]


def in_pieces(
    function: Function, inputs: Sequence[Tensor], rows: Sequence[Tensor], size: int
) -> Float[Tensor, " rows"]:
    """A function whose value in a row depends on that row alone, for at most ``size`` rows at a time.

    Where a gradient in the inputs is wanted, each piece is differentiated as soon as it is evaluated, and the
    graph of one piece only is alive at any time: as many passes as without pieces, in the memory of one. The
    result can be differentiated once.

    Parameters
    ----------
    function
        From inputs and rows to one number a row.
    inputs
        Batch-first tensors in which the function is differentiated.
    rows
        Batch-first tensors of what else belongs to a row.
    size
        Rows of a piece.

    Returns
    -------
    Float[Tensor, " rows"]
    """
    wanted = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs)
    # Gradients in float16 leave its range unless the caller scales them on their way back through the graph.
    if wanted and any(tensor.dtype is torch.float16 for tensor in inputs):
        return function(inputs, rows)
    if wanted:
        values: Tensor = _Pieces.apply(function, rows, size, *inputs)  # type: ignore[no-untyped-call]
        return values
    return torch.cat([function(*part) for part in _split(inputs, rows, size)])


def _split(
    inputs: Sequence[Tensor], rows: Sequence[Tensor], size: int
) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    for start in range(0, len(inputs[0]), size):
        piece = slice(start, start + size)
        yield [tensor[piece] for tensor in inputs], [tensor[piece] for tensor in rows]


class _Pieces(torch.autograd.Function):
    """Values and gradients in one go; the backward pass only multiplies."""

    @staticmethod
    def forward(ctx: Any, function: Function, rows: Sequence[Tensor], size: int, *inputs: Tensor) -> Tensor:
        values, gradients = [], []
        for part, own in _split(inputs, rows, size):
            leaves = [tensor.detach().requires_grad_() for tensor in part]
            with torch.enable_grad():
                value = function(leaves, own)
                gradients.append(torch.autograd.grad(value.sum(), leaves))
            values.append(value.detach())
        ctx.save_for_backward(*map(torch.cat, zip(*gradients, strict=True)))
        return torch.cat(values)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor | None, ...]:
        scaled = (g * outer.to(g.dtype).reshape(-1, *[1] * (g.dim() - 1)) for g in ctx.saved_tensors)
        return (None, None, None, *scaled)
