"""Causality: whether what a model says at a token depends on the tokens up to it alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hf_saliency.adapter import outputs
from hf_saliency.adapter.hooks import borrowed

_TOKENS = 24  # of the text are enough to tell
# Relative differences below these are rounding; a model that sees later tokens differs by more.
_ROUNDING = {torch.float64: 1e-5, torch.float32: 1e-3}


@torch.no_grad()
def reads_left_to_right(model: nn.Module, inputs: Mapping[str, Any], names: tuple[str, ...]) -> bool:
    """Whether logits in the middle of a text are the same without the tokens after it.

    Parameters
    ----------
    model
        A language model.
    inputs
        Its keyword arguments for one text.
    names
        Which of them hold one value a token of the text that is cut.

    Returns
    -------
    bool
        False as well where the text is too short to tell, and for positions that are scaled by the text's
        length.
    """
    config = getattr(model, "config", None)
    scaling = getattr(config, "rope_parameters", None) or {}
    if isinstance(scaling, Mapping) and scaling.get("rope_type") in ("dynamic", "longrope"):
        return False
    length = min(inputs[names[0]].shape[1], _TOKENS)
    if length < 3:
        return False
    whole, begun = ({**inputs, **_cut(inputs, names, end)} for end in (length, length // 2 + 1))
    with borrowed(model):
        logits, alone = (outputs.field(model(**given), "logits") for given in (whole, begun))
    if not isinstance(logits, Tensor) or logits.dim() != 3:
        return False
    first, second = logits[0, length // 2], alone[0, length // 2]
    rounding = _ROUNDING.get(first.dtype, 0.05)
    return bool((first - second).abs().max() <= rounding * first.abs().max())


def _cut(inputs: Mapping[str, Any], names: tuple[str, ...], end: int) -> dict[str, Tensor]:
    return {name: inputs[name][:, :end] for name in names}
