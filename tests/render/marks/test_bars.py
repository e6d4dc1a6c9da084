from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from handmade import (
    PIECES,
    filled,
    frames,
    outside,
    overlapping,
    pair,
    panels,
    rules,
    saliency_map,
    strings,
    with_scores,
)

from hf_saliency.errors import SaliencyError
from hf_saliency.maps.fields import TargetRow
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.render.colors import Colors, decimals
from hf_saliency.render.figure import figure
from hf_saliency.render.marks import Bars, Divisible, Mark

SHORT = "one two three four"
SIGNED = with_scores(replace(saliency_map(SHORT, targets=[2]), signed=True), [[1.0, -0.5, 0.25, -1.0]])


@pytest.mark.parametrize("vertical", [False, True])
@pytest.mark.parametrize("signed", [False, True])
def test_bars_have_the_colour_and_the_length_of_their_score(vertical: bool, signed: bool) -> None:
    one = saliency_map(SHORT, targets=[0, 3], signed=signed)
    ax = panels(figure(one, Bars(vertical=vertical), width=3.25))[0]
    colors = Colors.of([one])
    values = colors.values(one)
    drawn = filled(ax)
    lengths = np.array([box[3] if vertical else box[2] for box, _ in drawn])
    found = {round(length, 6): color for length, (_, color) in zip(lengths, drawn, strict=True)}
    unit = lengths.max() / np.abs(values).max()
    assert len(drawn) == values.size
    for value in values.flat:
        near = min(found, key=lambda length: abs(length - abs(value) * unit))
        assert near == pytest.approx(abs(value) * unit, abs=1e-6)
        np.testing.assert_allclose(found[near], colors.fill(np.array([value]))[0])


def test_lying_bars_stand_in_reading_order_and_begin_at_zero() -> None:
    ax = panels(figure(SIGNED, Bars(), width=3.25))[0]
    boxes = [box for box, _ in filled(ax)]
    assert [y for _, y, _, _ in boxes] == sorted(y for _, y, _, _ in boxes)
    zero = boxes[0][0]
    assert boxes[2][0] == pytest.approx(zero)
    for x, _, width, _ in (boxes[1], boxes[3]):
        assert x + width == pytest.approx(zero)
    assert [s for s in strings(figure(SIGNED, Bars(), width=3.25)) if s in SHORT.split()][1:] == SHORT.split()


@pytest.mark.parametrize("vertical", [False, True])
def test_bars_by_size_stand_from_the_strongest_of_any_target_to_the_weakest(vertical: bool) -> None:
    # The largest magnitudes in any target are 0.3, 0.4, 1 and 1.
    scores = [[0.1, -0.4, 0.2, 1.0], [0.3, 0.2, -1.0, 0.5]]
    one = with_scores(replace(saliency_map(SHORT, targets=[0, 3]), signed=True), scores)
    fig = figure(one, Bars(vertical=vertical, sort="size"), width=3.25)
    axis = [text for text in strings(fig) if text in SHORT.split()][-4:]
    assert axis == ["three", "four", "two", "one"]
    places = [fig.box(column).x0 if vertical else -fig.box(column).y1 for column in range(4)]
    assert places == sorted(places)
    long = 3 if vertical else 2
    drawn = [box[long] for box, _ in filled(panels(fig)[0])]
    expected = np.abs(np.array(scores)[:, [2, 3, 1, 0]])
    lengths = np.sort(drawn) / max(drawn)
    np.testing.assert_allclose(lengths, np.sort(expected.ravel()), atol=1e-6)
    assert overlapping(fig) == outside(fig) == []
    fewer = figure(one, Bars(vertical=vertical, sort="size", top=2), width=3.25)
    assert [text for text in strings(fewer) if text in SHORT.split()][-2:] == ["three", "four"]
    assert "the 2 strongest of 4 tokens" in strings(fewer)


def test_standing_bars_stand_in_reading_order_and_begin_at_zero() -> None:
    ax = panels(figure(SIGNED, Bars(vertical=True), width=3.25))[0]
    boxes = sorted(box for box, _ in filled(ax))
    zero = boxes[0][1] + boxes[0][3]
    assert boxes[2][1] + boxes[2][3] == pytest.approx(zero)
    for _, y, _, height in (boxes[1], boxes[3]):
        assert y == pytest.approx(zero)
        assert height > 0


def test_nothing_lies_below_zero_if_no_score_does() -> None:
    positive = replace(SIGNED, scores=np.abs(SIGNED.scores))
    first, second = (
        max(width for (_, _, width, _), _ in filled(panels(figure(one, Bars(), width=3.25))[0]))
        for one in (SIGNED, positive)
    )
    assert second == pytest.approx(2 * first)


def test_the_strongest_stay_in_reading_order_and_it_is_said() -> None:
    one = with_scores(saliency_map(SHORT, targets=[0, 1]), [[1.0, 0.0, 2.0, 0.0], [0.0, 0.0, 3.0, 30.0]])
    drawn = strings(figure(one, Bars(top=3), width=3.25))
    labels = [s for s in drawn if s in SHORT.split()]
    assert labels[2:] == ["one", "three", "four"]  # after the names of the targets
    assert "the 3 strongest of 4 tokens" in drawn
    assert Bars(top=3).shown(Bars(top=3).shown(one)) == Bars(top=3).shown(one)
    assert "strongest" not in " ".join(strings(figure(one, Bars(top=4), width=3.25)))


def test_target_token_has_a_frame_in_its_own_field() -> None:
    one = saliency_map(SHORT, targets=[0, 2])
    for vertical in (False, True):
        ax = panels(figure(one, Bars(vertical=vertical), width=3.25))[0]
        first, second = frames(ax)
        assert first[0] < second[0]
        assert first[1] < second[1]


@pytest.mark.parametrize("vertical", [False, True])
def test_numbers_and_the_axis_exclude_each_other(vertical: bool) -> None:
    with_values = strings(figure(SIGNED, Bars(values=True, vertical=vertical, predictions=0), width=3.25))
    assert {decimals(v) for v in (1.0, -0.5, 0.25, -1.0)} <= set(with_values)
    without = strings(figure(SIGNED, Bars(vertical=vertical, predictions=0), width=3.25))
    assert without.count("0") == 2  # the axis and the legend
    assert with_values.count("0") == 1


@pytest.mark.parametrize("vertical", [False, True])
def test_scores_that_are_not_finite_are_hatched_and_named(vertical: bool) -> None:
    one = with_scores(saliency_map(SHORT, targets=[0]), [[1.0, np.nan, 0.5, 0.2]])
    fig = figure(one, Bars(vertical=vertical, values=True), width=3.25)
    assert len(filled(panels(fig)[0], "not-finite")) == 1
    assert strings(fig).count("NaN") == 2  # at the bar and in the legend


@pytest.mark.parametrize("mark", [Bars(), Bars(vertical=True), Bars(words=True, special=True, top=5)])
@pytest.mark.parametrize("width", [3.25, 6.75])
def test_nothing_overlaps_or_leaves_the_canvas(mark: Bars, width: float) -> None:
    one = saliency_map(targets=[3, 5], special=True, signed=True, split=PIECES)
    fig = figure(one, mark, width=width)
    assert overlapping(fig) == []
    assert outside(fig) == []


def test_lying_bars_of_two_texts_have_a_rule_between_them_and_a_frame_at_each_token() -> None:
    ax = panels(figure(pair(text_names=()), Bars(), width=3.25))[0]
    boxes = [box for box, _ in filled(ax)]
    below = [later[1] - earlier[1] - earlier[3] for earlier, later in itertools.pairwise(boxes)]
    assert below[0] == pytest.approx(below[2])
    assert below[1] == pytest.approx(below[0] + 5.0)
    ((start, end),) = rules(ax, "part")
    assert start[1] == end[1]
    assert boxes[1][1] + boxes[1][3] < start[1] < boxes[2][1]
    assert len(frames(ax)) == 2
    for box, (_, y, _, height) in zip(boxes[2:], frames(ax), strict=True):
        assert y < box[1] < box[1] + box[3] < y + height


def test_standing_bars_of_two_texts_have_a_gap_between_them_and_a_frame_at_each_token() -> None:
    ax = panels(figure(pair(text_names=()), Bars(vertical=True), width=3.25))[0]
    boxes = sorted(box for box, _ in filled(ax))
    between = [later[0] - earlier[0] - earlier[2] for earlier, later in itertools.pairwise(boxes)]
    assert between[0] == pytest.approx(between[2])
    assert between[1] == pytest.approx(between[0] + 5.0)
    assert len(frames(ax)) == 2
    for box, (x, _, width, _) in zip(boxes[2:], sorted(frames(ax)), strict=True):
        assert x < box[0] < box[0] + box[2] < x + width


def words_of(one: SaliencyMap, mark: Bars) -> tuple[list[str], str]:
    """Return the labels of the bars, and the notes on texts or tokens that are left out."""
    drawn = strings(figure(one, mark, width=3.25))
    notes = [text for text in drawn if "left out" in text or "strongest" in text]
    return [text for text in drawn if text in ("one", "two", "six", "ten")], " ".join(notes)


@pytest.mark.parametrize("vertical", [False, True])
def test_a_text_of_zeros_without_a_target_is_left_out_and_it_is_said(vertical: bool) -> None:
    label, scores = TargetRow("label", None, 1.0), np.array([[0.0, 0.0, 0.75, 0.0]])
    zero, bars = pair(targets=(label,), scores=scores), Bars(vertical=vertical)
    assert words_of(zero, bars) == (["six", "ten"], "1 text is left out: all scores there are 0")
    assert bars.shown(bars.shown(zero)) == bars.shown(zero)
    read = replace(label, position=0)
    assert words_of(replace(zero, targets=(read,)), bars) == (["one", "two", "six", "ten"], "")
    broken = replace(zero, scores=np.array([[np.nan, 0.0, 0.75, 0.0]]))
    assert words_of(broken, bars) == (["one", "two", "six", "ten"], "")
    nothing = replace(zero, scores=np.zeros((1, 4)))
    assert words_of(nothing, bars) == (["one", "two", "six", "ten"], "")
    top = Bars(vertical=vertical, top=1)
    assert words_of(zero, top) == (["six"], "the 1 strongest of 4 tokens")


def test_labels_that_have_no_room_are_left_out_and_it_is_said() -> None:
    one = saliency_map(" ".join(f"w{i}" for i in range(90)), targets=[3])
    fig = figure(one, Bars(vertical=True), width=3.25)
    assert "every 2nd token is labelled" in strings(fig)
    assert overlapping(fig) == []


def test_too_narrow_says_the_smallest_width() -> None:
    one = saliency_map(targets=range(9))
    bars = {"readable bars": Bars(), "vertical bars with numbers above": Bars(vertical=True, values=True)}
    for what, mark in bars.items():
        with pytest.raises(
            SaliencyError, match=f"is too narrow for .*{what}.*: the smallest width is"
        ) as error:
            figure(one, mark, width=2.0)
        figure(one, mark, width=float(str(error.value).split("width=")[1].rstrip(").")))


def test_bars_are_values_and_divisible() -> None:
    assert Bars(top=np.int64(3)) == Bars(top=3)
    assert isinstance(Bars(), Mark)
    assert isinstance(Bars(), Divisible)
    for top in (0, -1, 1.5, True, "ten"):
        with pytest.raises(SaliencyError, match=r"top=.*at least 1"):
            Bars(top=top)  # type: ignore[arg-type]
