"""PGF: the tests read drawing commands back, since CI has no TeX; it was compiled by hand."""

from __future__ import annotations

import io
import re
import subprocess

import matplotlib as mpl
import pytest
from handmade import PIECES, filled, panels, saliency_map, strings
from matplotlib.figure import Figure
from render.test_latex import printed

from hf_saliency.render.figure import figure
from hf_saliency.render.marks import Bars, Highlight, Matrix
from hf_saliency.render.typeset.typeface import Typeface

LITERAL = r"$5_{x}$ and 100% #1 & ^2 {} ~ \textbf{x}"
TEXT = re.compile(r"\\pgftext\[x=([\d.]+)in,y=([\d.]+)in,left,base(?:,rotate=([\d.]+))?\]\{(.*)\}%")
FITTED = re.compile(r".*\\fontsize\{([\d.]+)bp\}.*?\\resizebox\{([\d.]+)bp\}\{\\height\}\{(.*)\}$")


def saved(fig: Figure, **options: object) -> str:
    buffer = io.BytesIO()
    fig.savefig(buffer, format="pgf", **options)
    return buffer.getvalue().decode()


def test_every_text_is_set_by_tex_at_its_place_and_in_its_width() -> None:
    fig = figure(saliency_map(LITERAL, targets=[0], predictions=0), Highlight(), width=6.0)
    found = [TEXT.match(line) for line in saved(fig).splitlines() if line.startswith(r"\pgftext")]
    assert all(found)
    texts = []
    for match in found:
        assert match is not None
        inner = FITTED.match(match[4])
        assert inner is not None
        text = inner[3].replace(r"\ensuremath{-}", "−")
        texts.append(printed(text))
        assert float(inner[2]) == pytest.approx(Typeface(float(inner[1])).advance(texts[-1]), abs=0.01)
        assert 0 <= float(match[1]) < 6.0
    assert texts == strings(fig)


def test_letters_of_another_font_are_set_too() -> None:
    # STIXGeneral has no Georgian letters, so they are set in another face, whose weight is a number.
    with mpl.rc_context({"font.family": "STIXGeneral"}):
        assert "ბუ" in saved(figure(saliency_map("ბუ a", targets=[0]), Highlight(), width=3.25))


def test_cells_have_their_colours_at_their_places() -> None:
    one = saliency_map(targets=[5], split=PIECES)
    fig = figure(one, Highlight(), width=3.25)
    pgf = saved(fig)
    for _, color in filled(panels(fig)[0]):
        assert f"\\definecolor{{currentfill}}{{rgb}}{{{color[0]:f},{color[1]:f},{color[2]:f}}}" in pgf
    assert "\\begin{pgfpicture}" in pgf
    width, height = fig.get_size_inches()
    for x, y in re.findall(r"\\pgfqpoint\{([\d.-]+)in\}\{([\d.-]+)in\}", pgf):
        assert -0.01 <= float(x) <= width + 0.01
        assert -0.01 <= float(y) <= height + 0.01


@pytest.mark.parametrize("mark", [Highlight(), Matrix(), Bars(vertical=True)])
def test_it_is_balanced_and_without_bare_characters(mark: Highlight | Matrix | Bars) -> None:
    pgf = saved(figure(saliency_map(LITERAL, targets=[0, 1]), mark, width=6.0))
    bare = re.sub(r"\\[\\{}$&#%_^]|%\n", "", pgf.split("\n", 1)[1])
    assert bare.count("{") == bare.count("}")
    assert not re.search(r"[$&#_^%]", bare)


def test_no_tex_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    assert saved(figure(saliency_map(targets=[0]), width=3.25))


def test_letters_may_be_outlines() -> None:
    fig = figure(saliency_map(targets=[0]), width=3.25)
    outlined = saved(fig, outlines=True)
    assert r"\pgftext" not in outlined
    assert outlined.count(r"\pgfpathcurveto") + outlined.count(r"\pgfpathquadraticcurveto") > 500
    assert r"\pgftext" in saved(fig)


def test_type_of_the_figure_is_named() -> None:
    pgf = saved(figure(saliency_map(targets=[0]), title="A title", width=3.25))
    assert r"\sffamily\bfseries" in pgf
