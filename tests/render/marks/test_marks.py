from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from handmade import (
    PIECES,
    SENTENCE,
    filled,
    frames,
    of_spans,
    outside,
    overlapping,
    panels,
    saliency_map,
    strings,
    with_scores,
)

from hf_saliency.errors import SaliencyError
from hf_saliency.maps.fields import Prediction, TargetRow
from hf_saliency.render.colors import Colors, decimals, number, ordinal
from hf_saliency.render.figure import figure
from hf_saliency.render.marks import Arcs, Bars, Bipartite, Highlight, Mark, Matrix
from hf_saliency.render.typeset.typeface import Typeface

BODY = Typeface("small")
WIDTH = 3.25 * 72


def test_highlight_draws_the_words_of_the_text_in_order() -> None:
    one = saliency_map(split=PIECES, targets=[5], predictions=0)
    drawn = strings(figure(one, Highlight(), width=3.25))
    assert drawn[: len(SENTENCE.split())] == SENTENCE.split()


@pytest.mark.parametrize("signed", [False, True])
def test_highlight_gives_each_token_its_colour(signed: bool) -> None:
    one = saliency_map(targets=[5], signed=signed)
    ax = panels(figure(one, Highlight(), width=3.25))[0]
    colors = Colors.of([one])
    drawn = np.array([color for _, color in filled(ax)])
    np.testing.assert_allclose(drawn, colors.fill(colors.values(one))[0])


def test_pieces_of_a_word_touch_and_words_do_not() -> None:
    ax = panels(figure(of_spans("grammar is", (0, 4), (4, 7), (8, 10)), Highlight(), width=3.25))[0]
    (first, _), (second, _), (third, _) = filled(ax)
    assert first[0] + first[2] == pytest.approx(second[0])
    assert first[2] + second[2] == pytest.approx(BODY.advance("grammar") + 1.6)
    assert 0 < third[0] - (second[0] + second[2]) < BODY.advance(" ")


def test_tokens_of_the_same_characters_share_their_box() -> None:
    one = of_spans("a 😀 b", (0, 1), (2, 3), (2, 3), (2, 3), (4, 5), position=2)
    fig = figure(one, Highlight(), width=3.25)
    assert strings(fig)[:3] == ["a", "😀", "b"]
    boxes = [box for box, _ in filled(panels(fig)[0])][1:4]
    widths = [width for _, _, width, _ in boxes]
    np.testing.assert_allclose(widths, (BODY.advance("😀") + 1.6) / 3)
    np.testing.assert_allclose(frames(panels(fig)[0]), [boxes[1]])


def test_token_that_is_read_has_a_frame_on_every_line() -> None:
    ax = panels(figure(saliency_map(targets=[5]), Highlight(), width=3.25))[0]
    np.testing.assert_allclose(frames(ax), [filled(ax)[5][0]])
    broken = of_spans("x" * 100, (0, 100))
    assert len(frames(panels(figure(broken, Highlight(), width=2.0))[0])) > 1


def test_text_that_no_token_covers_is_drawn_without_a_colour() -> None:
    fig = figure(of_spans("seen unseen", (0, 4)), Highlight(), width=3.25)
    assert strings(fig)[:2] == ["seen", "unseen"]
    assert len(filled(panels(fig)[0])) == 1


def test_special_tokens_are_hidden_unless_asked_for() -> None:
    one = saliency_map("a b", special=True, targets=[0])
    assert "[CLS]" not in strings(figure(one, Highlight(), width=3.25))
    assert strings(figure(one, Highlight(special=True), width=3.25))[:4] == ["[CLS]", "a", "b", "[SEP]"]


def test_hidden_special_token_does_not_wash_out_the_words() -> None:
    one = saliency_map("a b c", special=True, targets=[0])
    strongest = one.scores[0, 1:-1].argmax()
    full = Colors(1.0, False).fill(np.ones(1))[0]
    for mark in (Highlight(), Matrix()):
        np.testing.assert_allclose(filled(panels(figure(one, mark, width=3.25))[0])[strongest][1], full)


@pytest.mark.parametrize("mark", [Highlight(words=True), Matrix(words=True)])
def test_words_merge_their_pieces(mark: Mark) -> None:
    one = saliency_map("grammar matters", split=PIECES, targets=[0])
    merged = one.words()
    colors = Colors.of([merged])
    drawn = [color for _, color in filled(panels(figure(one, mark, width=3.25))[0])]
    np.testing.assert_allclose(drawn, colors.fill(colors.values(merged))[0])


def test_predictions_stand_below_their_block() -> None:
    one = saliency_map("of grammar", targets=[1])
    assert strings(figure(one, Highlight(), width=3.25))[2:6] == [
        "grammar →",
        "language 0.60",
        "music 0.30",
        "grammar 0.20",
    ]
    assert "music 0.30" not in strings(figure(one, Highlight(predictions=1), width=3.25))
    rare = replace(one.targets[0], predictions=(Prediction("b", 1, 0.0001),))
    assert "b <0.01" in strings(figure(replace(one, targets=(rare,)), Highlight(), width=3.25))


def test_target_that_no_frame_shows_is_named() -> None:
    one = saliency_map("of grammar", targets=[1])
    label = TargetRow("positive", None, 2.0, against="negative")
    fig = figure(replace(one, targets=(label,)), Highlight(), width=3.25)
    assert "positive against negative" in strings(fig)
    assert frames(panels(fig)[0]) == []


@pytest.mark.parametrize("mark", [Highlight(), Matrix()])
def test_scores_that_are_not_finite_are_hatched_and_named(mark: Mark) -> None:
    one = with_scores(saliency_map("a b c", targets=[0]), [[0.5, np.nan, 1.0]])
    fig = figure(one, mark, width=3.25)
    ax = panels(fig)[0]
    (box, color), *others = filled(ax, "not-finite")
    assert not others
    assert color == (1, 1, 1, 1)
    assert [c.get_gid() for c in ax.collections].count("hatch") == 1
    lines = np.concatenate([s for c in ax.collections if c.get_gid() == "hatch" for s in c.get_segments()])
    assert len(lines) >= 4
    x, y, width, height = box
    assert np.all(lines >= (x - 1e-6, y - 1e-6))
    assert np.all(lines <= (x + width + 1e-6, y + height + 1e-6))
    assert "NaN" in strings(fig)


def test_marks_are_values() -> None:
    assert Highlight(words=True) == Highlight(words=True) != Highlight()
    assert isinstance(Highlight(), Mark)
    assert isinstance(Matrix(), Mark)
    assert not isinstance("matrix", Mark)


@pytest.mark.parametrize("mark", [Highlight(), Matrix()])
def test_sizes_follow_rcparams_on_every_use(mark: Mark) -> None:
    import matplotlib as mpl

    one = saliency_map("a b", targets=[0])
    small = figure(one, mark, width=6.0).texts or panels(figure(one, mark, width=6.0))[0].texts
    with mpl.rc_context({"font.size": 20}):
        large = panels(figure(one, mark, width=6.0))[0].texts
    assert large[0].get_fontsize() == pytest.approx(2 * small[0].get_fontsize())


def test_map_of_hidden_tokens_only_is_refused() -> None:
    one = saliency_map("a", special=True, targets=[0])
    only = replace(one, tokens=one.tokens[:1], targets=(TargetRow("x", None, 1.0),), scores=one.scores[:, :1])
    with pytest.raises(SaliencyError, match=r"all tokens of this map are special.*Highlight\(special=True\)"):
        figure(only)
    with pytest.raises(
        SaliencyError, match=r"special tokens or white space.*special=True, white_space=True\)"
    ):
        figure(only, Highlight(white_space=False))


def test_numbers_are_set_in_type() -> None:
    assert [number(v) for v in (0.5, -1.0, 12345.6, 1e7, np.nan, -np.inf)] == [
        "0.5",
        "−1",
        "12346",
        "1×10⁷",
        "NaN",
        "−∞",
    ]
    assert [decimals(v) for v in (0.126, -0.5, -0.001)] == ["0.13", "−0.50", "0.00"]
    assert [ordinal(n) for n in (2, 3, 4, 11, 22)] == ["2nd", "3rd", "4th", "11th", "22nd"]


@pytest.mark.parametrize("mark", [Highlight, Matrix, Bars, Arcs])
def test_tokens_of_white_space_alone_are_left_out_if_asked(mark: Any) -> None:
    one = of_spans("a\n  b", (0, 1), (1, 4), (4, 5))
    assert len(mark().shown(one).tokens) == 3
    assert mark(white_space=False).shown(one).labels == ("a", "b")


def test_signs_for_white_space_are_small_and_end_their_line() -> None:
    fig = figure(of_spans("ab\nc", (0, 2), (2, 3), (3, 4)), Highlight(), width=3.25)
    letters = {text.get_text(): text for text in panels(fig)[0].texts}
    assert letters["↵"].get_fontsize() < letters["ab"].get_fontsize()
    assert letters["↵"].get_position()[1] == letters["ab"].get_position()[1] < letters["c"].get_position()[1]


def test_the_last_line_break_begins_no_line() -> None:
    with_break, without = of_spans("a\n", (0, 1), (1, 2)), of_spans("a", (0, 1))
    sizes = [figure(each, Highlight(), width=3.25).get_size_inches()[1] for each in (with_break, without)]
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize("mark", [Arcs(links=2), Bipartite(links=2), Bars(vertical=True)])
def test_labels_name_words_where_pieces_have_no_room(mark: Mark) -> None:
    one = saliency_map(" ".join(["incomprehensible grammar"] * 9), split=PIECES, targets=[3, 11])
    fig = figure(one, mark, width=2.5)
    drawn = set(strings(fig))
    assert "grammar" in drawn
    assert not drawn & {"prehe", "nsi"} - {target.label for target in one.targets}
    assert any(text.startswith("labels name words") for text in drawn)
    assert overlapping(fig) == outside(fig) == []
