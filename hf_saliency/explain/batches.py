"""Batches under a budget of tokens: which rows run together, and what happens when they do not fit into memory."""

from __future__ import annotations

import functools
import logging
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import TypeVar

import torch

from hf_saliency.adapter.text_model import TextModel
from hf_saliency.errors import SaliencyError, out_of_memory

_log = logging.getLogger(__name__)

Result = TypeVar("Result")

# The rows of a batch share the reading of each weight matrix; beyond this many tokens, a larger one is no faster.
BATCH_TOKENS = {"cpu": 1024, "cuda": 32768}

# Up to this many rows of one text share its forward pass, whatever the budget of a backward pass.
SHARING = 32

# The costs of a batch in addition to its tokens, in tokens: reading the weights, and Python's work, which matters more
# for smaller models. These are estimates for one core, and for one data-centre GPU.
_READING = 16
_PYTHON = {"cpu": 5e7, "cuda": 1.7e11}


def batch_overhead(model: TextModel) -> int:
    """The cost of another batch, as the number of padding tokens that cost the same."""
    device = model.streams[0].device.type
    return _READING + int(_PYTHON.get(device, _PYTHON["cuda"]) / max(model.size, 1))


def sweep(
    shapes: Sequence[tuple[int, ...]],
    budget: int,
    pads: bool,
    step: Callable[[Sequence[int], int], Result],
    *,
    alone: bool = False,
    texts: Sequence[int] | None = None,
    overhead: int = _READING,
    shortage: Callable[[Sequence[int], int], str] | None = None,
) -> Iterator[tuple[list[int], Result]]:
    """Run rows in batches of similar length; yield the row numbers of each batch and the result of ``step``.

    ``shapes`` holds the number of tokens of each sequence of each row. ``texts`` holds the text that each row reads, if
    rows of one text share a forward pass. ``shortage`` takes row numbers and a budget before a batch is tried, and
    returns the reason why it would not fit.
    """
    # A batch has at most `budget` tokens, padding included, or a single row. If it does not fit into memory, the
    # budget is halved and the work goes on. Rows of different shapes share a batch only if the model `pads`; with
    # `alone` each row is a batch. A batch ends early where its padding would cost more than the `overhead` of another
    # batch.
    lengths = [sum(shape) for shape in shapes]
    waiting = sorted(range(len(lengths)), key=lambda i: (-lengths[i], shapes[i]))
    if texts is not None:
        longest: dict[int, int] = {}
        for i in waiting:
            longest.setdefault(texts[i], lengths[i])
        waiting.sort(key=lambda i: (-longest[texts[i]], texts[i], -lengths[i]))
    kinds = None if pads else shapes
    while waiting:
        first = lengths[waiting[0]]
        batch = waiting[:1] if alone else _batch(waiting, lengths, budget, kinds, texts, overhead)
        reason = "" if shortage is None else shortage(batch, budget)
        results = [] if reason else _unless_out_of_memory(functools.partial(step, batch, budget))
        if results:
            del waiting[: len(batch)]
            yield batch, results[0]
        elif budget < 2 * first:
            raise SaliencyError(
                f"a single text of {first} tokens does not fit into memory{reason}: load the model in a smaller dtype "
                "(dtype=torch.bfloat16) or on a larger device, or shorten the text.",
                page="how_to/big_models#not-enough-memory",
            )
        else:
            budget //= 2
            _log.info("memory is short%s: batches of %d tokens from here on", reason, budget)


def spoiled(batch: Sequence[int], shapes: Sequence[Hashable], finite: Iterable[bool]) -> list[int]:
    """Rows to run again alone: those that are not finite next to longer ones, where a window may hold only padding."""
    if len({shapes[i] for i in batch}) == 1:
        return []
    return [i for i, is_finite in zip(batch, finite, strict=True) if not is_finite]


def _batch(
    waiting: Sequence[int],
    lengths: Sequence[int],
    budget: int,
    kinds: Sequence[tuple[int, ...]] | None,
    texts: Sequence[int] | None,
    overhead: int,
) -> list[int]:
    """Return the next rows that fit into the budget together, all of one kind if there are kinds."""
    batch: list[int] = []
    count: Counter[int] = Counter()
    longest = padding = 0
    for i in waiting:
        together = kinds is None or not batch or kinds[i] == kinds[batch[0]]
        if texts is not None:
            together = together or texts[i] == texts[batch[0]]
            count[texts[i]] += 1
        longest = max(longest, lengths[i])
        padding += longest - lengths[i]
        size = len(batch) + 1
        few, another = False, overhead
        if texts is not None:
            # Each row of a text needs one gradient, computed for all texts at once.
            size = len(count) * max(count.values())
            few = len(count) == 1 and size <= SHARING
            # Padding costs only a backward pass, half of a token's work; another batch repeats the forward pass.
            another = 2 * overhead + lengths[i]
            # This many rows share a backward pass. Once one is full, the next should not be mostly padding.
            at_once = max(1, budget // longest)
            if len(batch) % at_once == 0:
                few &= at_once * (longest - lengths[i]) <= another
        if batch and not (together and padding <= another and (few or size * longest <= budget)):
            break
        batch.append(i)
    return batch


def _unless_out_of_memory(step: Callable[[], Result]) -> list[Result]:
    """Return the result in a list, or an empty list if memory is short."""
    try:
        return [step()]
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
    # Memory can be freed only here, where the error is gone, with the tensors that its traceback held.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return []
