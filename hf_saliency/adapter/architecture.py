"""Architecture: the modules of a model that hold attention, are its layers, or apply an elementwise function."""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
from torch import nn

from hf_saliency.errors import SaliencyError

# Implementations that call functions of PyTorch. The others are kernels, whose inner steps no rule can change.
_OPEN = ("eager", "sdpa")


def attention_modules(model: nn.Module) -> tuple[nn.Module, ...]:
    """Return the attention modules, outermost first; refuse a kernel that hides attention."""
    for module in model.modules():
        kernel = getattr(getattr(module, "config", None), "_attn_implementation", None)
        if kernel not in (None, *_OPEN):
            raise SaliencyError(
                f"{type(model).__name__} computes attention by {kernel!r}, which hides it: "
                "call model.set_attn_implementation('sdpa')."
            )
    # The names of these classes contain "Attention" throughout transformers.
    return tuple(module for module in model.modules() if "attention" in type(module).__name__.lower())


def layer_modules(model: nn.Module) -> tuple[nn.Module, ...]:
    """Return the layers, in the model's order: the outermost ``ModuleList`` whose modules all hold attention.

    Empty unless there is exactly one such list.
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


@dataclass(frozen=True)
class LastLayer:
    """The last layer of a model, and the place in it after which tokens no longer interact.

    ``projection`` is the last matrix of its attention: from there on, each token is computed alone. ``readers`` are
    modules that may read the layer's input for the attention, which needs all tokens.
    """

    layer: nn.Module
    projection: nn.Module
    readers: tuple[nn.Module, ...]

    @classmethod
    def of(cls, model: nn.Module) -> LastLayer | None:
        """Return the last layer; None unless the model has one list of layers and its last layer one attention module.

        Most transformers have this structure, but it proves nothing: the caller has to test the result.
        """
        try:
            layers = layer_modules(model)
        except SaliencyError:
            return None
        attention = attention_modules(layers[-1]) if layers else ()
        if not attention or any(module not in set(attention[0].modules()) for module in attention):
            return None
        matrices = [name for name, module in attention[0].named_modules() if _has_matrix(module)]
        outermost = [n for n in matrices if not any(n.startswith(f"{other}.") for other in matrices)]
        path = _path(layers[-1], attention[0].get_submodule(outermost[-1])) if outermost else ()
        if len(path) < 2:
            return None
        beside = [child for module in path[:-1] for child in module.children() if child not in path]
        return cls(layers[-1], path[-1], (*beside, path[-2]))


def _has_matrix(module: nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    return isinstance(weight, torch.Tensor) and weight.dim() == 2


def _path(module: nn.Module, inner: nn.Module) -> tuple[nn.Module, ...]:
    """Return the path from a module down to one inside it, both included; empty if it is not inside."""
    if module is inner:
        return (module,)
    ways = (_path(child, inner) for child in module.children())
    return next(((module, *way) for way in ways if way), ())


_NAME = re.compile(r"gelu|silu|swish|relu|mish|tanh|elu|activation|laplace", re.IGNORECASE)


def activation_modules(model: nn.Module) -> tuple[nn.Module, ...]:
    """Return the modules that apply one function to each number and map 0 to 0.

    They are found by the name of their class and then tested: a module that changes the shape, mixes elements or is
    not 0 at 0 (a sigmoid, a gated unit) is left out.
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
    except Exception:  # a module of another kind may raise anything for the probe
        return False
    if not isinstance(whole, torch.Tensor) or whole.shape != probe.shape:
        return False
    return bool(torch.allclose(whole.flip(-1), turned) and whole[0, 0] == 0)
