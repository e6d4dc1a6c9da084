"""Activations: which modules of a model are one elementwise function each."""

from __future__ import annotations

import re

import torch
from torch import nn

_NAME = re.compile(r"gelu|silu|swish|relu|mish|tanh|elu|activation|laplace", re.IGNORECASE)


def activation_modules(model: nn.Module) -> tuple[nn.Module, ...]:
    """The modules that apply one function to each number, and give 0 for 0.

    They are found by their class's name, and tried out: what changes the shape, mixes elements or is not 0 at 0 (a
    sigmoid, a gated unit) is none.

    Parameters
    ----------
    model
        The model.

    Returns
    -------
    tuple of nn.Module
    """
    named = [module for module in model.modules() if _NAME.search(type(module).__name__)]
    return tuple(module for module in named if _is_elementwise(module))


@torch.no_grad()
def _is_elementwise(module: nn.Module) -> bool:
    if next(module.parameters(), None) is not None:
        return False
    probe = torch.tensor([[0.0, 1.5, -0.5, 0.25]])
    try:
        whole, turned = module(probe), module(probe.flip(-1))
    except Exception:  # a module of another kind may raise anything at all for a probe
        return False
    if not isinstance(whole, torch.Tensor) or whole.shape != probe.shape:
        return False
    return bool(torch.allclose(whole.flip(-1), turned) and whole[0, 0] == 0)
