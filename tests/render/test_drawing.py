"""The record of how a figure was drawn: it is kept and read back, and forged records do no harm."""

from __future__ import annotations

import json
from typing import Any

import matplotlib as mpl
import pytest
from handmade import saliency_map

from hf_saliency.errors import SaliencyError
from hf_saliency.render import drawing
from hf_saliency.render.figure import figure
from hf_saliency.render.files import SaliencyFigure
from hf_saliency.render.marks import Arcs, Bars, Highlight, Mark, Matrix
from hf_saliency.render.settings import styled


def kept(mark: Any, **options: Any) -> Any:
    found = figure(saliency_map("a b c"), mark=mark, **options)
    assert isinstance(found, SaliencyFigure)
    assert found.attachment
    return json.loads(json.dumps(found.attachment.drawing))


@pytest.mark.parametrize(
    "mark", [Highlight(words=True, fontsize=7), Matrix(values=True), Bars(top=2), Arcs(links=1)]
)
def test_marks_come_back(mark: Mark) -> None:
    found = kept(mark, width=4.0, title="mine", normalize="none")
    assert drawing.marks_of(found) == [mark]
    assert drawing.settings_of(found, 1) == {
        "width": 4.0,
        "title": ["mine"],
        "normalize": "none",
        "ncols": 1,
        "scale": "shared",
        "agreement": False,
    }


def test_a_mark_of_ones_own_is_not_named() -> None:
    class Own(Matrix):
        pass

    found = kept(Own(), width="acl")
    assert "marks" not in found
    assert drawing.marks_of(found) is None
    assert drawing.settings_of(found, 1)["width"] == "acl"


@pytest.mark.parametrize(
    "marks",
    [
        *(
            7,
            "Matrix",
            [7],
            ["Matrix"],
            [{}],
            [{"name": 7}],
            [{"name": "Mark"}],
            [{"name": "Strip"}],
            [{"name": "os"}],
        ),
        [{"name": "Matrix", "options": 7}],
        [{"name": "Matrix", "options": {"__class__": 7}}],
        [{"name": "Matrix", "options": {"predictions": "7"}}],
        [{"name": "Matrix", "options": {"predictions": True}}],
        [{"name": "Matrix", "options": {"values": 1}}],
        [{"name": "Matrix", "options": {"fontsize": [1]}}],
        [{"name": "Matrix", "options": {"fontsize": None}}],
        [{"name": "Bars", "options": {"top": {}}}],
    ],
)
def test_forged_marks_are_refused(marks: Any) -> None:
    with pytest.raises(SaliencyError):
        drawing.marks_of({"marks": marks})


def test_forged_settings_are_left_out() -> None:
    forged = {
        "width": "1e999",
        "height": -1,
        "titles": ["a", "b"],
        "normalize": "all",
        "scale": [],
        "ncols": 1e9,
        "around": "x",
        "agreement": 1,
        "ax": "x",
    }
    assert drawing.settings_of(forged, 1) == {}
    assert drawing.settings_of({"width": 1e9, "titles": [7]}, 1) == {}
    assert drawing.settings_of({"width": float("nan")}, 1) == {}


def test_a_style_holds_for_a_while() -> None:
    before = dict(mpl.rcParams)
    with styled("dark_background"):
        assert mpl.rcParams["text.color"] == "white"
    with styled(None):
        assert dict(mpl.rcParams) == before
    with (
        pytest.raises(SaliencyError, match="'nowhere' is neither a style of Matplotlib, such as"),
        styled("nowhere"),
    ):
        pass
    assert dict(mpl.rcParams) == before
