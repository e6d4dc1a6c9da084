from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from render.handmade import (
    PIECES,
    SENTENCE,
    filled,
    frames,
    overlapping,
    panels,
    saliency_map,
    strings,
    with_scores,
)

from hf_saliency.errors import SaliencyError
from hf_saliency.render.colors import Colors
from hf_saliency.render.figure import figure
from hf_saliency.render.marks import Highlight, Mark, Matrix
from hf_saliency.render.numerals import decimals, number, ordinal
from hf_saliency.render.passage import passage, visible
from hf_saliency.render.typeface import Typeface
from hf_saliency.render.wrap import wrap
from hf_saliency.saliency_map import Prediction, SaliencyMap, TargetRow
from hf_saliency.spans import Token

BODY = Typeface("small")
WIDTH = 3.25 * 72


def of_spans(text: str, *spans: tuple[int, int], position: int | None = 0) -> SaliencyMap:
    tokens = tuple(Token(text[a:b], a, b) for a, b in spans)
    scores = np.linspace(0.2, 1, len(tokens))[None]
    return SaliencyMap((text,), tokens, (TargetRow("x", position, 1.0, masked=True),), scores, "saliency")


# --- measuring and breaking lines


def test_width_of_a_text_is_that_of_its_parts_and_their_kerning() -> None:
    assert BODY.advance("nn ") == pytest.approx(2 * BODY.advance("n") + BODY.advance(" "), abs=0.02)
    assert BODY.advance("AV") < BODY.advance("A") + BODY.advance("V")
    assert BODY.advance("") == 0
    assert Typeface(20.0).advance("grammar") == pytest.approx(2 * Typeface(10.0).advance("grammar"))


def test_elided_text_fits() -> None:
    short = BODY.elide("incomprehensibilities", 40.0)
    assert short.startswith("inc")
    assert short.endswith("…")
    assert BODY.advance(short) <= 40 < BODY.advance(short.replace("…", "om…"))
    assert BODY.elide("of", 40.0) == "of"


def test_lines_are_full_and_break_between_words() -> None:
    lines = [SENTENCE[a:b] for a, b in wrap(SENTENCE, WIDTH, BODY)]
    assert " ".join(lines) == SENTENCE
    for line, following in itertools.pairwise(lines):
        assert BODY.advance(line) <= WIDTH < BODY.advance(f"{line} {following.split()[0]}")


def test_newline_ends_a_line() -> None:
    text = "a b\n\nc"
    assert [text[a:b] for a, b in wrap(text, WIDTH, BODY)] == ["a b", "", "c"]


def test_only_a_very_long_word_is_broken_inside() -> None:
    text = "see " + "x" * 100 + " and low-cost-and-easy-and-simple-and-good-words"
    lines = [text[a:b] for a, b in wrap(text, 100.0, BODY)]
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert max(BODY.advance(line) for line in lines) <= 100
    assert any(line.endswith("-") for line in lines)
    with pytest.raises(SaliencyError, match="the word 'grammar' needs"):
        wrap("of grammar is", BODY.advance("grammar") - 1, BODY)


# --- the text that is set


def test_signs_stand_for_what_is_not_seen() -> None:
    assert visible("a\tb\nc\x07\x7f") == "a⇥b↵c␇␡"
    assert passage(of_spans("a\nb\tc", (0, 1), (2, 3))).text == "a\nb    c"
    assert passage(of_spans("a\nb", (0, 1), (1, 2), (2, 3))).text == "a↵\nb"


def test_tokens_stand_where_their_characters_are() -> None:
    text = "Is it\nso?"
    set_text = passage(of_spans(text, (0, 2), (3, 5), (5, 6), (6, 8), (8, 9)))
    assert [set_text.text[a:b].strip() for a, b in set_text.spans.values()] == ["Is", "it", "↵", "so", "?"]


def test_mark_is_not_parted_from_its_letter() -> None:
    text = "cafe\u0301!"
    assert passage(of_spans(text, (0, 4), (4, 5), (5, 6))).spans == {0: (0, 5), 1: (3, 5), 2: (5, 6)}


def test_special_tokens_stand_where_they_are_in_the_input() -> None:
    tokens = [
        Token("[CLS]", 0, 0, 0, True),
        Token("a", 0, 1, 0),
        Token("[SEP]", 0, 0, 0, True),
        Token("b", 0, 1, 1),
        Token("[SEP]", 0, 0, 1, True),
    ]
    rows = (TargetRow("yes", None, 1.0),)
    pair = SaliencyMap(("a", "b"), tuple(tokens), rows, np.ones((1, 5)), "saliency")
    assert passage(pair).text == "[CLS] a [SEP]\nb [SEP]"
    assert passage(Highlight().shown(pair)).text == "a\nb"


# --- Highlight


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


# --- Matrix


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
    few = figure(saliency_map(" ".join(f"w{i}" for i in range(90)), targets=[3]), Matrix(), width=3.25)
    assert "every 2nd token is labelled" in strings(few)


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
    with pytest.raises(SaliencyError, match="35 columns with values in its cells: the least width is"):
        figure(one, Matrix(values=True), width=3.25)


def test_predictions_stand_beside_their_rows() -> None:
    one = saliency_map("of grammar", targets=[0, 1])
    drawn = strings(figure(one, Matrix(predictions=3), width=6.75))
    assert drawn.count("language") == drawn.count("0.60") == 2
    assert drawn.count("music") == 2
    assert "music" not in strings(figure(one, Matrix(predictions=1), width=6.75))
    assert "language" not in strings(figure(one, Matrix(), width=6.75))


# --- both


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


def test_numbers_are_set_in_type() -> None:
    assert [number(v) for v in (0.5, -1.0, 12345.6, 1e7, np.nan, -np.inf)] == [
        "0.5",
        "−1",
        "12346",
        "1e+07",
        "NaN",
        "−∞",
    ]
    assert [decimals(v) for v in (0.126, -0.5, -0.001)] == ["0.13", "−0.50", "0.00"]
    assert [ordinal(n) for n in (2, 3, 4, 11, 22)] == ["2nd", "3rd", "4th", "11th", "22nd"]
