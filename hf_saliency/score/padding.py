"""Padding: whether a score stays the same where its row is padded, found by trying."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hf_saliency.adapter.guards import borrowed, hooked, modules_of
from hf_saliency.adapter.text_model import TextModel
from hf_saliency.adapter.weights import versions
from hf_saliency.errors import out_of_memory
from hf_saliency.score.batch import collate, shape
from hf_saliency.score.score import Score
from hf_saliency.targets.target import Row

_log = logging.getLogger(__name__)

# Relative differences that the order of a sum makes; what padding does to a mean is larger than either.
_ROUNDING = {torch.float64: 1e-9, torch.float32: 1e-4}
_HALF = 0.03


_TRIALS = 8  # that are remembered of a model: one for each target that it is asked for


@dataclass(frozen=True)
class PaddingTrial:
    """What was found for rows of some lengths, while the model had these weights."""

    weights: object
    shortest: int
    longest: int
    ignores: bool

    def holds(self, weights: object, shortest: int, longest: int) -> bool:
        """Whether it answers for other rows; what padding changed once is never padded again."""
        within = self.shortest <= shortest and longest <= self.longest
        return self.weights == weights and (within or not self.ignores)


def ignores_padding(score: Score, model: TextModel, row: Row, longer: Row) -> bool:
    """Whether the score of a row stays the same where it is padded to a longer row; remembered until a weight changes.

    Rows that are shorter or longer than those that were tried are tried again.
    """
    shortest, longest = (sum(shape(each, model, score.readout.layout)) for each in (row, longer))
    weights = versions(model.model)
    key = (score.readout, score.names)
    trial = model.padding_trials.get(key)
    if trial is None or not trial.holds(weights, shortest, longest):
        trial = PaddingTrial(weights, shortest, longest, _ignores(score, model, row, longer))
        while len(model.padding_trials) >= _TRIALS:
            model.padding_trials.pop(next(iter(model.padding_trials)))
        model.padding_trials[key] = trial
        effect = (
            "changes nothing"
            if trial.ignores
            else "changes it, so that only rows of equal length share a batch"
        )
        _log.info("tried what padding does to the score of %s: it %s", type(model.model).__name__, effect)
    return bool(trial.ignores)


def _ignores(score: Score, model: TextModel, row: Row, longer: Row) -> bool:
    """Whether the score of a row and its gradient stay the same where it is padded to a longer row.

    Tried with the padding as it is and with the embeddings of other tokens in its place; and the states that encoders
    of transformers give for it are made the largest of all, then the smallest, so that no maximum overlooks them.
    """
    alone = collate(model, [row], score.readout, score.names)
    both = collate(model, [row, longer], score.readout, score.names)
    lengths = [embeds.shape[1] for embeds in alone.embeds]
    as_it_is = [wide[:1] for wide in both.embeds]
    refilled = [_refilled(wide, length) for wide, length in zip(as_it_is, lengths, strict=True)]
    with borrowed(model.model):  # over the backward pass as well, in which checkpointed layers are run again
        expected = _differentiated(score, alone.embeds, alone.tensors)
        for sign, padded in ((10.0, refilled), (-10.0, as_it_is)):
            try:
                with _extreme_states(model.model, sign):
                    found = _differentiated(score, padded, [rows[:1] for rows in both.tensors])
            except (RuntimeError, ValueError, IndexError) as error:
                if out_of_memory(error):
                    raise
                return False  # it reads texts of one length only
            if not _same(alone.embeds, expected, found):
                return False
    return True


Derivative = tuple[Tensor, tuple[Tensor, ...]]  # the score, and its gradient in each stream


def _same(embeds: Sequence[Tensor], expected: Derivative, found: Derivative) -> bool:
    """Whether two scores agree, and their gradients, with none in what is there only in the second."""
    (value, gradients), (other, wide) = expected, found
    rounding = _ROUNDING.get(embeds[0].dtype, _HALF)
    parts = [(e * g).abs().sum() for e, g in zip(embeds, gradients, strict=True)]
    same = [(value - other).abs() <= rounding * torch.stack([value.abs(), *parts]).sum()]
    for narrow, gradient in zip(gradients, wide, strict=True):
        missing = functional.pad(narrow, (0, 0, 0, gradient.shape[1] - narrow.shape[1]))
        same.append((missing - gradient).abs().amax() <= rounding * narrow.abs().amax())
    return all(map(bool, same))  # a comparison with NaN is false


@contextmanager
def _extreme_states(model: nn.Module, factor: float) -> Iterator[None]:
    """Encoders of transformers within a model give a multiple of their largest state for each token of padding."""

    def replace(module: nn.Module, arguments: Any, inputs: Any, output: Any) -> Any:
        mask = inputs.get("attention_mask", arguments[1] if len(arguments) > 1 else None)
        states = getattr(output, "last_hidden_state", None)
        if isinstance(states, Tensor) and isinstance(mask, Tensor) and mask.shape == states.shape[:2]:
            extreme = factor * states.detach().abs().max()
            output.last_hidden_state = torch.where(mask[..., None].bool(), states, extreme)
        return output

    encoders = [
        module
        for module in modules_of(model)
        if module is not model
        and type(module).__module__.startswith("transformers.")
        and hasattr(module, "get_input_embeddings")
    ]
    with ExitStack() as stack:
        for encoder in encoders:
            stack.enter_context(hooked(encoder.register_forward_hook, replace, with_kwargs=True))
        yield


def _refilled(embeds: Tensor, length: int) -> Tensor:
    """The row with other embeddings after so many tokens: larger ones of its tokens, for a maximum to pick up."""
    places = torch.arange(embeds.shape[1] - length, device=embeds.device) % length
    return torch.cat([embeds[:, :length], 2 * embeds[:, places]], dim=1)


def _differentiated(score: Score, embeds: Sequence[Tensor], tensors: Sequence[Tensor]) -> Derivative:
    """The score of one row and its gradients; zeros for a score without any, which removal methods explain."""
    leaves = tuple(stream.detach().clone().requires_grad_() for stream in embeds)
    with torch.enable_grad():
        value = score(*leaves, *tensors).sum()
        if not value.requires_grad:
            return value, tuple(torch.zeros_like(leaf) for leaf in leaves)
        gradients = torch.autograd.grad(value, leaves, allow_unused=True, materialize_grads=True)
    return value.detach(), gradients
