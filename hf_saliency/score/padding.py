"""Padding: whether a score stays the same when its row is padded, found by trials."""

from __future__ import annotations

import logging
import operator
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
from hf_saliency.errors import out_of_memory, warn
from hf_saliency.score.batch import collate, shape
from hf_saliency.score.score import Score
from hf_saliency.targets.target import Row

_log = logging.getLogger(__name__)

# Relative differences that the order of summation causes; padding changes a mean by more than either.
_ROUNDING = {torch.float64: 1e-9, torch.float32: 1e-4}
_HALF = 0.03


_TRIALS = 8  # remembered per model: one for each target that is requested


@dataclass(frozen=True)
class PaddingTrial:
    """The result of a trial, for rows of some lengths and these weights of the model."""

    weights: object
    shortest: tuple[int, ...]
    longest: tuple[int, ...]
    ignores: bool

    def holds(self, weights: object, shortest: Sequence[int], longest: Sequence[int]) -> bool:
        """Whether the result holds for other rows; a score that padding changed once is never padded again."""
        within = all(map(operator.le, self.shortest, shortest)) and all(
            map(operator.le, longest, self.longest)
        )
        return self.weights == weights and (within or not self.ignores)


def ignores_padding(score: Score, model: TextModel, rows: Sequence[Row]) -> bool:
    """Whether padding a row to the length of others leaves its score unchanged; remembered until a weight changes.

    A new trial runs if a sequence is shorter or longer than all those in the last one.
    """
    shapes = [shape(row, model, score.readout.layout) for row in rows]
    sequences = list(zip(*shapes, strict=True))
    shortest, longest = (tuple(map(extreme, sequences)) for extreme in (min, max))
    # Each sequence is padded in turn, in the shortest row.
    numbers = sorted(range(len(rows)), key=lambda i: sum(shapes[i]))
    pairs = {
        (min(numbers, key=lengths.__getitem__), max(reversed(numbers), key=lengths.__getitem__))
        for lengths in sequences
        if len(set(lengths)) > 1
    }
    weights = versions(model.model)
    key = (score.readout, score.names)
    trial = model.padding_trials.get(key)
    if trial is None or not trial.holds(weights, shortest, longest):
        ignores = all(_ignores(score, model, rows[row], rows[longer]) for row, longer in sorted(pairs))
        trial = PaddingTrial(weights, shortest, longest, ignores)
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


def warn_of_mixing(score: Score, model: TextModel, row: Row) -> None:
    """Warn, once per readout, if the score of a row depends on the other rows of its batch."""
    key = (score.readout, score.names)
    if key in model.batch_trials:
        return
    if len(model.batch_trials) >= _TRIALS:
        model.batch_trials.clear()
    model.batch_trials.add(key)
    if _mixes(score, model, row):
        warn(
            f"{type(model.model).__name__} reads the rows of a batch together: its output for a text depends on "
            "the other texts in the batch. hs.Explainer(model, tokenizer, batch_tokens=1) runs each row alone.",
            UserWarning,
        )


def _mixes(score: Score, model: TextModel, row: Row) -> bool:
    """Whether the score of a row changes when another row of the same length shares its batch."""
    alone = collate(model, [row], score.readout, score.names)
    embeds = [torch.cat([values, 2 * values]) for values in alone.embeds]
    tensors = [torch.cat([values, values]) for values in alone.tensors]
    with borrowed(model.model):
        try:
            expected = _differentiated(score, alone.embeds, alone.tensors)
            value, gradients = _differentiated(score, embeds, tensors)
        except (RuntimeError, ValueError, IndexError, MemoryError):
            return False  # a real error is raised again with the rows, which may need less memory
    return not _same(alone.embeds, expected, (value, tuple(wide[:1] for wide in gradients)))


def _ignores(score: Score, model: TextModel, row: Row, longer: Row) -> bool:
    """Whether the score and the gradient of a row stay the same when it is padded to the length of a longer row.

    Trials run next to the longer row, with unchanged padding, and with other tokens' embeddings instead of padding.
    """
    # The first two trials make the states that transformers encoders return for padding the largest of all, then the
    # smallest, so that no maximum overlooks them. The last two make the states of the text all negative, then all
    # positive, so that no maximum overlooks zeros.
    alone = collate(model, [row], score.readout, score.names)
    both = collate(model, [row, longer], score.readout, score.names)
    lengths = [embeds.shape[1] for embeds in alone.embeds]
    first = [rows[:1] for rows in both.tensors]
    as_it_is = [wide[:1] for wide in both.embeds]
    refilled = [_refilled(wide, length) for wide, length in zip(as_it_is, lengths, strict=True)]
    trials = (
        (_States(padding=10.0), refilled, first),
        (_States(padding=-10.0), both.embeds, both.tensors),
        (_States(shift=-10.0), as_it_is, first),
        (_States(shift=10.0), as_it_is, first),
    )
    with borrowed(model.model):  # the backward pass included, which runs checkpointed layers again
        expected: dict[float, Derivative] = {}
        for states, padded, tensors in trials:
            try:
                with _extreme(model.model, states):
                    if states.shift not in expected:
                        expected[states.shift] = _differentiated(score, alone.embeds, alone.tensors)
                    derivative = _differentiated(score, padded, tensors)
            except (RuntimeError, ValueError, IndexError) as error:
                if out_of_memory(error):
                    raise
                return False  # the model reads texts of one length only
            if not _same(alone.embeds, expected[states.shift], derivative):
                return False
    return True


Derivative = tuple[Tensor, tuple[Tensor, ...]]  # the score, and its gradient in each stream


def _same(embeds: Sequence[Tensor], expected: Derivative, actual: Derivative) -> bool:
    """Whether two scores and their gradients agree, with a gradient of zero where only the second has elements."""
    (value, gradients), (other, wide) = expected, actual
    rounding = _ROUNDING.get(embeds[0].dtype, _HALF)
    parts = [(e * g).abs().sum() for e, g in zip(embeds, gradients, strict=True)]
    same = [(value - other).abs() <= rounding * torch.stack([value.abs(), *parts]).sum()]
    for narrow, gradient in zip(gradients, wide, strict=True):
        rows, length = (more - less for more, less in zip(gradient.shape[:2], narrow.shape[:2], strict=True))
        missing = functional.pad(narrow, (0, 0, 0, length, 0, rows))
        same.append((missing - gradient).abs().amax() <= rounding * narrow.abs().amax())
    return all(map(bool, same))  # a comparison with NaN is false


@dataclass(frozen=True)
class _States:
    """Hidden states that encoders return in a trial, in multiples of the largest state of the text.

    ``padding`` replaces the states of padding, unless it is 0; ``shift`` is added to the states of the text.
    """

    padding: float = 0.0
    shift: float = 0.0


@contextmanager
def _extreme(model: nn.Module, trial: _States) -> Iterator[None]:
    """Make the transformers encoders inside a model return other states for a trial."""

    def replace(module: nn.Module, arguments: Any, inputs: Any, output: Any) -> Any:
        mask = inputs.get("attention_mask", arguments[1] if len(arguments) > 1 else None)
        states = getattr(output, "last_hidden_state", None)
        if isinstance(states, Tensor) and isinstance(mask, Tensor) and mask.shape == states.shape[:2]:
            text = mask[..., None].bool()
            largest = states.detach().abs().masked_fill(~text, 0).amax(dim=(1, 2), keepdim=True)
            padding = trial.padding * largest if trial.padding else states
            output.last_hidden_state = torch.where(text, states + trial.shift * largest, padding)
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
    """Replace a row's embeddings after ``length`` tokens by larger ones of its tokens, which a maximum picks up."""
    places = torch.arange(embeds.shape[1] - length, device=embeds.device) % length
    return torch.cat([embeds[:, :length], 2 * embeds[:, places]], dim=1)


def _differentiated(score: Score, embeds: Sequence[Tensor], tensors: Sequence[Tensor]) -> Derivative:
    """The score of the first row and its gradients; zeros if it has none, as removal methods can explain it, too."""
    leaves = tuple(stream.detach().clone().requires_grad_() for stream in embeds)
    with torch.enable_grad():
        value = score(*leaves, *tensors)[0]
        if not value.requires_grad:
            return value, tuple(torch.zeros_like(leaf) for leaf in leaves)
        gradients = torch.autograd.grad(value, leaves, allow_unused=True, materialize_grads=True)
    return value.detach(), gradients
