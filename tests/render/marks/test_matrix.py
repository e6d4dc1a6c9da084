from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from handmade import (
    SENTENCE,
    filled,
    frames,
    need_fonts,
    outside,
    overlapping,
    panels,
    saliency_map,
    strings,
    with_scores,
)

from hf_saliency.errors import SaliencyError
from hf_saliency.maps.fields import TargetRow
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.maps.spans import Token
from hf_saliency.render.colors import Colors
from hf_saliency.render.figure import figure
from hf_saliency.render.marks import Matrix
from hf_saliency.render.typeset.typeface import Typeface

BODY = Typeface("small")
WIDTH = 3.25 * 72


@pytest.mark.parametrize("width", [3.25, 6.75])
@pytest.mark.parametrize("signed", [False, True])
def test_matrix_gives_each_cell_its_colour(width: float, signed: bool) -> None:
    one = saliency_map(signed=signed)
    ax = panels(figure(one, Matrix(), width=width))[0]
    colors = Colors.of([one])
    drawn = np.array([color for _, color in filled(ax)]).reshape(*one.scores.shape, 4)
    np.testing.assert_allclose(drawn, colors.fill(colors.values(one)))


def test_cells_leave_no_gap_and_nothing_shows_through() -> None:
    one = saliency_map("a b c d", targets=[0, 1])
    ax = panels(figure(one, Matrix(), width=3.25))[0]
    boxes = np.array([box for box, _ in filled(ax)]).reshape(2, 4, 4)
    np.testing.assert_allclose(boxes[:, :-1, 0] + boxes[:, :-1, 2], boxes[:, 1:, 0])
    np.testing.assert_allclose(boxes[0, :, 1] + boxes[0, :, 3], boxes[1, :, 1])
    under = np.array([box for box, _ in filled(ax, "underlay")]).reshape(2, 4, 4)
    np.testing.assert_allclose(under[:, :-1, 2] - boxes[:, :-1, 2], 0.5)
    np.testing.assert_allclose(under[:, -1], np.where([0, 0, 0, 1], under[:, -1], boxes[:, -1]))


def test_each_row_has_a_frame_where_it_is_read() -> None:
    one = saliency_map("a b c d", targets=[2, 0])
    ax = panels(figure(one, Matrix(), width=3.25))[0]
    boxes = np.array([box for box, _ in filled(ax)]).reshape(2, 4, 4)
    np.testing.assert_allclose(frames(ax), [boxes[0, 2], boxes[1, 0]])


def test_row_that_is_read_at_a_hidden_token_stays() -> None:
    one = saliency_map("a b", special=True, targets=[0])
    first = replace(one, targets=(replace(one.targets[0], position=0, masked=False),))
    ax = panels(figure(first, Matrix(), width=3.25))[0]
    assert len(filled(ax)) == 2
    assert frames(ax) == []


def test_every_label_is_there_and_none_touch() -> None:
    one = saliency_map()
    for width in (3.25, 6.75):
        fig = figure(one, Matrix(), width=width)
        assert [s for s in strings(fig) if s in one.labels] == [*one.labels, *one.labels]
        assert overlapping(fig) == []


def test_labels_are_thinned_out_only_if_they_must_be() -> None:
    one = saliency_map(" ".join(f"w{i}" for i in range(90)))
    fig = figure(one, Matrix(), width=3.25)
    assert "every 2nd token and target is labelled" in strings(fig)
    assert [s for s in strings(fig) if s.startswith("w")] == 2 * [f"w{i}" for i in range(0, 90, 2)]
    assert overlapping(fig) == []


def test_a_matrix_of_few_rows_is_divided_before_labels_are_left_out() -> None:
    one = saliency_map(" ".join(f"w{i}" for i in range(90)), targets=[3, 80])
    fig = figure(one, Matrix(), width=3.25)
    # A label for the column, and one for the row in each band.
    assert [s for s in strings(fig) if s.startswith("w")].count("w3") == 4
    assert {f"w{i}" for i in range(90)} <= set(strings(fig))
    assert not any("labelled" in text for text in strings(fig))
    assert overlapping(fig) == outside(fig) == []
    (ax,) = panels(fig)
    boxes = filled(ax)
    colors = Colors.of([one])
    expected = np.concatenate([colors.fill(colors.values(one))[:, k : k + 30] for k in (0, 30, 60)])
    np.testing.assert_allclose([color for _, color in boxes], expected.reshape(-1, 4))
    assert len({round(box[2], 6) for box, _ in boxes}) == 1  # all cells have one width
    assert fig.box("w80", target=1).y0 < fig.box("w3", target=1).y0
    assert [round(frame[0], 3) for frame in frames(ax)] == [
        round(boxes[3][0][0], 3),
        round(boxes[-10][0][0], 3),
    ]


def test_a_matrix_of_few_rows_is_divided_before_its_labels_are_small() -> None:
    text = "👩🏽 said " + " ".join(f"w{i}" for i in range(40))
    need_fonts(text)
    few = saliency_map(text, targets=[3])
    fig = figure(few, Matrix(), width=3.03)
    labels = [t for t in panels(fig)[0].texts if t.get_text() in few.labels]
    assert len(labels) == 42 + 2  # the row has a label in each band
    assert min(t.get_fontsize() for t in labels) >= 6.0
    assert overlapping(fig) == outside(fig) == []
    # With 42 rows, two bands would be higher than wide; at 4.75 points, all labels fit.
    square = figure(saliency_map(text), Matrix(), width=3.03)
    assert len({round(frame[1]) for frame in frames(panels(square)[0])}) == 42
    asked = figure(few, Matrix(fontsize=5), width=3.25)  # labels are not enlarged, so one band is enough
    assert [t.get_text() for t in panels(asked)[0].texts].count("w1") == 2


def test_short_labels_lie_and_long_ones_stand() -> None:
    def rotations(text: str) -> set[float]:
        fig = figure(saliency_map(text, targets=[0]), Matrix(), width=3.25)
        return {t.get_rotation() for t in panels(fig)[0].texts}

    assert rotations("a b c d") == {0}
    assert rotations(SENTENCE) == {0, 90}


def test_values_are_printed_in_their_cells() -> None:
    one = with_scores(saliency_map("a b c", targets=[0]), [[1.0, 2.0, 4.0]])
    assert {"0.25", "0.50", "1.00"} <= set(strings(figure(one, Matrix(values=True), width=3.25)))
    large = figure(replace(one, scores=one.scores * 1000), Matrix(values=True), width=3.25, normalize="none")
    assert {"1000", "2000", "4000"} <= set(strings(large))
    gap = with_scores(saliency_map("a b c", targets=[0]), [[1.0, np.nan, -np.inf]])
    assert {"NaN", "−∞"} <= set(strings(figure(replace(gap, signed=True), Matrix(values=True), width=3.25)))


def test_values_stay_inside_their_cells() -> None:
    one = saliency_map(targets=[0, 1])
    fig = figure(one, Matrix(values=True), width=6.75)
    assert overlapping(fig) == []
    with pytest.raises(SaliencyError, match="35 columns with values in its cells: the smallest width is"):
        figure(one, Matrix(values=True), width=3.25)


def test_predictions_stand_beside_their_rows() -> None:
    one = saliency_map("of grammar", targets=[0, 1])
    drawn = strings(figure(one, Matrix(predictions=3), width=6.75))
    assert drawn.count("language") == drawn.count("0.60") == 2
    assert drawn.count("music") == 2
    assert "music" not in strings(figure(one, Matrix(predictions=1), width=6.75))
    assert "language" not in strings(figure(one, Matrix(), width=6.75))


def test_texts_of_a_pair_are_apart_and_all_tokens_of_a_target_have_frames() -> None:
    tokens = (Token("a", 0, 1), Token("b", 2, 3), Token("c", 0, 1, 1))
    row = TargetRow("a b", 0, 1.0, against="other words", positions=(0, 1))
    pair = SaliencyMap(("a b", "c"), tokens, (row,), np.array([[0.2, 0.6, 1.0]]), "saliency")
    drawn = figure(pair, Matrix(), width=3.25)
    first, second, third = (box for box, _ in filled(panels(drawn)[0]))
    assert first[0] + first[2] == pytest.approx(second[0])
    assert third[0] - (second[0] + second[2]) == pytest.approx(5.0)
    assert len(frames(panels(drawn)[0])) == 2
    assert "against" in " ".join(strings(drawn))
