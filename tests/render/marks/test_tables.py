"""Marks that draw tables: the places of their dots, bars and bands, and their texts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from handmade import outside, overlapping, rules, saliency_map, strings
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hf_saliency.errors import SaliencyError
from hf_saliency.maps.summarize import summarize
from hf_saliency.maps.table import Table
from hf_saliency.render.figure import figure, measure
from hf_saliency.render.marks import Agreements, Curves, Dots, Highlight, Profile, Ranking

WORDS = ["tea", "hot", "drank", "she"]
RANKED = Table(
    {
        "label": WORDS,
        "value": [0.2, 0.4, 0.1, 0.0],
        "low": [0.1, 0.3, 0.0, np.nan],
        "high": [0.3, 0.5, 0.2, np.nan],
    },
    "mean share of the row",
    {"n": 12, "interval": "95 % bootstrap interval"},
)
PROFILE = Table(
    {
        "position": [-2, -1, 0, 1, -1, 0],
        "value": [0.1, 0.2, 0.4, 0.2, 0.3, 0.1],
        "low": [0.0, 0.1, 0.3, np.nan, 0.2, 0.0],
        "high": [0.2, 0.3, 0.5, np.nan, 0.4, 0.2],
        "group": ["norm"] * 4 + ["lime"] * 2,
    },
    "mean share of the row",
)
CURVES = Table(
    {
        "x": [0.0, 0.5, 1.0] * 2,
        "value": [0.9, 0.4, 0.1, 0.9, 0.7, 0.5],
        "group": ["norm"] * 3 + ["random"] * 3,
    },
    "probability",
    {"x": "share removed"},
)
PAIRS = Table(
    {"first": ["a", "a", "b"], "second": ["b", "c", "c"], "value": [0.5, -0.25, 1.0]},
    "Spearman’s ρ",
    {"n": 9},
)
METRICS = Table(
    {
        "label": ["norm", "lime"] * 2,
        "group": ["sufficiency"] * 2 + ["sensitivity"] * 2,
        "value": [0.1, 0.9, 3.0, 4.0],
    },
)
DRAWN = [
    (RANKED, Ranking()),
    (PROFILE, Profile()),
    (CURVES, Curves()),
    (PAIRS, Agreements()),
    (METRICS, Dots()),
]


def drawing(fig: Figure) -> Axes:
    (ax,) = fig.axes
    return ax


def dots(ax: Axes) -> list[tuple[float, float]]:
    lines = [line for line in ax.findobj(Line2D) if line.get_gid() == "dot"]
    return [(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in lines]


def bars(ax: Axes) -> list[Any]:
    return [c.get_paths()[0].get_extents() for c in ax.collections if c.get_gid() == "bar"]


@pytest.mark.parametrize(("table", "mark"), DRAWN)
@pytest.mark.parametrize("width", [3.03, 6.3, "slide"])
def test_nothing_overlaps_and_nothing_leaves_the_canvas(table: Table, mark: Any, width: Any) -> None:
    fig = figure(table, mark, width=width)
    assert overlapping(fig) == []
    assert outside(fig) == []


@pytest.mark.parametrize(("table", "mark"), DRAWN)
def test_the_columns_decide_the_mark(table: Table, mark: Any) -> None:
    chosen, named = figure(table, width=4.0), figure(table, mark, width=4.0)
    assert strings(chosen) == strings(named)
    assert measure(table, width=4.0)[0] == 4.0


def test_a_ranking_is_in_order_and_its_bars_are_as_long_as_their_values() -> None:
    ax = drawing(figure(RANKED, Ranking(), width=4.0))
    drawn = bars(ax)
    lengths = np.array([bar.width for bar in drawn])
    np.testing.assert_allclose(lengths / lengths[0], np.array([0.4, 0.2, 0.1, 0.0]) / 0.4, atol=1e-6)
    shown = [text for text in strings(ax.figure) if text in WORDS]
    assert shown == ["hot", "tea", "drank", "she"]
    assert len([c for c in ax.collections if c.get_gid() == "interval"]) == 3
    assert "n = 12, lines: 95 % bootstrap interval" in strings(ax.figure)


def test_averages_of_maps_are_drawn_with_the_level_of_their_intervals() -> None:
    averages = summarize([saliency_map(), saliency_map()], by="word", confidence=0.9)
    assert any("90 % interval" in text for text in strings(figure(averages, Ranking())))


def test_a_profile_counts_whole_tokens_and_breaks_at_a_target_that_is_left_out() -> None:
    places = [-3, -2, -1, 1, 2]
    ax = drawing(
        figure(Table({"position": places, "value": [0.1, 0.2, 0.3, 0.4, 0.1]}), Profile(), width=3.25)
    )
    (line,) = [line for line in ax.findobj(Line2D) if line.get_gid() == "line"]
    assert np.isnan(line.get_ydata()).tolist() == [False, False, False, True, False, False]
    assert not any(".5" in text and text.startswith(("−", "1", "2")) for text in strings(ax.figure))
    assert "−3" in strings(ax.figure)


def test_a_ranking_says_how_much_it_leaves_out() -> None:
    drawn = strings(figure(RANKED, Ranking(top=2), width=4.0))
    assert any(text.startswith("2 of 4 rows") for text in drawn)
    assert "she" not in drawn


def test_a_profile_has_its_target_in_the_middle_and_a_gap_where_nothing_is_known() -> None:
    ax = drawing(figure(PROFILE, width=4.0))
    places = dots(ax)
    (target,) = rules(ax, "target")
    assert target[0][0] == pytest.approx(places[2][0])
    # The largest value is the highest.
    assert places[2][1] < min(y for i, (_, y) in enumerate(places[:4]) if i != 2)
    bands = [patch for patch in ax.patches if patch.get_gid() == "band"]
    assert len(bands) == 2
    assert bands[0].get_path().get_extents().x1 == pytest.approx(places[2][0])


def test_the_random_curve_is_grey_and_every_curve_has_its_own_stroke() -> None:
    fig = figure(CURVES, width=4.0)
    lines = [line for line in drawing(fig).findobj(Line2D) if line.get_gid() == "line"]
    assert {"norm", "random", "share removed", "probability"} <= set(strings(fig))
    assert "#7a7a7a" in {line.get_color() for line in lines}
    assert len({str(line.get_linestyle()) for line in lines}) > 1


def test_a_pair_stands_on_both_sides_of_the_diagonal() -> None:
    fig = figure(PAIRS, width=4.0)
    drawn = strings(fig)
    assert [drawn.count(number) for number in ("0.50", "−0.25", "1.00")] == [2, 2, 2]
    cells = [c for c in drawing(fig).collections if c.get_gid() == "cells"]
    assert isinstance(cells[0], PathCollection)


def test_names_of_pairs_break_between_words() -> None:
    names = ["integrated gradients", "norm", "lime"]
    pairs = {
        "first": [names[0], names[0], "norm"],
        "second": ["norm", "lime", "lime"],
        "value": [0.5, 0.1, 0.2],
    }
    for width in (2.5, 3.5):  # with vertical labels, and with horizontal ones
        fig = figure(Table(pairs, "ρ"), Agreements(), width=width)
        shown = strings(fig)
        assert not any("…" in text for text in shown)
        assert shown.count("integrated") == 2 == shown.count("gradients")


def test_each_metric_has_an_axis_of_its_own() -> None:
    ax = drawing(figure(METRICS, width=6.0))
    places = dict(zip([(0, "a"), (0, "b"), (1, "a"), (1, "b")], dots(ax), strict=True))
    assert places[0, "a"][0] < places[0, "b"][0]
    assert places[1, "a"][0] < places[1, "b"][0]


@pytest.mark.parametrize(
    ("table", "mark", "message"),
    [
        (
            RANKED,
            Profile(),
            r"Profile\(\) draws the columns 'position', 'value'; this table has 'label', 'value'",
        ),
        (RANKED, Highlight(), r"cannot draw a table: choose Ranking\(\), Profile\(\)"),
        (RANKED, Ranking, "cannot draw a table"),
        (Table({"value": [1.0]}), None, "no mark draws a table of the columns 'value'"),
        (RANKED.select(slice(0, 0)), Ranking(), "this table has no rows"),
    ],
)
def test_tables_and_marks_that_do_not_fit_are_refused(table: Table, mark: Any, message: str) -> None:
    with pytest.raises(SaliencyError, match=message):
        figure(table, mark, width=4.0)


def test_a_mark_for_tables_draws_no_map() -> None:
    with pytest.raises(SaliencyError, match="is not a mark"):
        figure(saliency_map("a b", targets=[0]), Ranking(), width=4.0)


@pytest.mark.parametrize(("table", "mark"), DRAWN)
def test_tables_are_described(table: Table, mark: Any) -> None:
    fig = figure(table, mark, width=4.0)
    assert type(mark).__name__ in fig.description
    assert f"{len(table)} values" in fig.description


def test_methods_and_metrics_are_written_as_papers_write_them() -> None:
    names = ["attn_lrp", "lime", "checkpoint_2"]
    written = {"AttnLRP", "LIME", "checkpoint_2"}  # names that are no method stay unchanged
    values = [0.1, 0.2, 0.3]
    metrics = {"label": names, "value": values, "group": ["log_odds"] * 3, "better": ["lower"] * 3}
    for table, mark in (
        (Table(metrics), Dots()),
        (Table({key: metrics[key] for key in ("label", "value", "better")}), Ranking()),
        (Table({"first": names, "second": [*names[1:], names[0]], "value": values}), Agreements()),
        (Table({"x": [0.0, 1.0] * 3, "value": values * 2, "group": np.repeat(names, 2)}, "mean"), Curves()),
    ):
        shown = set(strings(figure(table, mark, width=6.0)))
        assert written <= shown
        assert not {"attn_lrp", "lime", "log_odds"} & shown
    assert "log odds" in strings(figure(Table(metrics), Dots(), width=6.0))
    words = Table({"label": ["lime", "tea"], "value": [0.2, 0.1]})
    assert "lime" in strings(figure(words, Ranking(), width=4.0))
