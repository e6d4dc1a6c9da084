"""A sweep: rows in batches of similar length, as large as memory allows."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import torch

from hf_saliency.errors import SaliencyError
from hf_saliency.failures import out_of_memory

# So many rows of a long text share its forward pass, whatever the budget of a backward pass; but not shorter rows,
# which are cheaper on their own.
SHARING = 32
TRIMMED = 0.75


def sweep(
    shapes: Sequence[tuple[int, ...]],
    budget: int,
    pads: bool,
    step: Callable[[list[int], int], None],
    *,
    alone: bool = False,
    texts: Sequence[int] | None = None,
) -> Iterator[int]:
    """Do rows in batches of similar length; yields how many were done after each batch.

    Memory follows the budget: a batch has at most ``budget`` tokens, padding included, or a single row. Where a
    batch does not fit into memory, the budget becomes half of it and the work goes on.

    Parameters
    ----------
    shapes
        Tokens of each sequence of each row.
    budget
        Tokens of a pass.
    pads
        Whether rows of different shape may share a batch.
    step
        Does the rows of the given numbers, with at most so many tokens in a pass.
    alone
        Whether each row is a batch of its own.
    texts
        Which text each row reads, where rows of one text share a forward pass; these stay together.

    Yields
    ------
    int
        The size of a batch done.

    Raises
    ------
    SaliencyError
        If a single row does not fit into memory.
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
        if _fits(functools.partial(step, batch, budget)):
            del waiting[: len(batch)]
            yield len(batch)
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
    """The next rows that fit into the budget together, of one kind if there are kinds."""
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


def _fits(step: Callable[[], None]) -> bool:
    try:
        step()
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
    else:
        return True
    # Only here, with the error and the tensors that its traceback held gone, can the memory be had again.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return False
