"""DiscretizedIntegratedGradients and its word paths: closed forms, monotonicity, embedding tables, streams."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from hf_saliency.attribution.discretized import DiscretizedIntegratedGradients, word_paths
from hf_saliency.attribution.vocabulary import Vocabulary
from hf_saliency.errors import SaliencyError

LINE = torch.arange(6, dtype=torch.float64)[:, None]  # words at 0, 1, 2, 3, 4, 5


def path(token: float, baseline: float, n_steps: int, **options: object) -> list[float]:
    given = {"strategy": "greedy", "n_neighbors": 5, **options}
    ends = [torch.tensor([[one]], dtype=torch.float64) for one in (token, baseline)]
    return word_paths(LINE, *ends, n_steps=n_steps, **given)[0, :, 0].tolist()


def test_a_path_goes_from_word_to_word() -> None:
    assert path(4, 0, 3) == [0, 1, 2, 3, 4]
    assert path(0, 4, 3) == [4, 3, 2, 1, 0]


def test_where_no_word_is_left_it_ends_at_the_baseline() -> None:
    assert path(2, 0, 4, n_neighbors=1) == [0, 0, 0, 0, 1, 2]


def test_a_word_that_is_not_on_the_way_is_put_a_fraction_of_the_way() -> None:
    """The first step is from 2 to 1. The next word, 3, is behind: 1 - (1 - 0) / 3; then 4: 2/3 - (2/3 - 0) / 3."""
    assert path(2, 0, 3) == pytest.approx([0, 4 / 9, 2 / 3, 1, 2])


def test_maxcount_counts_dimensions_and_greedy_measures_them() -> None:
    """One of two nearby words is off the path by far in one dimension, the other slightly in two."""
    table = torch.tensor([[0.0, 0.0, 0.0], [9.0, 9.0, 9.0], [8.0, 8.0, 14.0], [8.0, 9.1, 9.1]]).double()
    ends = table[1:2], table[0:1]
    options = {"n_steps": 1, "n_neighbors": 3}
    (found,) = word_paths(table, *ends, strategy="maxcount", **options)
    assert found[1].tolist() == [8, 8, 0]
    (found,) = word_paths(table, *ends, strategy="greedy", **options)
    assert found[1].tolist() == [8, 0, 0]


@pytest.mark.parametrize("strategy", ["greedy", "maxcount"])
def test_paths_are_monotonic_in_every_dimension(strategy: str) -> None:
    table = torch.randn(40, 6, dtype=torch.float64)
    x, start = table[:10], torch.randn(10, 6, dtype=torch.float64)
    points = word_paths(table, x, start, n_steps=7, strategy=strategy, n_neighbors=12)
    assert points.shape == (10, 9, 6)
    assert torch.equal(points[:, 0], start)
    assert torch.equal(points[:, -1], x)
    ways = (points[:, 1:] - points[:, :-1]) * (x - start).sign()[:, None]
    assert (ways >= 0).all()
    assert (points[:, 1:-1] != start[:, None]).any()


def test_a_large_vocabulary_is_searched_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    table = torch.randn(50, 4, dtype=torch.float64)
    given = (table, table[:8], table[20:28])
    expected = word_paths(*given, n_steps=5, strategy="greedy", n_neighbors=9)
    monkeypatch.setattr("hf_saliency.attribution.discretized._TEMPORARY", 60)
    assert torch.equal(word_paths(*given, n_steps=5, strategy="greedy", n_neighbors=9), expected)


def test_a_square_on_the_line_is_summed_by_hand() -> None:
    def square(embeds: Tensor) -> Tensor:
        return (embeds**2).sum((1, 2))

    x = LINE[None, 4:5]
    method = DiscretizedIntegratedGradients(square, LINE)
    found, delta = method.attribute(x, n_steps=3, return_convergence_delta=True)
    assert found.item() == 0 + 2 + 4 + 6
    assert delta.item() == 12 - 16
    assert method.attribute(x, n_steps=3, factor=1).item() == sum(k / 2 for k in range(8))


def test_the_delta_falls_as_the_path_is_halved() -> None:
    table = torch.randn(40, 3, dtype=torch.float64)
    method = DiscretizedIntegratedGradients(lambda e: e.sin().prod(2).sum(1), table)
    deltas = [
        method.attribute(table[None, :5], factor=factor, return_convergence_delta=True)[1].abs().item()
        for factor in (3, 4, 5)
    ]
    assert deltas[0] / deltas[1] == pytest.approx(2, rel=0.1)
    assert deltas[1] / deltas[2] == pytest.approx(2, rel=0.1)


def test_a_scaled_embedding_walks_over_what_it_returns() -> None:
    class Scaled(nn.Embedding):
        def forward(self, ids: Tensor) -> Tensor:
            return super().forward(ids) * 3

    module = Scaled(12, 4).double()
    table = module(torch.arange(12)).detach()
    x = table[None, :5]
    start = table[None, [9] * 5]
    expected = DiscretizedIntegratedGradients(lambda e: e.prod(2).sum(1), table).attribute(x, start)
    for given in (module, Vocabulary(module)):
        found = DiscretizedIntegratedGradients(lambda e: e.prod(2).sum(1), given).attribute(x, start)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_each_stream_walks_over_its_own_table() -> None:
    tables = torch.randn(9, 2, dtype=torch.float64), torch.randn(7, 3, dtype=torch.float64)
    first, second = tables[0][:4].reshape(2, 2, 2), tables[1][:6].reshape(2, 3, 3)

    def separate(e: Tensor, f: Tensor) -> Tensor:
        return e.sum((1, 2)).tanh() + f.prod(2).sum(1)

    found = DiscretizedIntegratedGradients(separate, tables).attribute((first, second))
    alone = DiscretizedIntegratedGradients(lambda e: e.sum((1, 2)).tanh(), tables[0]).attribute(first)
    torch.testing.assert_close(found[0], alone, rtol=1e-12, atol=1e-12)
    alone = DiscretizedIntegratedGradients(lambda f: f.prod(2).sum(1), tables[1]).attribute(second)
    torch.testing.assert_close(found[1], alone, rtol=1e-12, atol=1e-12)
    assert min(one.abs().max() for one in found) > 1e-3


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize(
    ("build", "call", "message"),
    [
        ({"strategy": "best"}, {}, "strategy='best': choose one of 'greedy', 'maxcount'"),
        ({"n_neighbors": 0}, {}, "n_neighbors=0"),
        ({}, {"n_steps": 0}, "n_steps=0"),
        ({}, {"factor": -1}, "factor=-1: give a whole number of at least 0"),
        ({"table": torch.ones(5)}, {}, "not an embedding table"),
        ({"table": torch.ones(5, 7)}, {}, "embeddings are 2 wide, but their table is 7 wide"),
        ({"table": (torch.ones(5, 2),) * 2}, {}, r"2 table\(s\) for 1 tensor"),
    ],
)
def test_what_does_not_exist_is_refused(build: dict, call: dict, message: str) -> None:
    with pytest.raises(SaliencyError, match=message):
        DiscretizedIntegratedGradients(
            lambda e: e.sum((1, 2)), **{"table": torch.eye(5, 2), **build}
        ).attribute(torch.ones(1, 3, 2), **call)


def test_a_table_of_one_word_leads_straight_to_the_baseline() -> None:
    (found,) = word_paths(LINE[:1], LINE[3:4], LINE[:1], n_steps=2, strategy="greedy", n_neighbors=5)
    assert found[:, 0].tolist() == [0, 0, 0, 3]
    assert math.isfinite(found.sum())
