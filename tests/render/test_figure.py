from __future__ import annotations

import io

import matplotlib as mpl
import numpy as np
import pypdf
import pytest
from handmade import (
    PIECES,
    SENTENCE,
    filled,
    outside,
    overlapping,
    panels,
    saliency_map,
    strings,
    with_scores,
)
from matplotlib.figure import Figure

from hf_saliency.errors import SaliencyError
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.render.figure import figure
from hf_saliency.render.files import SaliencyFigure
from hf_saliency.render.marks import Highlight, Mark, Matrix

LITERAL = r"$5_{x}$ and $6 \alpha 100% #1 & ^2 {} <b>"

CASES: dict[str, tuple[SaliencyMap | list[SaliencyMap], Mark | None]] = {
    "block": (saliency_map(split=PIECES, targets=[5]), None),
    "blocks": (saliency_map(targets=[3, 5, 9], special=True), Highlight(special=True)),
    "matrix": (saliency_map(), None),
    "small matrix": (saliency_map("grammar is a part of formal education", targets=range(5)), Matrix()),
    "predictions": (saliency_map(targets=range(12)), Matrix(predictions=3)),
    "signed": (saliency_map(targets=range(8), signed=True, special=True), Matrix(special=True)),
    "panels": ([saliency_map(targets=[5]), saliency_map(targets=[5], signed=True, method="saliency")], None),
    "missing": (with_scores(saliency_map("a b c", targets=[0]), [[np.nan, np.inf, 1]]), None),
    "literal": (saliency_map(LITERAL, targets=[0, 1]), None),
    "literal matrix": (saliency_map(LITERAL), Matrix()),
    "long word": (saliency_map("see " + "pneumono" * 9 + " and more", targets=[1]), Highlight()),
    "long word matrix": (saliency_map("see " + "pneumono" * 9 + " and more"), Matrix()),
    "one word": (saliency_map("grammar"), None),
    "one word matrix": (saliency_map("grammar"), Matrix()),
    "lines": (saliency_map("one\ttab\n\ntwo lines", split=r"\S+|\s", targets=[0]), None),
}


def saved(fig: Figure, kind: str = "pdf", **options: object) -> bytes:
    buffer = io.BytesIO()
    fig.savefig(buffer, format=kind, **options)
    return buffer.getvalue()


def literal_text(pdf: bytes) -> str:
    return pypdf.PdfReader(io.BytesIO(pdf)).pages[0].extract_text()


# --- layout


@pytest.mark.parametrize("width", [3.25, 6.75])
@pytest.mark.parametrize("case", CASES)
def test_nothing_overlaps_and_nothing_leaves_the_canvas(case: str, width: float) -> None:
    maps, mark = CASES[case]
    fig = figure(maps, mark, width=width)
    assert fig.get_figwidth() == width
    assert strings(fig)
    assert overlapping(fig) == []
    assert outside(fig) == []


def test_overlaps_and_what_leaves_the_canvas_would_be_found() -> None:
    fig = figure(saliency_map(targets=[5]), width=3.25)
    fig.text(0, 0.8, SENTENCE)
    assert overlapping(fig)
    assert outside(fig) == [SENTENCE, "drawing"]


def test_height_follows_the_content() -> None:
    heights = [
        figure(saliency_map(targets=range(n)), Highlight(), width=3.25).get_figheight() for n in (1, 2, 3)
    ]
    assert heights[1] - heights[0] == pytest.approx(heights[2] - heights[1])
    assert 0.5 < heights[0] < 1.5


def test_few_targets_are_texts_and_many_are_a_matrix() -> None:
    assert len(filled(panels(figure(saliency_map(targets=range(6))))[0])) == 6 * len(SENTENCE.split())
    drawn = strings(figure(saliency_map(targets=range(7), predictions=0)))
    assert drawn.count("linguists") == 1  # the label of a column; blocks of targets would repeat it


def test_default_width_is_that_of_rcparams() -> None:
    with mpl.rc_context({"figure.figsize": (5, 1)}):
        assert figure(saliency_map(targets=[0])).get_figwidth() == 5


def test_layout_engine_of_rcparams_moves_nothing() -> None:
    expected = [ax.get_position().bounds for ax in figure(saliency_map(targets=[0]), width=4.0).axes]
    with mpl.rc_context({"figure.constrained_layout.use": True}):
        fig = figure(saliency_map(targets=[0]), width=4.0)
        fig.draw_without_rendering()
    assert [ax.get_position().bounds for ax in fig.axes] == expected


def test_targets_are_selected() -> None:
    one = saliency_map(predictions=0)
    for which, count in [(0, 1), (slice(2, 4), 2), ("education", 1), (["grammar", 0], 3)]:
        ax = panels(figure(one, Highlight(), targets=which, width=6.75))[0]  # type: ignore[arg-type]
        assert len(filled(ax)) == count * len(one.tokens)


def test_panels_share_one_scale() -> None:
    one = with_scores(saliency_map("a b", targets=[0]), [[1.0, 2.0]])
    other = with_scores(saliency_map("a b", targets=[0], method="saliency"), [[2.0, 4.0]])
    fig = figure([one, other], normalize="none", width=3.25)
    first, second = ([color for _, color in filled(ax)] for ax in panels(fig))
    assert first[1] == second[0]
    assert first[0] != second[0]
    assert {"0", "4", "gradient norm", "saliency"} <= set(strings(fig))


def test_titles_are_given_wrapped_or_left_out() -> None:
    one = saliency_map(targets=[0])
    assert "gradient norm" not in strings(figure(one, width=3.25))
    assert {"BERT", "GPT"} <= set(strings(figure([one, one], title=["BERT", "GPT"], width=3.25)))
    fig = figure(one, title=SENTENCE, width=3.25)
    assert outside(fig) == overlapping(fig) == []


# --- drawing into the caller's axes


def test_callers_axes_keep_their_limits_and_the_text_stays_literal() -> None:
    mine = Figure(figsize=(6, 4))
    ax = mine.subplots()
    ax.set(xlim=(-3, 7), ylim=(2, 5))
    assert figure(saliency_map(LITERAL, targets=[0]), ax=ax) is ax
    mine.draw_without_rendering()
    assert (ax.get_xlim(), ax.get_ylim()) == ((-3, 7), (2, 5))
    assert r"$5_{x}$" in literal_text(saved(mine))
    assert overlapping(mine) == []
    assert outside(mine) == []


def test_axes_that_are_too_small_are_refused_with_a_size_that_works() -> None:
    one = saliency_map()
    small = Figure(figsize=(4, 2)).subplots()
    with pytest.raises(
        SaliencyError, match=r"the drawing is .* in, but these axes are .*figsize=\((.*), (.*)\)\)"
    ) as error:
        figure(one, ax=small)
    width, height = (float(part) for part in str(error.value).split("figsize=(")[1].split("))")[0].split(","))
    figure(one, ax=Figure(figsize=(width, height)).add_axes((0, 0, 1, 1)))


# --- errors


def test_least_width_is_said_and_works() -> None:
    one = saliency_map(targets=[5])
    with pytest.raises(
        SaliencyError, match=r"a width of 0.5 in is too narrow for .*figure\(\.\.\., width="
    ) as error:
        figure(one, width=0.5)
    least = float(str(error.value).split("width=")[1].rstrip(").")) if error else 0.0
    assert outside(figure(one, width=least)) == []
    with pytest.raises(SaliencyError, match="is too narrow"):
        figure(one, width=least - 0.03)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("text",), r"a SaliencyMap or a list of them, not the str 'text': figure\(Explainer"),
        (([],), r"not the list \[\]"),
        (([saliency_map("a"), 3],), r"not the list \[SaliencyMap"),
        ((saliency_map("a"), "matrix"), r"mark='matrix' is not a mark: choose Highlight\(\), Matrix"),
        ((saliency_map("a"), Matrix), r"is not a mark: choose"),
    ],
)
@pytest.mark.usefixtures("unchecked_types")
def test_what_is_no_map_or_mark_is_refused(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(SaliencyError, match=message):
        figure(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"targets": []}, "no target is selected"),
        ({"targets": "absent"}, "no target is at the word 'absent'"),
        ({"targets": 99}, "there is no target 99"),
        ({"width": -1.0}, r"width=-1.0: give inches above 0, such as figure\(\.\.\., width=3.25\)"),
        ({"title": ["a", "b"]}, "2 titles for 1 maps: give one for each"),
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(SaliencyError, match=message):
        figure(saliency_map("a b"), **options)  # type: ignore[arg-type]


@pytest.mark.usefixtures("unchecked_types")
def test_options_of_another_type_are_refused() -> None:
    with pytest.raises(SaliencyError, match="normalize='max': choose 'row_max', 'row_sum' or 'none'"):
        figure(saliency_map("a b"), normalize="max")  # type: ignore[arg-type]
    with pytest.raises(SaliencyError, match=r"'column' is not a known venue: give inches.*'acl', 'acl-2"):
        figure(saliency_map("a b"), width="column")  # type: ignore[arg-type]


def test_map_without_targets_is_refused() -> None:
    one = saliency_map("a b")
    none = SaliencyMap(one.texts, one.tokens, (), np.empty((0, 2)), "saliency")
    with pytest.raises(SaliencyError, match="no target, so there is nothing to draw"):
        figure(none)


def test_figure_is_a_matplotlib_figure() -> None:
    fig = figure(saliency_map("a b"))
    assert type(fig) is SaliencyFigure
    assert isinstance(fig, Figure)
