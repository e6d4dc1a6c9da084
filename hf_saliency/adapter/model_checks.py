"""Model checks: requirements on a model, its tokenizer and the installed transformers."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from importlib import metadata
from typing import Any

from packaging.requirements import Requirement
from torch import nn

from hf_saliency.adapter import tasks
from hf_saliency.adapter.streams import Stream
from hf_saliency.errors import SaliencyError


def check_version() -> None:
    """Refuse releases of transformers that the package does not support: their scores can be silently wrong."""
    import transformers

    needed = _required("transformers")
    if needed and not needed.specifier.contains(transformers.__version__, prereleases=True):
        raise SaliencyError(
            f"transformers {transformers.__version__} is installed, and hf_saliency needs {needed}: "
            f'pip install "{needed}".'
        )


@functools.cache
def _required(package: str) -> Requirement | None:
    """Return this package's requirement on another; None if this package is on the path but not installed."""
    try:
        lines = metadata.requires("hf-saliency") or ()
    except metadata.PackageNotFoundError:
        return None
    return next((needed for needed in map(Requirement, lines) if needed.name == package), None)


def check_kinds(model: Any, tokenizer: Any) -> None:
    """Refuse anything but a loaded model and its tokenizer, such as their classes."""
    known = tasks.tasks_of(model) if isinstance(model, nn.Module) else ()
    example = f"{known[0].auto_class if known else 'AutoModelForMaskedLM'}.from_pretrained(name)"
    call = f"Explainer({example}, AutoTokenizer.from_pretrained(name))"
    for value in (model, tokenizer):
        if isinstance(value, type):
            raise SaliencyError(f"{value.__name__} is a class: load one of its instances, {call}.")
    if isinstance(model, str):
        call = f"Explainer.from_pretrained({model!r}), which loads both; or {call}"
    if not isinstance(model, nn.Module) or tokenizer is None or not callable(tokenizer):
        raise SaliencyError(
            f"expected a model and its tokenizer, not {type(model).__name__} and {type(tokenizer).__name__}: {call}."
        )


def check_loaded(model: nn.Module, streams: Sequence[Stream]) -> None:
    """Refuse weights that were never loaded; those that accelerate offloads to "meta" are accepted."""
    for stream in streams:
        if stream.device.type == "meta":
            raise SaliencyError(
                f"the weights of {type(model).__name__} are on the meta device, where tensors have no values: load "
                f"them, {type(model).__name__}.from_pretrained(name), outside of torch.device('meta')."
            )


def check_differentiable(model: nn.Module) -> None:
    """Refuse kernels without a backward pass, since next to a residual connection they silently drop gradients."""
    attention = str(getattr(getattr(model, "config", None), "_attn_implementation", None))
    on_cpu = all(parameter.device.type == "cpu" for parameter in model.parameters())
    if "paged" in attention or (attention == "flex_attention" and on_cpu):
        raise SaliencyError(
            f"{type(model).__name__} computes attention by {attention!r}, which has no backward pass"
            f"{' on the CPU' if on_cpu else ''}: call model.set_attn_implementation('sdpa')."
        )
    for name, module in model.named_modules():
        quantizer = getattr(module, "hf_quantizer", None)
        if quantizer is not None and not _trains(quantizer):
            method = getattr(quantizer.quantization_config, "quant_method", type(quantizer).__name__)
            method = getattr(method, "value", method)
            raise SaliencyError(
                f"the weights of {type(module).__name__} are quantised by {method}, whose kernels have no "
                "backward pass: load the original weights in bfloat16, or in 8 or 4 bits with bitsandbytes.",
                page="how_to/big_models#quantised-weights",
            )
        if type(module).__module__.startswith(("torch.ao.nn.quantized", "torch.nn.quantized")):
            raise SaliencyError(
                f"{name} is a quantised {type(module).__name__}, which has no backward pass: load the model without "
                "torch's quantisation, or in 8 or 4 bits with bitsandbytes, whose layers have one.",
                page="how_to/big_models#quantised-weights",
            )


def _trains(quantizer: Any) -> bool:
    """Whether gradients pass through quantised weights, as transformers reports; unpacked ones are plain weights."""
    trainable, config = quantizer.is_trainable, quantizer.quantization_config
    if "Activation" in type(getattr(config, "quant_type", None)).__name__:
        return False  # torchao's quantised activations: rounding cuts the gradient
    unpacked = getattr(config, "dequantize", False)
    return bool(unpacked or (trainable() if callable(trainable) else trainable))
