"""Memory: how much a batch takes and how much is free, so that no batch gets the process killed.

A GPU raises an error when its memory is short. Linux kills the process instead, so on a CPU the need is estimated
first: one row's tensors for the backward pass are measured at two short lengths, and extrapolated by the number of
tokens and of pairs of tokens.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from hf_saliency.adapter.text_model import TextModel
from hf_saliency.score.batch import Batch, collate
from hf_saliency.score.score import Score
from hf_saliency.targets.readout import READOUT_TENSORS
from hf_saliency.targets.target import Row

WORTH = 4096  # tokens of a pass from which on its need is estimated
_SAMPLE = 512  # tokens of the row that is measured
# A pass takes this multiple of the memory that it keeps for the backward pass, and these bytes for each pair of tokens,
# for an attention mask. GPT-2 and ModernBERT took 1.07 and 0.85 of that with 8,000 tokens.
_BESIDE, _MASK = 1.3, 4

_ROOT = Path("/")


@dataclass(frozen=True)
class Activations:
    """Memory that a row keeps for its backward pass, in bytes per token and per pair of tokens."""

    token: float
    pair: float

    def bytes(self, rows: int, tokens: int) -> float:
        """Return the bytes that ``rows`` rows of ``tokens`` tokens keep."""
        return rows * tokens * (self.token + self.pair * tokens)

    def shortage(self, rows: int, tokens: int) -> str:
        """Return why a pass of ``rows`` rows would not fit; empty if it fits, or if the free memory is not known."""
        free = free_memory()
        need = _BESIDE * self.bytes(rows, tokens) + rows * _MASK * tokens**2
        if free is None or need <= free:
            return ""
        return f" (about {need / 2**30:.3g} GiB, and {free / 2**30:.3g} GiB are free)"


def shortage_of(
    score: Score,
    model: TextModel,
    rows: Sequence[Row],
    lengths: Sequence[int],
    texts: Sequence[int] | None,
    budget: int,
) -> Callable[[Sequence[int], int], str]:
    """Return a function from row numbers and a token budget to the reason why a pass would not fit, empty if it fits.

    ``texts`` holds the text that each row reads, if rows of one text share a forward pass. Otherwise a pass holds as
    many rows as the budget allows, since a method may request copies of a row.
    """
    longest = max(range(len(rows)), key=lengths.__getitem__)
    need = None
    if score.streams[0].device.type == "cpu":  # a GPU raises an error when it is full
        need = activations(score, model, collate(model, [rows[longest]], score.readout, score.names))

    def shortage(batch: Sequence[int], budget: int) -> str:
        tokens = max(lengths[i] for i in batch)
        count = max(1, budget // tokens) if texts is None else len({texts[i] for i in batch})
        return "" if need is None else need.shortage(count, tokens)

    return shortage


def activations(score: Score, model: TextModel, batch: Batch) -> Activations | None:
    """Measure the memory that a row keeps, at two short lengths of the first row.

    Return None if this is not possible, as for models that read several sequences, or only whole windows.
    """
    length = min(batch.tokens, _SAMPLE)
    if len(batch.embeds) > 1 or length < 2:
        return None
    half = length // 2
    try:
        first, second = (_saved(score, model, batch, part) for part in (half, length))
    except (RuntimeError, IndexError, ValueError):
        return None
    pair = max(0.0, (second / length - first / half) / (length - half))
    return Activations(max(0.0, second / length - pair * length), pair)


def _saved(score: Score, model: TextModel, batch: Batch, tokens: int) -> int:
    """Count the bytes of all tensors except weights that a pass over the first tokens of a row keeps."""
    weights = {weight.untyped_storage().data_ptr() for weight in model.model.parameters()}
    sizes: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # its graph must not hold itself

    embeds = batch.embeds[0][:1, :tokens].detach().requires_grad_()
    rows = [
        values[:1].clamp(max=tokens - 1)
        if name == "position"
        else values[:1]
        if name in READOUT_TENSORS
        else values[:1, :tokens]
        for name, values in zip(score.names, batch.tensors, strict=True)
    ]
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        kept = score(embeds, *rows)  # while it lives, no two of its tensors share an address
    del kept
    return sum(sizes.values())


def free_memory() -> int | None:
    """Bytes that this process may still take, by the machine and the groups that limit it; None if not known."""
    return min((free for free in (_machine(), *_groups()) if free is not None), default=None)


def _machine() -> int | None:
    try:
        lines = (_ROOT / "proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def _groups() -> Sequence[int | None]:
    """The free bytes of each control group, of version 1 or 2, from the process's own group up to the root."""
    try:
        lines = (_ROOT / "proc/self/cgroup").read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return []
    left = []
    for line in lines:
        _, kinds, path = line.split(":", 2)
        top = _ROOT / "sys/fs/cgroup" / ("memory" if kinds else "")
        if kinds not in ("", "memory"):
            continue
        names = (
            ("memory.limit_in_bytes", "memory.usage_in_bytes") if kinds else ("memory.max", "memory.current")
        )
        folder = top / path.strip("/")
        while True:
            left.append(_left(folder, *names))
            if folder == top:
                break
            folder = folder.parent
    return left


def _left(folder: Path, limit: str, usage: str) -> int | None:
    """The limit minus the memory in use, not counting cached files."""
    try:
        most, used = (int((folder / name).read_text()) for name in (limit, usage))
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # no such group, or no limit: "max"
        return None
    cached = sum(int(stat.get(name, 0)) for name in ("active_file", "inactive_file"))
    return max(0, most - used + cached)
