"""DiscretizedIntegratedGradients: gradients along a path of words, as a Captum attribution."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from captum._utils.common import _format_output
from captum.log import log_usage
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from hf_saliency.attribution.gradient_norm import Tables, autograd
from hf_saliency.attribution.inputs import (
    PathAttribution,
    RowScores,
    baselines_of,
    check_internal_batch_size,
    streams_of,
)
from hf_saliency.attribution.vocabulary import Vocabulary, pieces, rows_of
from hf_saliency.errors import SaliencyError, one_of, whole

Strategy = Literal["greedy", "maxcount"]
Rule = Literal["riemann_left", "trapezoid"]

# Largest number of elements in a temporary tensor: 16 MiB in float32.
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
    """Find the points of discretized integrated gradients (Sanyal and Ren, 2021, section 3.2) from baseline to input.

    A path has ``n_steps + 2`` points. If a baseline equals its input, the path stays there.
    """
    # The path starts at the input, and each step goes to one of the n_neighbors words nearest to the current word: the
    # one closest to monotonic between that word and the baseline, or monotonic in the most dimensions. Dimensions that
    # are not monotonic then move a fraction of the way to the baseline. No word occurs twice; where none is left, the
    # path goes to the baseline.
    step = _Step(table, n_steps, strategy, n_neighbors)
    words, ids, ends = inputs, _ids(table, inputs), _ids(table, baselines)
    visited, path = ids[:, None], [inputs]
    at_once = max(1, _TEMPORARY // (n_neighbors * inputs.shape[1]))
    for _ in range(n_steps):
        blocks = [torch.split(tensor, at_once) for tensor in (words, baselines, ends, visited)]
        steps = [step.next(*part) for part in zip(*blocks, strict=True)]
        ids, words = (torch.cat(parts) for parts in zip(*steps, strict=True))
        visited = torch.cat([visited, ids[:, None]], dim=1)
        path.append(_monotonic(baselines, path[-1], words, n_steps)[0])
    return torch.stack([baselines, *reversed(path)], dim=1)


@dataclass(frozen=True)
class _Step:
    """The rule that chooses the next word of a path."""

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
        """Return the id and the embedding of each path's next word; those of the baseline where no word is left."""
        near = self.nearest(words, visited[:, -1])
        neighbors = rows_of(self.table, near.flatten()).to(words).reshape(*near.shape, -1)
        point, inside = _monotonic(baselines[:, None], words[:, None], neighbors, self.n_steps)
        greedy = self.strategy == "greedy"
        cost = torch.linalg.vector_norm(neighbors - point, dim=-1) if greedy else -inside.sum(-1).to(words)
        taken = (near[..., None] == visited[:, None]).any(-1) | (near == ends[:, None])
        cost = cost.masked_fill(taken, torch.inf)
        best = cost.argmin(1)  # the first of equal costs, which is the nearest word
        every = torch.arange(len(best), device=best.device)
        there = cost[every, best].isfinite() & (words != baselines).any(1)
        chosen = torch.where(there[:, None], neighbors[every, best], baselines)
        return torch.where(there, near[every, best], ends), chosen

    def nearest(
        self, words: Float[Tensor, "n width"], origins: Int[Tensor, " n"]
    ) -> Int[Tensor, "n neighbors"]:
        """Return the ids of the nearest words, the nearest first, without the word itself."""
        distances, ids = _search(self.table, words, self.n_neighbors + 1)
        distances = distances.masked_fill(ids == origins[:, None], torch.inf)
        order = distances.argsort(dim=1, stable=True)[:, : max(1, ids.shape[1] - 1)]
        return ids.gather(1, order)


def _monotonic(
    start: Float[Tensor, "*n width"],
    end: Float[Tensor, "*n width"],
    point: Float[Tensor, "*m width"],
    n_steps: int,
) -> tuple[Float[Tensor, "*m width"], Bool[Tensor, "*m width"]]:
    """Move a point between start and end in every dimension; also return the dimensions where it was between them."""
    inside = (point >= torch.minimum(start, end)) & (point <= torch.maximum(start, end))
    return torch.where(inside, point, end - (end - start) / n_steps), inside


def _ids(table: nn.Embedding | Tensor, vectors: Float[Tensor, "n width"]) -> Int[Tensor, " n"]:
    """Return the id of the word that each vector equals, or ``_NO_WORD``."""
    _, ids = _search(table, vectors, 1, "donot_use_mm_for_euclid_dist")  # gives exact zeros
    equal = (rows_of(table, ids[:, 0]).to(vectors) == vectors).all(1)
    return torch.where(equal, ids[:, 0], _NO_WORD)


def _search(
    table: nn.Embedding | Tensor, vectors: Float[Tensor, "n width"], count: int, mode: str = _FAST
) -> tuple[Float[Tensor, "n found"], Int[Tensor, "n found"]]:
    """Return the distances and ids of the nearest rows, the nearest first."""
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


def check_strategy(strategy: object) -> Strategy:
    """Return a strategy by its name."""
    chosen: Strategy = one_of(strategy, get_args(Strategy), "strategy")
    return chosen


class DiscretizedIntegratedGradients(PathAttribution):
    r"""Integrated gradients on a path from word to word of the vocabulary (Sanyal and Ren, 2021).

    .. math:: a_i = \sum_k \frac{\partial F(x^k)}{\partial x_i} (x_i^{k+1} - x_i^k)

    :math:`x^0` is the baseline and the last point the text. Between them, all tokens move at the same time over
    points near words of the vocabulary, which the model has seen in training. A straight line would lead through
    vectors that it has not seen. The sum is the left Riemann sum of a path integral: attributions add up to
    :math:`F(x) - F(x^0)` up to its error, which ``factor`` and the trapezoid rule reduce.

    Parameters
    ----------
    forward_func
        Function from embeddings (one tensor per stream) and additional arguments to one score per row.
    table
        The table that made the embeddings: an ``nn.Embedding``, a float tensor (vocabulary, width) or a
        ``Vocabulary``; a tuple of them for a tuple of inputs.
    strategy
        Rule that chooses the next word among the nearest ones: ``"greedy"`` takes the word that needs the smallest
        change to be monotonic, ``"maxcount"`` the word that is monotonic in the most dimensions.
    n_neighbors
        Number of nearest words to choose from.

    Raises
    ------
    SaliencyError
        If an argument is not one of these.

    References
    ----------
    Sanyal and Ren, "Discretized integrated gradients for explaining language models", EMNLP, 2021,
    arXiv:2108.13654.

    Examples
    --------
    >>> import torch
    >>> table = torch.arange(5.0)[:, None]
    >>> square = DiscretizedIntegratedGradients(lambda e: (e**2).sum(dim=(1, 2)), table)
    >>> square.attribute(torch.tensor([[[4.0]]]), n_steps=3)  # over 0, 1, 2, 3
    tensor([[[12.]]])
    """

    def __init__(
        self,
        forward_func: Callable[..., Tensor],
        table: Tables,
        *,
        strategy: Strategy = "greedy",
        n_neighbors: int = 500,
    ) -> None:
        PathAttribution.__init__(self, forward_func)
        self.strategy = check_strategy(strategy)
        self.n_neighbors = whole(n_neighbors, "n_neighbors")
        tables = table if isinstance(table, tuple) else (table,)
        self.tables = [entry if isinstance(entry, Vocabulary) else Vocabulary(entry) for entry in tables]
        for entry in self.tables:
            entry.check()

    @log_usage(part_of_slo=True)  # type: ignore[untyped-decorator]
    def attribute(
        self,
        inputs: Float[Tensor, "batch *_ width"] | tuple[Float[Tensor, "batch *_ _"], ...],
        baselines: Any = None,
        target: Any = None,
        additional_forward_args: Any = None,
        n_steps: int = 30,
        factor: int = 0,
        method: Rule = "riemann_left",
        internal_batch_size: int | None = None,
        return_convergence_delta: bool = False,
    ) -> Any:
        """Attribute the score to each element of each token.

        Parameters
        ----------
        inputs
            Embeddings, (batch, tokens, width), or a tuple of them, one per stream.
        baselines
            The start of the paths, in any form that Captum takes: a tensor like the inputs or with one row for
            all, or a number; a tuple of these for a tuple of inputs; None means 0.
        target
            The score to explain in each row, in any form that Captum takes; None if there is only one.
        additional_forward_args
            Arguments of ``forward_func`` after the embeddings; a tuple if there are several. Tensors have a row
            for each row of the inputs.
        n_steps
            Number of words on each token's path.
        factor
            How many times every stretch of the path is halved.
        method
            ``"riemann_left"`` multiplies each stretch by the gradient at its beginning, as the article does;
            ``"trapezoid"`` by the mean of the gradients at its two ends.
        internal_batch_size
            The largest number of rows in one call of ``forward_func``; None for all.
        return_convergence_delta
            Whether to return the convergence delta as well.

        Returns
        -------
        Any
            Attributions in the form of the inputs, in float64 for float64 inputs and otherwise in float32. With the
            delta, a pair of these and a tensor (batch,).

        Raises
        ------
        SaliencyError
            If the inputs are not embeddings or do not fit the tables, baselines or arguments do not fit them, or
            the score does not depend on the inputs.
        """
        n_steps, factor = whole(n_steps, "n_steps"), check_factor(factor)
        method = check_rule(method, "method")
        check_internal_batch_size(internal_batch_size)
        with autograd():
            streams = streams_of(inputs)
            score = RowScores.of(self.forward_func, streams, target, additional_forward_args)
            paths = self._paths(streams, baselines_of(baselines, streams), n_steps, factor)
            size = internal_batch_size or len(streams[0]) * paths[0].steps
            sums, starts, ends = _sums(score, paths, len(streams[0]), size, method)
            attributions = _format_output(isinstance(inputs, tuple), sums)
            if not return_convergence_delta:
                return attributions
            if method == "riemann_left":
                every = torch.arange(len(starts), device=starts.device)
                ends = score.in_parts(streams, every, size).to(starts)
            total = torch.stack([stream.flatten(1).sum(1) for stream in sums]).sum(0)
            return attributions, total - (ends - starts)

    def _paths(
        self, streams: Sequence[Tensor], baselines: Sequence[Tensor], n_steps: int, factor: int
    ) -> list[_Paths]:
        if len(self.tables) != len(streams):
            raise SaliencyError(
                f"{len(self.tables)} table(s) for {len(streams)} tensor(s) of embeddings: pass one table for "
                "each, such as DiscretizedIntegratedGradients(forward_func, (table, table)).attribute((embeds, "
                "embeds))."
            )
        return [
            _Paths.of(
                table, x, x0, factor, n_steps=n_steps, strategy=self.strategy, n_neighbors=self.n_neighbors
            )
            for table, x, x0 in zip(self.tables, streams, baselines, strict=True)
        ]


@dataclass(frozen=True)
class _Paths:
    """The points between the baselines and the tokens of a stream; equal pairs share a path."""

    points: Float[Tensor, "paths points width"]
    index: Int[Tensor, "batch ..."]
    dtype: torch.dtype

    @classmethod
    def of(
        cls,
        table: Vocabulary,
        inputs: Float[Tensor, "batch *tokens width"],
        baselines: Float[Tensor, "batch *tokens width"],
        factor: int,
        **options: Any,
    ) -> _Paths:
        """Build the paths of a stream, with every stretch halved ``factor`` times."""
        width = table.width(inputs)
        dtype = torch.promote_types(inputs.dtype, torch.float32)
        both = torch.cat([inputs.reshape(-1, width), baselines.reshape(-1, width)], dim=1).to(dtype)
        pairs, index = torch.unique(both, dim=0, return_inverse=True)
        points = word_paths(table.check(), pairs[:, :width], pairs[:, width:], **options)
        for _ in range(factor):
            middles = (points[:, :-1] + points[:, 1:]) / 2
            halved = torch.stack([points[:, :-1], middles], dim=2).flatten(1, 2)
            points = torch.cat([halved, points[:, -1:]], dim=1)
        return cls(points, index.reshape(inputs.shape[:-1]), inputs.dtype)

    @property
    def steps(self) -> int:
        return self.points.shape[1] - 1

    def at(
        self, rows: Int[Tensor, " copies"], step: Int[Tensor, " copies"]
    ) -> Float[Tensor, "copies *tokens width"]:
        """Return each row's points after ``step`` steps."""
        index = self.index[rows.to(self.index.device)]
        return self.points[index, step.to(index.device).reshape(-1, *[1] * (index.dim() - 1))]


def _sums(
    score: RowScores, paths: Sequence[_Paths], batch: int, size: int, method: Rule
) -> tuple[tuple[Float[Tensor, "batch ..."], ...], Float[Tensor, " batch"], Float[Tensor, " batch"]]:
    """Sum gradients times steps, one tensor per stream; also return the scores at the first and the last point."""
    device, steps = paths[0].points.device, paths[0].steps
    dtype = functools.reduce(torch.promote_types, [path.points.dtype for path in paths])
    sums = tuple(path.points.new_zeros(*path.index.shape, path.points.shape[-1]) for path in paths)
    starts, ends = torch.zeros(2, batch, dtype=dtype, device=device)
    count = steps if method == "riemann_left" else steps + 1
    for copies in torch.split(torch.arange(batch * count, device=device), size):
        rows, step = copies // count, copies % count
        points = [path.at(rows, step) for path in paths]
        embeds = tuple(point.to(path.dtype) for point, path in zip(points, paths, strict=True))
        gradients, scores = score.gradients(embeds, rows)
        starts[rows[step == 0]] = scores[step == 0].to(starts)
        ends[rows[step == count - 1]] = scores[step == count - 1].to(ends)
        for total, gradient, path, point in zip(sums, gradients, paths, points, strict=True):
            moved = path.at(rows, (step + 1).clamp(max=steps)) - point
            if method == "trapezoid":  # half of the stretches on both sides
                moved = (moved + point - path.at(rows, (step - 1).clamp(min=0))) / 2
            total.index_add_(0, rows.to(total.device), gradient.to(moved) * moved)
    return sums, starts, ends


def check_rule(rule: object, name: str) -> Rule:
    """Return a rule of integration by its name."""
    chosen: Rule = one_of(rule, get_args(Rule), name)
    return chosen


def check_factor(factor: object) -> int:
    """Check the number of times that every stretch of the path is halved."""
    return whole(factor, "factor", least=0)
