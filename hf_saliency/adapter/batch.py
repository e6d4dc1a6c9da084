"""Batches: rows of many targets and texts as the tensors of one call, under a budget of tokens."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from hf_saliency.adapter.targets import Row
from hf_saliency.adapter.text_model import TextModel
from hf_saliency.errors import SaliencyError

PREDICTED = -1  # stands for the most probable class among class ids


@dataclass(frozen=True)
class Batch:
    """The arguments of one call of a :class:`Score`, and which tokens of its text each row shows.

    Parameters
    ----------
    embeds
        (batch, tokens, width), one a stream.
    rows
        Batch-first tensors in the order of the score's names.
    ids
        (batch, tokens), what the model reads: masks in place, padded.
    targets
        Whose rows these are.
    columns
        For each row, the tokens of its text that the model sees, in order; the rest of the row is padding.
    """

    embeds: tuple[Tensor, ...]
    rows: tuple[Tensor, ...]
    ids: Int[Tensor, "batch tokens"]
    targets: tuple[Row, ...]
    columns: tuple[Sequence[int], ...]


def names(model: TextModel, rows: Sequence[Row]) -> tuple[str, ...]:
    """The names of the row tensors: what the model reads, then what the target reads."""
    inputs = model.names(rows[0].encoding.inputs)
    against = () if rows[0].against_id is None else ("against_id",)
    return (*inputs, "position", "class_id", *against)


def collate(model: TextModel, rows: Sequence[Row], class_ids: Sequence[int], names: Sequence[str]) -> Batch:
    """Lay rows out as tensors: masks in place, cut to the model's window where the text is longer, padded."""
    sequences, columns, positions = [], [], []
    for row in rows:
        seen = model.columns(row.encoding, row.position)
        part = row.encoding if seen is None else row.encoding.columns(seen)
        columns.append(range(len(part)) if seen is None else seen)
        positions.append(row.position if seen is None else seen.index(row.position))
        ids = list(part.ids)
        if row.masked:
            ids[positions[-1]] = model.mask_id()
        given = {"input_ids": ids, "attention_mask": [1] * len(ids), **part.inputs}
        sequences.append({name: given[name] for name in names if name in given})
    device = model.streams[0].device
    tensors = model.pad(sequences)
    tensors["position"] = torch.tensor(positions, device=device)
    tensors["class_id"] = torch.tensor(class_ids, device=device)
    if "against_id" in names:
        tensors["against_id"] = torch.tensor([row.against_id for row in rows], device=device)
    shown = tensors["input_ids"]
    embeds = tuple(stream.embed(shown) for stream in model.streams)
    return Batch(embeds, tuple(tensors[name] for name in names), shown, tuple(rows), tuple(columns))


def sweep(
    lengths: Sequence[int],
    budget: int,
    pads: bool,
    step: Callable[[list[int], int], None],
    *,
    alone: bool = False,
) -> Iterator[int]:
    """Do rows in batches of similar length; yields how many were done after each batch.

    Memory follows the budget: a batch has at most ``budget`` tokens, padding included, or a single row. Where a
    batch does not fit into memory, the budget becomes half of it and the work goes on.

    Parameters
    ----------
    lengths
        Tokens of each row.
    budget
        Tokens of a pass.
    pads
        Whether rows of different length may share a batch.
    step
        Does the rows of the given numbers, with at most so many tokens in a pass.
    alone
        Whether each row is a batch of its own.

    Yields
    ------
    int
        The size of a batch done.

    Raises
    ------
    SaliencyError
        If a single row does not fit into memory.
    """
    waiting = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    while waiting:
        longest = lengths[waiting[0]]
        size = 1 if alone else max(1, budget // longest)
        batch = [i for i in waiting[:size] if pads or lengths[i] == longest]
        if _fits(functools.partial(step, batch, budget)):
            del waiting[: len(batch)]
            yield len(batch)
        elif budget < 2 * longest:
            raise SaliencyError(
                f"a single row of {longest} tokens does not fit into memory: load the model in a smaller dtype "
                "(dtype=torch.bfloat16) or on a larger device, or shorten the text."
            )
        else:
            budget //= 2


def _fits(step: Callable[[], None]) -> bool:
    try:
        step()
    except MemoryError:
        pass
    except (
        RuntimeError
    ) as error:  # torch.OutOfMemoryError is one, the CPU allocator's has no class of its own
        message = str(error).lower()
        known = ("out of memory", "can't allocate memory", "not enough memory")
        if not isinstance(error, torch.OutOfMemoryError) and not any(part in message for part in known):
            raise
    else:
        return True
    # Only here, with the error and the tensors that its traceback held gone, can the memory be had again.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return False
