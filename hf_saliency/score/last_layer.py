"""Last layer: whether its part after the attention may run only at the tokens that are read, found by a trial."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hf_saliency.adapter.architecture import LastLayer
from hf_saliency.adapter.guards import borrowed, modules_of, seeded
from hf_saliency.adapter.text_model import TextModel
from hf_saliency.adapter.weights import versions
from hf_saliency.score.batch import Batch, collate
from hf_saliency.score.score import Score
from hf_saliency.targets.readout import READOUT_TENSORS, token_logits
from hf_saliency.targets.target import Row

_log = logging.getLogger(__name__)

# The number of multiplications, of weights by tokens of all rows, from which on callers request the layer; and the
# number of rows from which on a trial, which takes as long as about two rows, pays off.
WORK = 2e9
ROWS = 16
LONGEST = 2048  # tokens; a longer row is not tried, since it may not fit into memory

# Relative differences that the order of summation causes. Some models compute parts in float32, whatever their dtype.
_ROUNDING = {torch.float64: 1e-5, torch.float32: 1e-4}
_TRIALS = 8  # remembered per model
# The code of these packages treats all texts alike, so one trial holds for all of them. A user's code may read other
# tokens in some texts only: in short ones, or where an expert is full.
_PLAIN = {"torch", "transformers", "peft"}


def tried(
    score: Score, model: TextModel, rows: Sequence[Row], lengths: Sequence[int], *, backward: bool = True
) -> LastLayer | None:
    """Return the last layer if it yields the same logits and gradients when it runs only at the tokens that are read.

    The trial uses the longest of the rows, which have ``lengths`` tokens, and is remembered until a weight changes.
    Return None where little is gained, and for models with a user's modules or forward functions. ``backward`` tells
    whether rows have a backward pass, as the trial has.
    """
    readout, stream = score.readout, score.streams[0]
    if score.opened or readout.part is None or readout.logits is not token_logits or len(score.streams) > 1:
        return None
    if not 4 <= max(lengths) <= LONGEST:
        return None
    dtype, device = next(stream.module.parameters()).dtype, stream.device.type
    if dtype not in _ROUNDING or torch.is_autocast_enabled(device):
        return None
    pays = len(rows) >= (ROWS if backward else 2 * ROWS)
    if not (pays or model.layer_trials):
        return None
    # Offloaded weights are on the meta device between passes, and are other tensors in each pass.
    if any(weight.is_meta for weight in model.model.parameters()) or not _is_plain(model.model):
        return None
    last_layer = LastLayer.of(model.model)
    if last_layer is None:
        return None
    key = (last_layer, score.names, dtype, device, getattr(model.config, "_attn_implementation", None))
    weights = versions(model.model)
    trial = model.layer_trials.get(key)
    if trial is None or trial[0] != weights:
        if not pays:
            return None
        batch = collate(model, [rows[lengths.index(max(lengths))]], readout, score.names, trim=False)
        trial = weights, _agrees(score, model, batch, last_layer)
        while len(model.layer_trials) >= _TRIALS:
            model.layer_trials.pop(next(iter(model.layer_trials)), None)
        model.layer_trials[key] = trial
        result = "can" if trial[1] else "cannot"
        _log.info("the last layer of %s %s run at some tokens alone", type(model.model).__name__, result)
    return last_layer if trial[1] else None


def _is_plain(model: nn.Module) -> bool:
    """Whether all code of a model, replaced forward functions included, comes from known packages."""
    modules = modules_of(model)
    sources = {type(module).__module__ for module in modules}
    sources |= {str(getattr(module.forward, "__module__", None)) for module in modules}
    return all(source.partition(".")[0] in _PLAIN for source in sources)


def _agrees(score: Score, model: TextModel, batch: Batch, last_layer: LastLayer) -> bool:
    """Whether some logits of a row and their gradients stay the same when the last layer is cut."""
    try:
        # The guards cover the backward pass, too, which runs checkpointed layers again.
        with borrowed(model.model), seeded(0), torch.enable_grad():
            *whole, _ = _differentiated(score, batch)
            score.last_layer = last_layer
            *part, cuts = _differentiated(score, batch)
    except Exception:  # of any kind, also if memory is short: the sweep raises a real error again
        return False
    finally:
        score.last_layer = None
    rounding = _ROUNDING[batch.embeds[0].dtype]
    return cuts == 2 and all(
        bool((values - read_alone).abs().max() <= rounding * values.abs().max())  # false for NaN
        for values, read_alone in zip(whole, part, strict=True)
    )


def _differentiated(score: Score, batch: Batch) -> tuple[Tensor, Tensor, int]:
    """The logits at two early and two late tokens of a row, the gradient of a sum of them, and the number of cuts."""
    embeds = batch.embeds[0][:1].detach().clone().requires_grad_()
    inputs = {
        name: values[:1]
        for name, values in zip(score.names, batch.tensors, strict=True)
        if name not in READOUT_TENSORS
    }
    device, last = embeds.device, embeds.shape[1] - 1
    reads = {
        "text": torch.zeros(2, dtype=torch.long, device=device),
        "position": torch.tensor([[2, 1], [last, last - 1]], device=device),
    }
    logits, cuts = score.logits([embeds], {**inputs, **reads})
    weights = torch.arange(logits.numel(), dtype=logits.dtype, device=logits.device).cos()
    (gradient,) = torch.autograd.grad((logits.flatten() * weights).sum(), embeds)
    return logits.detach(), gradient, len(cuts)
