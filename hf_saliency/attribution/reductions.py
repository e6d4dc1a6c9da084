"""Reductions over the width: from one number for each embedding dimension to one for each token."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

Reduction = Callable[[Float[Tensor, "batch tokens width"]], Float[Tensor, "batch tokens"]]


def total(values: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens"]:
    """The sum, which keeps the completeness of a method that has it."""
    return values.sum(dim=-1)


def norm(values: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens"]:
    """The 2-norm."""
    norms: Tensor = torch.linalg.vector_norm(values, dim=-1)
    return norms


def norm_1(values: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens"]:
    """The 1-norm."""
    return values.abs().sum(dim=-1)


def mean(values: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens"]:
    """The mean."""
    return values.mean(dim=-1)


def largest(values: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens"]:
    """The largest value."""
    return values.amax(dim=-1)


REDUCTIONS: dict[str, Reduction] = {
    "total": total,
    "norm": norm,
    "norm_1": norm_1,
    "mean": mean,
    "max": largest,
}
