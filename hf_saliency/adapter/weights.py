"""Weights: a fingerprint of them, and whether a tokenizer's vocabulary can belong to them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from hf_saliency.adapter.guards import locked
from hf_saliency.errors import warn

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_PARTS = 64  # sums a tensor, so that values that change places change the fingerprint
_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
# Tables have rows to spare for a round number (Phi: 51,200 for 50,295 tokens); these are more than any round-up.
_RATIO, _ROWS = 1.25, 1000

_FINGERPRINTS: WeakKeyDictionary[nn.Module, tuple[tuple[Any, ...], str]] = WeakKeyDictionary()


def fingerprint(model: nn.Module) -> str:
    """Sixteen hexadecimal digits that change with the weights; empty where these are not in memory.

    The same on every device. It is computed again when a parameter has changed in place or been replaced.
    """
    named = list(model.named_parameters())
    if any(parameter.is_meta for _, parameter in named):
        return ""
    versions = tuple((id(parameter), parameter.data_ptr(), _version(parameter)) for _, parameter in named)
    with locked(model):
        known = _FINGERPRINTS.get(model)
        if known is None or known[0] != versions:
            digest = hashlib.sha256()
            for name, parameter in named:
                digest.update(
                    f"{name} {parameter.dtype} {tuple(parameter.shape)} {_sums(parameter)}".encode()
                )
            known = _FINGERPRINTS[model] = versions, digest.hexdigest()[:16]
    return known[1]


def _version(parameter: Tensor) -> int:
    return -1 if parameter.is_inference() else parameter._version  # inference tensors count no changes


@torch.no_grad()
def _sums(parameter: Tensor) -> list[int]:
    """Sums of the values' bits as integers, which no order of adding changes."""
    values = parameter.detach()
    if values.is_complex():
        values = torch.view_as_real(values)
    bits = values.contiguous().flatten().view(_INTEGERS[values.element_size()])
    return torch.stack([part.sum(dtype=torch.int64) for part in bits.tensor_split(_PARTS)]).tolist()


def warn_of_vocabulary(model: nn.Module, rows: int, tokenizer: PreTrainedTokenizerBase) -> None:
    """Warn where a tokenizer has far more or far fewer tokens than the embedding has rows."""
    try:
        size = len(tokenizer)
    except TypeError:  # a function of the user's that tokenizes
        return
    larger, smaller = max(size, rows), min(size, rows)
    if larger - smaller > _ROWS and larger > _RATIO * smaller:
        warn(
            f"{type(tokenizer).__name__} has {size:,} tokens, but the embedding of {type(model).__name__} has "
            f"{rows:,} rows: it can hardly be the tokenizer of this model, whose ids would then mean other words. Load "
            "both from the same name or folder.",
            UserWarning,
        )
