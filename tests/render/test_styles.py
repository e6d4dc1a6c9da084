"""Figures in the style sheets that people use: nothing overlaps, and everything is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import matplotlib.style
import numpy as np
import pytest
from handmade import filled, outside, overlapping, saliency_map
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from hf_saliency.maps.table import Table
from hf_saliency.render.colors import luminance
from hf_saliency.render.figure import figure
from hf_saliency.render.marks import Arcs, Bars, Curves, Highlight, Matrix

STYLES = [
    "default",
    "dark_background",
    "grayscale",
    "ggplot",
    "bmh",
    "seaborn-v0_8-darkgrid",
    "seaborn-v0_8-talk",
]
MAP = saliency_map("the formal study of grammar is important", targets=[1, 4], signed=True)
CURVES = Table({"x": [0.0, 0.5, 1.0], "value": [0.9, 0.4, 0.1]}, "probability", {"x": "share removed"})
DRAWN: list[tuple[Any, Any]] = [
    (MAP, Highlight()),
    (MAP, Matrix(values=True, predictions=1)),
    (MAP, Bars(top=4)),
    (MAP, Bars(vertical=True)),
    (MAP, Arcs()),
    (CURVES, Curves()),
]


@pytest.fixture(params=STYLES)
def style(request: pytest.FixtureRequest) -> Iterator[str]:
    with mpl.rc_context():
        matplotlib.style.use(request.param)
        yield request.param


def contrast(one: Any, other: Any) -> float:
    low, high = sorted(float(luminance(np.array(to_rgb(color)))) for color in (one, other))
    return (high + 0.05) / (low + 0.05)


def behind(ax: Axes, text: Text, ground: Any) -> Any:
    """The colour that a text stands on."""
    x, y = text.get_position()
    for (left, top, width, height), color in filled(ax):
        if left - 0.1 <= x + 0.5 <= left + width and top <= y - 0.5 <= top + height:
            return color[:3]
    return ground


@pytest.mark.parametrize(("shown", "mark"), DRAWN, ids=[type(mark).__name__ for _, mark in DRAWN])
def test_everything_has_room_and_is_read(style: str, shown: Any, mark: Any) -> None:
    fig = figure(shown, mark, width=4.0)
    assert overlapping(fig) == []
    assert outside(fig) == []
    ground = fig.get_facecolor()
    for ax in fig.axes:
        for text in ax.findobj(Text):
            if text.get_text():
                assert contrast(text.get_color(), behind(ax, text, ground)) >= 4.4, text.get_text()
        for frame in ax.findobj(Rectangle):
            if frame.get_gid() in ("target", "frame"):
                assert contrast(frame.get_edgecolor(), ground) >= 3


def test_zero_is_the_ground_in_every_style(style: str) -> None:
    zero = saliency_map("a b c", targets=[0])
    fig = figure(
        type(zero)(zero.texts, zero.tokens, zero.targets, np.array([[0.0, 0.5, 1.0]]), "saliency"), width=3.0
    )
    color = filled(fig.axes[0])[0][1]
    np.testing.assert_allclose(color[:3], to_rgb(fig.get_facecolor()), atol=1 / 254)
