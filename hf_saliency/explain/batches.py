"""Batches under a budget of tokens: which rows run together, and what happens when they do not fit into memory."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

from hf_saliency.errors import SaliencyError, out_of_memory

Result = TypeVar("Result")

# Up to SHARING rows of one text share its forward pass, whatever the budget of a backward pass; a row that is much
# shorter than the text (by the factor TRIMMED) is cheaper on its own.
SHARING = 32
TRIMMED = 0.75


def sweep(
    shapes: Sequence[tuple[int, ...]],
    budget: int,
    pads: bool,
    step: Callable[[Sequence[int], int], Result],
    *,
    alone: bool = False,
    texts: Sequence[int] | None = None,
) -> Iterator[tuple[list[int], Result]]:
    """Run rows in batches of similar length; yields the row numbers of each batch and the result of ``step``.

    ``shapes`` holds the tokens of each sequence of each row. A batch has at most ``budget`` tokens, padding included,
    or a single row; where it does not fit into memory, the budget is halved and the work goes on. Rows of different
    shapes share a batch only where the model ``pads``; with ``alone`` each row is a batch. ``texts`` says which text
    each row reads, where rows of one text share a forward pass and must stay together.
    """
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
        batch = waiting[:1] if alone else _batch(waiting, lengths, budget, kinds, texts)
        results = _unless_out_of_memory(functools.partial(step, batch, budget))
        if results:
            del waiting[: len(batch)]
            yield batch, results[0]
        elif budget < 2 * first:
            raise SaliencyError(
                f"a single row of {first} tokens does not fit into memory: load the model in a smaller dtype "
                "(dtype=torch.bfloat16) or on a larger device, or shorten the text."
            )
        else:
            budget //= 2


def _batch(
    waiting: Sequence[int],
    lengths: Sequence[int],
    budget: int,
    kinds: Sequence[tuple[int, ...]] | None,
    texts: Sequence[int] | None,
) -> list[int]:
    """The next rows that fit into the budget together, all of one kind if there are kinds."""
    batch: list[int] = []
    count: Counter[int] = Counter()
    longest = 0
    for i in waiting:
        together = kinds is None or not batch or kinds[i] == kinds[batch[0]]
        if texts is not None:
            together = together or texts[i] == texts[batch[0]]
            count[texts[i]] += 1
        longest = max(longest, lengths[i])
        size = len(batch) + 1
        few = False
        if texts is not None:
            # Rows of one text have one gradient each, for all texts at once.
            size = len(count) * max(count.values())
            few = len(count) == 1 and size <= SHARING and lengths[i] >= TRIMMED * longest
        if batch and not (together and (few or size * longest <= budget)):
            break
        batch.append(i)
    return batch


def _unless_out_of_memory(step: Callable[[], Result]) -> list[Result]:
    """The result in a list, or an empty list where memory is short."""
    try:
        return [step()]
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
    # Only here, with the error and the tensors that its traceback held gone, can the memory be had again.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return []
