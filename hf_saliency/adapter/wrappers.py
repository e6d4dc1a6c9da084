"""Wrappers: modules around a model that pass their arguments on to it."""

from __future__ import annotations

from typing import Any

from torch import nn

from hf_saliency.errors import SaliencyError


def unwrapped(model: Any) -> Any:
    """Return the model inside ``torch.compile``, ``DataParallel`` or PEFT, which computes the same without it.

    Compiled code ignores hooks that are registered later. A PEFT model has neither the signature nor the class of the
    model inside it, which keeps its adapters. Adapters that put learned vectors before the text are refused.
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
                    f"{type(config).__name__} puts learned vectors before the text, which belong to no "
                    "token: explain the model without it, model.get_base_model()."
                )
            if getattr(config, "alora_invocation_tokens", None):
                raise SaliencyError(
                    "activated LoRA changes the model only from its invocation tokens onwards, which PEFT finds in the "
                    "ids: explain the model without it, model.get_base_model()."
                )
            model = model.get_base_model()
        else:
            return model


def unwrapped_table(module: Any) -> Any:
    """Return the embedding in which a PEFT layer looks ids up; the layer itself if an adapter adds to it."""
    if hasattr(module, "modules_to_save"):
        active = module.active_adapter
        names = [active] if isinstance(active, str) else list(active)
        if module.disable_adapters or not any(name in module.modules_to_save for name in names):
            return module.original_module
        return module.modules_to_save[names[0]] if len(names) == 1 else module
    module = getattr(module, "token_adapter", module)  # trainable rows of the table, inside a wrapper
    if type(module).__module__.startswith("peft.") and (module.merged or module.disable_adapters):
        return module.base_layer
    return module
