"""Each attribution method written from its paper: one row at a time, in loops, without code of the package."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

Scalar = Callable[[Tensor], Tensor]  # from the embeddings (tokens, width) of one text to its score


def scalar(model: nn.Module, ids: Sequence[int], position: int, class_id: int) -> Scalar:
    """The logit of a class at a position, as a function of the embedding module's output."""

    def score(embeds: Tensor) -> Tensor:
        def put(module: nn.Module, arguments: object, output: Tensor) -> Tensor:
            return torch.cat([embeds[None], output[:, len(ids) :]], dim=1)

        hook = model.get_input_embeddings().register_forward_hook(put)
        inputs = {"input_ids": torch.tensor([list(ids)])}
        if "attention_mask" in inspect.signature(model.forward).parameters:
            inputs["attention_mask"] = torch.ones(1, len(ids), dtype=torch.long)
        try:
            return model(**inputs)[0][0, position, class_id]
        finally:
            hook.remove()

    return score


def gradient(score: Scalar, embeds: Tensor) -> Tensor:
    leaf = embeds.detach().clone().requires_grad_()
    return torch.autograd.grad(score(leaf), leaf)[0]


def integrated_gradients(score: Scalar, embeds: Tensor, baseline: Tensor, n_steps: int) -> Tensor:
    """(tokens, width): the attributions, by Gauss-Legendre quadrature."""
    nodes, weights = np.polynomial.legendre.leggauss(n_steps)
    total = torch.zeros_like(embeds)
    for node, weight in zip(nodes, weights, strict=True):
        total += weight / 2 * gradient(score, baseline + (node + 1) / 2 * (embeds - baseline))
    return total * (embeds - baseline)


def sequential_integrated_gradients(score: Scalar, embeds: Tensor, baseline: Tensor, n_steps: int) -> Tensor:
    rows = []
    for i in range(len(embeds)):
        start = embeds.clone()
        start[i] = baseline[i]
        rows.append(integrated_gradients(score, embeds, start, n_steps)[i])
    return torch.stack(rows)


def monotonic(start: Tensor, end: Tensor, point: Tensor) -> list[bool]:
    """Whether a point lies between start and end, for each dimension."""
    return [
        min(a, b) <= c <= max(a, b)
        for a, b, c in zip(start.tolist(), end.tolist(), point.tolist(), strict=True)
    ]


def word_path(
    table: Tensor, token: Tensor, baseline: Tensor, n_steps: int, strategy: str, n_neighbors: int
) -> list[Tensor]:
    """The path from the token to the baseline, as in the paper and the published code of Sanyal and Ren (2021)."""

    def toward(end: Tensor, point: Tensor) -> Tensor:
        inside = monotonic(baseline, end, point)
        return torch.stack(
            [
                p if i else e - (e - b) / n_steps
                for i, p, e, b in zip(inside, point, end, baseline, strict=True)
            ]
        )

    def word(vector: Tensor) -> int | None:
        return next((i for i, row in enumerate(table) if torch.equal(row, vector)), None)

    ids, current, points = [word(token)], token, [token]
    for _ in range(n_steps):
        order = sorted(range(len(table)), key=lambda i: float((table[i] - current).norm()))
        near = [i for i in order if i != ids[-1]][:n_neighbors]
        costs = {}
        for i in near:
            if i not in ids and i != word(baseline):
                inside = monotonic(baseline, current, table[i])
                greedy = float((table[i] - toward(current, table[i])).norm())
                costs[i] = greedy if strategy == "greedy" else -sum(inside)
        if costs and not torch.equal(current, baseline):
            ids.append(min(costs, key=costs.__getitem__))
            current = table[ids[-1]]
        else:
            ids.append(word(baseline))
            current = baseline
        points.append(toward(points[-1], current))
    return [*points, baseline]


def discretized_integrated_gradients(
    score: Scalar,
    embeds: Tensor,
    baseline: Tensor,
    table: Tensor,
    n_steps: int,
    strategy: str,
    n_neighbors: int,
    factor: int,
    rule: str = "riemann_left",
) -> Tensor:
    """(tokens, width): the sum over the tokens' paths, which all move at once."""
    paths = [
        word_path(table, token, start, n_steps, strategy, n_neighbors)
        for token, start in zip(embeds, baseline, strict=True)
    ]
    points = [torch.stack([path[k] for path in paths]) for k in reversed(range(n_steps + 2))]
    for _ in range(factor):
        halved = [points[0]]
        for after in points[1:]:
            halved += [(halved[-1] + after) / 2, after]
        points = halved
    slopes = [gradient(score, point) for point in points]
    if rule == "trapezoid":
        slopes = [(a + b) / 2 for a, b in itertools.pairwise(slopes)]
    return sum(slope * (b - a) for slope, (a, b) in zip(slopes, itertools.pairwise(points), strict=False))


def removed(embeds: Tensor, baseline: Tensor, tokens: Sequence[int]) -> Tensor:
    left = embeds.clone()
    for i in tokens:
        left[i] = baseline[i]
    return left


def value(
    score: Scalar, embeds: Tensor, baseline: Tensor, features: Sequence[Sequence[int]], present
) -> float:
    """The score of the text with all absent features replaced by the baseline."""
    absent = [i for feature, there in zip(features, present, strict=True) if not there for i in feature]
    with torch.no_grad():
        return float(score(removed(embeds, baseline, absent)))


def occlusion(
    score: Scalar,
    embeds: Tensor,
    baseline: Tensor,
    features: Sequence[Sequence[int]],
    window: int,
    stride: int,
) -> np.ndarray:
    """(features,): the mean difference over all windows that cover a feature; the last window may be cut short."""
    count = len(features)
    window = min(window, count)
    starts = list(range(0, count - window + 1, stride))
    if starts[-1] + window < count:
        starts.append(starts[-1] + stride)  # may reach past the end
    differences: list[list[float]] = [[] for _ in features]
    whole = value(score, embeds, baseline, features, [True] * count)
    for start in starts:
        inside = [start <= i < start + window for i in range(count)]
        difference = whole - value(score, embeds, baseline, features, [not i for i in inside])
        for i in range(count):
            if inside[i]:
                differences[i].append(difference)
    return np.array([np.mean(one) for one in differences])


def shapley(
    score: Scalar,
    embeds: Tensor,
    baseline: Tensor,
    features: Sequence[Sequence[int]],
    orders: Sequence[Sequence[int]],
) -> np.ndarray:
    """(features,): the mean change of the score when the feature joins those before it, over the given orders."""
    totals = np.zeros(len(features))
    for order in orders:
        present = [False] * len(features)
        before = value(score, embeds, baseline, features, present)
        for feature in order:
            present[feature] = True
            after = value(score, embeds, baseline, features, present)
            totals[feature] += after - before
            before = after
    return totals / len(orders)


def weighted_least_squares(masks: np.ndarray, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    design = np.column_stack([np.ones(len(masks)), masks])
    root = np.sqrt(weights)
    return np.linalg.lstsq(design * root[:, None], values * root, rcond=None)[0][1:]


def lasso(masks: np.ndarray, values: np.ndarray, weights: np.ndarray, alpha: float) -> np.ndarray:
    """Weighted Lasso with an intercept, by coordinate descent."""
    weights = weights / weights.sum()
    x = masks - weights @ masks
    y = values - weights @ values
    found = np.zeros(masks.shape[1])
    for _ in range(2000):
        for j in range(len(found)):
            rest = y - x @ found + x[:, j] * found[j]
            slope = weights @ (x[:, j] * rest)
            found[j] = np.sign(slope) * max(abs(slope) - alpha, 0) / (weights @ x[:, j] ** 2)
    return found
