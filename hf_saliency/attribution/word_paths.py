"""Word paths: from a baseline to a token over words of the vocabulary, monotonic in every dimension."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from hf_saliency.attribution.table_rows import pieces, rows_of
from hf_saliency.errors import SaliencyError

Strategy = Literal["greedy", "maxcount"]

# The most elements of a temporary: 16 MiB in float32.
_TEMPORARY = 2**22
_NO_WORD = -1
_FAST = "use_mm_for_euclid_dist_if_necessary"


@torch.no_grad()
def word_paths(
    table: nn.Embedding | Tensor,
    inputs: Float[Tensor, "n width"],
    baselines: Float[Tensor, "n width"],
    *,
    n_steps: int,
    strategy: Strategy,
    n_neighbors: int,
) -> Float[Tensor, "n points width"]:
    """The interpolation points of discretized integrated gradients (Sanyal and Ren, 2021, section 3.2).

    From the input on, each step goes to one of the nearest words of the word before: the one that is closest to
    monotonic between that word and the baseline, or monotonic in the most dimensions. What is not monotonic in it
    is then put a fraction of the way to the baseline. Words do not occur twice; where none is left, the path goes
    to the baseline.

    Parameters
    ----------
    table
        The vocabulary's embeddings.
    inputs
        What the paths end at.
    baselines
        What they start from. A path from a baseline equal to its input stays there.
    n_steps
        Words on a path.
    strategy
        How the next word is chosen.
    n_neighbors
        Among how many of the nearest.

    Returns
    -------
    Float[Tensor, "n points width"]
        ``n_steps + 2`` points, from the baseline to the input, in the dtype of the inputs.
    """
    step = _Step(table, n_steps, strategy, n_neighbors)
    words, ids, ends = inputs, _ids(table, inputs), _ids(table, baselines)
    visited, path = ids[:, None], [inputs]
    at_once = max(1, _TEMPORARY // (n_neighbors * inputs.shape[1]))
    for _ in range(n_steps):
        given = [torch.split(one, at_once) for one in (words, baselines, ends, visited)]
        found = [step.next(*part) for part in zip(*given, strict=True)]
        ids, words = (torch.cat(parts) for parts in zip(*found, strict=True))
        visited = torch.cat([visited, ids[:, None]], dim=1)
        path.append(_monotonic(baselines, path[-1], words, n_steps)[0])
    return torch.stack([baselines, *reversed(path)], dim=1)


@dataclass(frozen=True)
class _Step:
    """How to choose a next word."""

    table: nn.Embedding | Tensor
    n_steps: int
    strategy: Strategy
    n_neighbors: int

    def next(
        self,
        words: Float[Tensor, "n width"],
        baselines: Float[Tensor, "n width"],
        ends: Int[Tensor, " n"],
        visited: Int[Tensor, "n visited"],
    ) -> tuple[Int[Tensor, " n"], Float[Tensor, "n width"]]:
        """The id and the embedding of each path's next word; the baseline's where there is none."""
        near = self.nearest(words, visited[:, -1])
        neighbors = rows_of(self.table, near.flatten()).to(words).reshape(*near.shape, -1)
        point, inside = _monotonic(baselines[:, None], words[:, None], neighbors, self.n_steps)
        greedy = self.strategy == "greedy"
        cost = torch.linalg.vector_norm(neighbors - point, dim=-1) if greedy else -inside.sum(-1).to(words)
        taken = (near[..., None] == visited[:, None]).any(-1) | (near == ends[:, None])
        cost = cost.masked_fill(taken, torch.inf)
        best = cost.argmin(1)  # of equals the first, which is the nearest
        every = torch.arange(len(best), device=best.device)
        there = cost[every, best].isfinite() & (words != baselines).any(1)
        chosen = torch.where(there[:, None], neighbors[every, best], baselines)
        return torch.where(there, near[every, best], ends), chosen

    def nearest(self, words: Float[Tensor, "n width"], own: Int[Tensor, " n"]) -> Int[Tensor, "n neighbors"]:
        """The ids of the words nearest to each, the nearest first, without the word itself."""
        distances, ids = _search(self.table, words, self.n_neighbors + 1)
        distances = distances.masked_fill(ids == own[:, None], torch.inf)
        order = distances.argsort(dim=1, stable=True)[:, : max(1, ids.shape[1] - 1)]
        return ids.gather(1, order)


def _monotonic(
    start: Float[Tensor, "*n width"],
    end: Float[Tensor, "*n width"],
    point: Float[Tensor, "*m width"],
    n_steps: int,
) -> tuple[Float[Tensor, "*m width"], Bool[Tensor, "*m width"]]:
    """A point that lies between start and end in every dimension, and in which dimensions the given one does."""
    inside = (point >= torch.minimum(start, end)) & (point <= torch.maximum(start, end))
    return torch.where(inside, point, end - (end - start) / n_steps), inside


def _ids(table: nn.Embedding | Tensor, vectors: Float[Tensor, "n width"]) -> Int[Tensor, " n"]:
    """Which word each vector is; ``_NO_WORD`` where it is none."""
    _, ids = _search(table, vectors, 1, "donot_use_mm_for_euclid_dist")  # whose zeros are zeros
    equal = (rows_of(table, ids[:, 0]).to(vectors) == vectors).all(1)
    return torch.where(equal, ids[:, 0], _NO_WORD)


def _search(
    table: nn.Embedding | Tensor, vectors: Float[Tensor, "n width"], count: int, mode: str = _FAST
) -> tuple[Float[Tensor, "n found"], Int[Tensor, "n found"]]:
    """The distances and ids of the nearest rows, the nearest first."""
    distances = vectors.new_empty(len(vectors), 0)
    ids = torch.empty(len(vectors), 0, dtype=torch.long, device=vectors.device)
    start = 0
    for rows in pieces(table, _TEMPORARY // max(*vectors.shape, 1)):
        here = torch.arange(start, start + len(rows), device=vectors.device).expand(len(vectors), -1)
        distances = torch.cat([distances, torch.cdist(vectors, rows.to(vectors), compute_mode=mode)], dim=1)
        distances, kept = distances.topk(min(count, distances.shape[1]), dim=1, largest=False)
        ids = torch.cat([ids, here], dim=1).gather(1, kept)
        start += len(rows)
    return distances, ids


def check_strategy(strategy: object) -> None:
    """Refuse a strategy that does not exist."""
    if strategy not in get_args(Strategy):
        raise SaliencyError(f"strategy={strategy!r}: choose 'greedy' or 'maxcount'.")
