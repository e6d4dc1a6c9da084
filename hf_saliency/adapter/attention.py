"""Attention: which modules of a model hold it, and whether its inside can be seen."""

from __future__ import annotations

from torch import nn

from hf_saliency.errors import SaliencyError

# Implementations that call functions of PyTorch; the others are kernels that a rule cannot enter.
_OPEN = ("eager", "sdpa")


def attention_modules(model: nn.Module) -> tuple[nn.Module, ...]:
    """The modules in which a softmax weighs tokens, outermost first.

    Parameters
    ----------
    model
        The model.

    Returns
    -------
    tuple of nn.Module
        By the name of their class, which has ``Attention`` in all of transformers.

    Raises
    ------
    SaliencyError
        If the model computes attention in a kernel that hides it.
    """
    for module in model.modules():
        kernel = getattr(getattr(module, "config", None), "_attn_implementation", None)
        if kernel not in (None, *_OPEN):
            raise SaliencyError(
                f"{type(model).__name__} computes attention by {kernel!r}, which hides it: "
                "model.set_attn_implementation('sdpa')."
            )
    return tuple(module for module in model.modules() if "attention" in type(module).__name__.lower())


def layer_modules(model: nn.Module) -> tuple[nn.Module, ...]:
    """The layers that hold attention, in the order in which the model has them; none where they lie in several stacks.

    Parameters
    ----------
    model
        The model.

    Returns
    -------
    tuple of nn.Module
        The elements of the outermost ``nn.ModuleList`` of which each holds attention.
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
