"""Causality: whether the logits at a token depend only on the tokens up to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hf_saliency.adapter import hooks
from hf_saliency.adapter.guards import borrowed

_TOKENS = 24  # this many tokens of the text are enough for the trial
# Differences below these fractions of the logits' spread are rounding: the first where later tokens are replaced, the
# second where they are missing, since sums then run in a different order.
_ROUNDING = {torch.float64: (1e-9, 1e-5), torch.float32: (1e-5, 1e-3)}
_HALF = (5e-3, 0.02)


class Causality(NamedTuple):
    """Whether the logits at a token stay the same with different tokens after it, and with none after it."""

    ignores_later: bool
    trims: bool


@torch.no_grad()
def causality(model: nn.Module, inputs: Mapping[str, Any], names: tuple[str, ...]) -> Causality | None:
    """Test whether logits depend on later tokens, at several places of a text; None if the text is not enough to tell.

    ``names`` are the arguments that hold one value per token, the ids first.
    """
    # Positions scaled by the text's length change when later tokens are missing, so ``trims`` is False for them.
    length = min(inputs[names[0]].shape[1], _TOKENS)
    if length < 3:
        return None
    trims = not _scales_positions(getattr(getattr(model, "config", None), "rope_parameters", None))
    whole = {**inputs, **{name: inputs[name][:, :length] for name in names}}
    with borrowed(model):
        logits = _logits(model, whole)
        if logits is None:
            return None
        others, missing = _ROUNDING.get(logits.dtype, _HALF)
        for end in sorted({length // 4 + 1, length // 2 + 1, length - 1}):
            ids = whole[names[0]].clone()
            other = ids[0][ids[0] != ids[0, end]]  # from the text, since other ids may have a special meaning
            if not len(other):
                return None
            ids[:, end:] = other[0]
            changed, cut = {names[0]: ids}, {name: whole[name][:, :end] for name in names}
            if not _same(logits[:end], _logits(model, {**whole, **changed}), others):
                return Causality(False, False)
            trims = trims and _same(logits[:end], _logits(model, {**whole, **cut}), missing)
    return Causality(True, trims)


def _logits(model: nn.Module, inputs: Mapping[str, Any]) -> Float[Tensor, "tokens classes"] | None:
    logits = hooks.field(model(**inputs), "logits")
    return logits[0] if isinstance(logits, Tensor) and logits.dim() == 3 else None


def _same(logits: Tensor, others: Tensor | None, rounding: float) -> bool:
    if others is None:
        return False
    logits, others = logits.double(), others[: len(logits)].double()
    spread = (logits - logits.mean(dim=-1, keepdim=True)).abs().amax(dim=-1)
    return bool(((logits - others).abs().amax(dim=-1) <= rounding * spread).all())


def _scales_positions(rope: object) -> bool:
    """Whether rotary positions depend on the length of the text, in any type of layer."""
    if not isinstance(rope, Mapping):
        return False
    scaled = rope.get("rope_type") in ("dynamic", "longrope")
    return scaled or any(_scales_positions(layer) for layer in rope.values())
