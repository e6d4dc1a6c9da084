"""The names of a map's texts: each is drawn where its text begins."""

from __future__ import annotations

from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
from handmade import filled, outside, overlapping, pair, panels, strings, texts
from matplotlib.colors import to_rgb
from matplotlib.text import Text

from hf_saliency.maps.fields import TargetRow
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.maps.spans import Token
from hf_saliency.render.colors import muted
from hf_saliency.render.figure import figure
from hf_saliency.render.marks import Arcs, Bars, Highlight, Mark, Matrix
from hf_saliency.render.sheets import sheets

NAMED = pair()
MARKS = [Highlight(), Matrix(), Bars(), Bars(vertical=True), Arcs()]


def found(one: SaliencyMap, mark: Mark, width: float = 3.25) -> dict[str, Text]:
    """Return the names of texts that are drawn."""
    names = ("question", "context")
    return {t.get_text(): t for t in texts(figure(one, mark, width=width)) if t.get_text() in names}


@pytest.mark.parametrize("mark", MARKS)
def test_each_text_has_its_name_in_grey(mark: Mark) -> None:
    drawn = found(NAMED, mark)
    assert set(drawn) == {"question", "context"}
    assert {to_rgb(text.get_color()) for text in drawn.values()} == {(0.375, 0.375, 0.375)}
    fig = figure(NAMED, mark, width=3.25)
    assert overlapping(fig) == []
    assert outside(fig) == []


@pytest.mark.parametrize("mark", MARKS)
def test_a_map_without_names_is_drawn_as_before(mark: Mark) -> None:
    bare, named = (figure(one, mark, width=3.25) for one in (pair(text_names=()), NAMED))
    assert sorted([*strings(bare), "question", "context"]) == sorted(strings(named))
    assert bare.get_figheight() < named.get_figheight()
    empty = figure(pair(text_names=("", "")), mark, width=3.25)
    assert strings(empty) == strings(bare)
    assert empty.get_figheight() == pytest.approx(bare.get_figheight())


def test_a_name_stands_above_the_lines_of_its_text() -> None:
    drawn = found(NAMED, Highlight())
    rows = sorted({box[1] for box, _ in filled(panels(figure(NAMED, Highlight(), width=3.25))[0])})
    assert drawn["question"].get_position()[1] < rows[0]
    assert rows[0] < drawn["context"].get_position()[1] < rows[1]


def test_a_name_stands_on_the_side_where_its_text_begins() -> None:
    tokens = tuple(replace(token, start=4, end=8) if token.text_index else token for token in NAMED.tokens)
    drawn = found(replace(NAMED, texts=("one two", "שלום עולם"), tokens=tokens), Highlight())
    assert drawn["question"].get_position()[0] < 10 < 150 < drawn["context"].get_position()[0]


@pytest.mark.parametrize("mark", [Matrix(), Bars(vertical=True), Arcs()])
def test_a_name_stands_at_the_first_column_and_is_left_out_where_it_is_wider_than_its_text(
    mark: Mark,
) -> None:
    drawn = found(NAMED, mark)
    assert drawn["question"].get_position()[0] < drawn["context"].get_position()[0] - 30
    long = found(pair(text_names=("a name that is much too long for two words", "context")), mark)
    assert set(long) == {"context"}


@pytest.mark.parametrize("mark", [Highlight(), Bars()])
def test_a_name_that_is_longer_than_the_line_is_cut(mark: Mark) -> None:
    fig = figure(pair(text_names=("long " * 30, "context")), mark, width=2.0)
    assert any(text.startswith("long long") and text.endswith("…") for text in strings(fig))
    assert outside(fig) == []


@pytest.mark.parametrize(("mark", "least"), [(Highlight(), 0.7), (Bars(), 1.1)])
def test_no_page_ends_with_a_name(mark: Mark, least: float) -> None:
    long = replace(NAMED, texts=("one two", "six ten" + " more" * 60))
    counts = set()
    for step in range(12):
        height = least + 0.05 * step
        pages = [strings(page) for page in sheets(long, mark=mark, width=3.25, height=height)]
        counts.add(len(pages))
        for drawn in pages:
            assert ("question" in drawn) <= ("one" in drawn)
            assert ("context" in drawn) <= ("six" in drawn)
    assert max(counts) > 1


def test_grey_is_read_on_a_dark_page() -> None:
    with mpl.rc_context({"text.color": "white", "figure.facecolor": "black"}):
        assert muted() == (0.625, 0.625, 0.625)


def test_running_text_names_its_texts_once() -> None:
    one = pair()
    several = replace(one, targets=one.targets * 2, scores=np.repeat(one.scores, 2, axis=0))
    drawn = strings(figure(several, Highlight(), width=3.25))
    assert [drawn.count(name) for name in ("question", "context")] == [1, 1]


@pytest.mark.parametrize("mark", [Highlight(), Highlight(words=True)])
def test_what_a_template_has_written_into_a_text_is_hidden_with_its_tokens(mark: Highlight) -> None:
    text = "<|user|> Which one? <|end|>"
    places = [(0, 8), (9, 14), (15, 18), (18, 19), (20, 27)]
    tokens = tuple(Token(text[a:b], a, b, special=a in (0, 20)) for a, b in places)
    row = TargetRow("one", 2, 1.0)
    one = SaliencyMap((text,), tokens, (row,), np.array([[9.0, 0.5, 1.0, 0.2, 0.1]]), "saliency")
    drawn = "".join(strings(figure(one, mark, width=3.25)))
    assert "Whichone?" in drawn
    assert "user" not in drawn
    shown = strings(figure(one, replace(mark, special=True), width=3.25))
    assert {"<|user|>", "<|end|>"} <= set(shown)
    fig = figure(one, mark, width=3.25)
    assert fig.box("one").x0 < fig.box("one").x1
