"""Last layer: whether its part behind the attention may run at the tokens that are read alone, found by trying."""

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

# Multiplications of all rows, of weights by tokens, from which on callers ask for the layer; and how many rows
# pay for a trial, which takes the time of about two.
WORK = 2e9
ROWS = 16
LONGEST = 2048  # tokens of a row that is tried before anybody knows whether it fits into memory

# Relative differences that the order of a sum makes. Some models compute parts in float32, whatever their dtype is.
_ROUNDING = {torch.float64: 1e-5, torch.float32: 1e-4}
_TRIALS = 8  # that are remembered of a model
# The code of these packages treats all texts alike, so that one trial speaks for them. A user's code may read other
# tokens in some texts only: in short ones, or where an expert has no room for another token.
_PLAIN = {"torch", "transformers", "peft"}


def tried(
    score: Score, model: TextModel, rows: Sequence[Row], lengths: Sequence[int], *, backward: bool = True
) -> LastLayer | None:
    """The last layer, if it gives the same logits and gradients at the tokens that are read alone.

    Tried on the longest of the rows, whose numbers of tokens are ``lengths``, and remembered until a weight changes.
    None where little is gained, and for models with modules or forward functions of a user's. ``backward`` says whether
    rows have a backward pass, as the trial has.
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
    # Weights that wait elsewhere, on the meta device, are others in each pass.
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
    """Whether all code of a model is of known packages, also where a forward function was replaced."""
    modules = modules_of(model)
    sources = {type(module).__module__ for module in modules}
    sources |= {str(getattr(module.forward, "__module__", None)) for module in modules}
    return all(source.partition(".")[0] in _PLAIN for source in sources)


def _agrees(score: Score, model: TextModel, batch: Batch, last_layer: LastLayer) -> bool:
    """Whether the logits at some tokens of a row and their gradients are the same with it and without."""
    try:
        # Over the backward pass as well, in which checkpointed layers are run again.
        with borrowed(model.model), seeded(0), torch.enable_grad():
            *whole, _ = _differentiated(score, batch)
            score.last_layer = last_layer
            *part, cuts = _differentiated(score, batch)
    except Exception:  # of any kind, also for want of memory: the sweep says what is wrong, if anything is
        return False
    finally:
        score.last_layer = None
    rounding = _ROUNDING[batch.embeds[0].dtype]
    return cuts == 2 and all(
        bool((values - read_alone).abs().max() <= rounding * values.abs().max())  # with NaN it is false
        for values, read_alone in zip(whole, part, strict=True)
    )


def _differentiated(score: Score, batch: Batch) -> tuple[Tensor, Tensor, int]:
    """The logits at two of the first tokens of a row and two of the last, a sum's gradient, and the number of cuts."""
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
