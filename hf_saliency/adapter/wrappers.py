"""Wrappers: what stands around a model and hands its arguments on."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

from hf_saliency.errors import SaliencyError


def unwrapped(model: Any) -> Any:
    """The model that a compiler, a parallel copy or PEFT stands around, which runs in the same way without it.

    Parameters
    ----------
    model
        A model, or what a user takes for one.

    Returns
    -------
    Any
        A compiled model's module, since compiled code ignores hooks that come later; the model that adapters such
        as LoRA's were put into, which has the signature and the class that PEFT's own lacks.

    Raises
    ------
    SaliencyError
        If PEFT adds to the model's input, so that the model alone is another one.
    """
    while True:
        if hasattr(model, "_orig_mod"):
            model = model._orig_mod
        elif isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            model = model.module
        elif type(model).__module__.startswith("peft.") and hasattr(model, "get_base_model"):
            config = getattr(model, "active_peft_config", None)
            if getattr(config, "is_prompt_learning", False):
                raise SaliencyError(
                    f"{type(config).__name__} puts learned vectors before the text, which is another input than the "
                    "one that is explained: explain the model without it, model.get_base_model()."
                )
            if getattr(config, "alora_invocation_tokens", None):
                raise SaliencyError(
                    "activated LoRA changes the model from a token on that PEFT looks for in the ids: explain the "
                    "model without it, model.get_base_model()."
                )
            model = model.get_base_model()
        else:
            return model


def uncompiled(modules: Iterable[nn.Module]) -> AbstractContextManager[Any]:
    """Run compiled modules as they were written, if any is compiled."""
    compiled = any(
        "_orig_mod" in module._modules or module.__dict__.get("_compiled_call_impl") is not None
        for module in modules
    )
    return torch.compiler.set_stance("force_eager") if compiled else nullcontext()
