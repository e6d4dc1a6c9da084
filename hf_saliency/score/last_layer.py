"""Last layer: whether its part behind the attention may run at the tokens that are read alone, found by trying."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from torch import Tensor

from hf_saliency.adapter.architecture import LastLayer
from hf_saliency.adapter.guards import borrowed, seeded
from hf_saliency.adapter.text_model import TextModel
from hf_saliency.score.batch import Batch, collate
from hf_saliency.score.score import Score
from hf_saliency.targets.readout import READOUT_TENSORS, token_logits
from hf_saliency.targets.target import Row

_log = logging.getLogger(__name__)

# Multiplications of all rows, of weights by tokens, from which on it is worth to look for the layer; and how many rows
# pay for a trial, which takes the time of about two.
WORK = 2e9
ROWS = 16
LONGEST = 2048  # tokens of a row that is tried before anybody knows whether it fits into memory

# Relative differences that the order of a sum makes. Some models compute parts in float32, whatever their dtype is.
_ROUNDING = {torch.float64: 1e-5, torch.float32: 1e-4}
_TRIALS = 8  # that are remembered of a model


def tried(score: Score, model: TextModel, rows: Sequence[Row], lengths: Sequence[int]) -> LastLayer | None:
    """The last layer, if it gives the same logits and gradients at the tokens that are read alone; remembered.

    Tried on the longest of the rows, whose numbers of tokens are ``lengths``. None where little is gained.
    """
    readout, stream = score.readout, score.streams[0]
    if score.opened or readout.part is None or readout.logits is not token_logits or len(score.streams) > 1:
        return None
    if sum(lengths) * model.size < WORK or not 4 <= max(lengths) <= LONGEST:
        return None
    dtype, device = next(stream.module.parameters()).dtype, stream.device.type
    if dtype not in _ROUNDING or torch.is_autocast_enabled(device):
        return None
    if len(rows) < ROWS and not model.layer_trials:
        return None
    last_layer = LastLayer.of(model.model)
    if last_layer is None:
        return None
    key = (last_layer, score.names, dtype, device, getattr(model.config, "_attn_implementation", None))
    if key not in model.layer_trials:
        if len(rows) < ROWS:
            return None
        while len(model.layer_trials) >= _TRIALS:
            model.layer_trials.pop(next(iter(model.layer_trials)))
        batch = collate(model, [rows[lengths.index(max(lengths))]], readout, score.names, trim=False)
        model.layer_trials[key] = _agrees(score, model, batch, last_layer)
        result = "can" if model.layer_trials[key] else "cannot"
        _log.info("the last layer of %s %s run at some tokens alone", type(model.model).__name__, result)
    return last_layer if model.layer_trials[key] else None


def _agrees(score: Score, model: TextModel, batch: Batch, last_layer: LastLayer) -> bool:
    """Whether the logits at two tokens of a row and their gradients are the same with it and without."""
    try:
        # Over the backward pass as well, in which checkpointed layers are run again.
        with borrowed(model.model), seeded(0), torch.enable_grad():
            whole = _differentiated(score, batch)
            score.last_layer = last_layer
            part = _differentiated(score, batch)
            used = score.last_layer is not None
    except Exception:  # of any kind, also for want of memory: the sweep says what is wrong, if anything is
        return False
    finally:
        score.last_layer = None
    rounding = _ROUNDING[batch.embeds[0].dtype]
    return used and all(
        bool((one - other).abs().max() <= rounding * one.abs().max())  # with NaN it is false
        for one, other in zip(whole, part, strict=True)
    )


def _differentiated(score: Score, batch: Batch) -> tuple[Tensor, Tensor]:
    """The logits that a row gives at two of its tokens, and the gradient of a sum of them in its embeddings."""
    embeds = batch.embeds[0][:1].detach().clone().requires_grad_()
    inputs = {
        name: values[:1]
        for name, values in zip(score.names, batch.tensors, strict=True)
        if name not in READOUT_TENSORS
    }
    device = embeds.device
    reads = {
        "text": torch.zeros(1, dtype=torch.long, device=device),
        "position": torch.tensor([[2, 1]], device=device),
    }
    logits, _ = score.logits([embeds], {**inputs, **reads})
    weights = torch.arange(logits.numel(), dtype=logits.dtype, device=logits.device).cos()
    (gradient,) = torch.autograd.grad((logits.flatten() * weights).sum(), embeds)
    return logits.detach(), gradient
