"""Architecture: which modules of a model hold attention, are its layers, or are one elementwise function each."""

from __future__ import annotations

import re

import torch
from torch import nn

from hf_saliency.errors import SaliencyError

# Implementations that call functions of PyTorch; the others are kernels that a rule cannot enter.
_OPEN = ("eager", "sdpa")


def attention_modules(model: nn.Module) -> tuple[nn.Module, ...]:
    """The modules in which a softmax weighs tokens, outermost first; refuses a kernel that hides attention."""
    for module in model.modules():
        kernel = getattr(getattr(module, "config", None), "_attn_implementation", None)
        if kernel not in (None, *_OPEN):
            raise SaliencyError(
                f"{type(model).__name__} computes attention by {kernel!r}, which hides it: "
                "model.set_attn_implementation('sdpa')."
            )
    # All of transformers has "Attention" in the names of these classes.
    return tuple(module for module in model.modules() if "attention" in type(module).__name__.lower())


def layer_modules(model: nn.Module) -> tuple[nn.Module, ...]:
    """The layers that hold attention, in the model's order: the outermost list of modules that each hold it.

    None where they lie in several lists.
    """
    holders = {id(module) for module in attention_modules(model)}
    stacks: list[nn.ModuleList] = []
    inside: set[int] = set()
    for module in model.modules():  # outermost first
        if not isinstance(module, nn.ModuleList) or id(module) in inside or not len(module):
            continue
        if all(any(id(part) in holders for part in layer.modules()) for layer in module):
            stacks.append(module)
            inside |= {id(part) for part in module.modules()}
    return tuple(stacks[0]) if len(stacks) == 1 else ()


_NAME = re.compile(r"gelu|silu|swish|relu|mish|tanh|elu|activation|laplace", re.IGNORECASE)


def activation_modules(model: nn.Module) -> tuple[nn.Module, ...]:
    """The modules that apply one function to each number, and give 0 for 0.

    They are found by their class's name, and tried out: what changes the shape, mixes elements or is not 0 at 0 (a
    sigmoid, a gated unit) is none.
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
