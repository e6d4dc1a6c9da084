"""Weights: their fingerprint, and whether a tokenizer's vocabulary can belong to them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from hf_saliency.adapter.guards import locked, modules_of
from hf_saliency.errors import warn

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_SAMPLE = 2**16  # values to read from a large tensor; at most about twice this number are read
_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
# Tables are often rounded up (Phi: 51,200 rows for 50,295 tokens). These limits exceed any such rounding.
_RATIO, _ROWS = 1.25, 1000

_FINGERPRINTS: WeakKeyDictionary[nn.Module, tuple[tuple[Any, ...], str]] = WeakKeyDictionary()


def fingerprint(model: nn.Module) -> str:
    """Return sixteen hexadecimal digits that change with the weights; empty if the weights are not in memory.

    The fingerprint is the same on every device, and recomputed only when a parameter was replaced or changed in place.
    It reads a sample of a large tensor, about 65,536 evenly spaced values, so it distinguishes training runs, but
    misses most edits of a single weight.
    """
    state = versions(model)
    if any(parameter.is_meta for parameter in model.parameters()):
        return ""
    with locked(model):
        known = _FINGERPRINTS.get(model)
        if known is None or known[0] != state:
            digest = hashlib.sha256()
            for name, parameter in model.named_parameters():
                for tensor in _stored(parameter):
                    digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} {_sum(tensor)}".encode())
            known = _FINGERPRINTS[model] = state, digest.hexdigest()[:16]
    return known[1]


def versions(model: nn.Module) -> tuple[tuple[int, int, int], ...]:
    """Return a key that changes when a parameter is replaced or changed in place, as in training; reads no weights."""
    return tuple(
        (
            id(weight),
            weight.data_ptr(),
            -1 if weight.is_inference() else weight._version,
        )  # weights made in inference mode count no changes
        for module in modules_of(model)
        for weight in module._parameters.values()
        if weight is not None
    )


def _stored(parameter: Tensor) -> Iterator[Tensor]:
    """Yield the tensors inside a quantised weight, which has no values itself; yield any other weight unchanged."""
    flatten = getattr(parameter, "__tensor_flatten__", None)
    if flatten is None:
        yield parameter
        return
    names, _ = flatten()
    for name in names:
        yield from _stored(getattr(parameter, name))


@torch.no_grad()
def _sum(parameter: Tensor) -> int:
    """Sum a sample's bits as integers, each times a different odd number; the order of addition does not matter."""
    values = parameter.detach()
    if values.is_complex():
        values = torch.view_as_real(values)
    # An odd step reaches every column of a matrix whose width is a power of two.
    step = max(values.numel() // _SAMPLE, 1) | 1
    sample = values.contiguous().flatten()[::step].contiguous()
    bits = sample.view(_INTEGERS[values.element_size()]).to(torch.int64)
    factors = 2 * torch.arange(len(bits), device=bits.device) + 1
    return int((bits * factors).sum())


def warn_of_vocabulary(model: nn.Module, rows: int, tokenizer: PreTrainedTokenizerBase) -> None:
    """Warn if a tokenizer has far more or far fewer tokens than the embedding has rows."""
    try:
        size = len(tokenizer)
    except TypeError:  # a user's function that tokenizes
        return
    larger, smaller = max(size, rows), min(size, rows)
    if larger - smaller > _ROWS and larger > _RATIO * smaller:
        warn(
            f"{type(tokenizer).__name__} has {size:,} tokens, but the embedding of {type(model).__name__} has "
            f"{rows:,} rows: it is probably not this model's tokenizer, and its ids would mean other words. Load "
            "both from the same name or folder.",
            UserWarning,
        )
