"""Figures in common style sheets: nothing overlaps, and everything is readable."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import matplotlib.style
import numpy as np
import pytest
from handmade import filled, outside, overlapping, saliency_map, with_scores
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from hf_saliency.maps.table import Table
from hf_saliency.render.colors import Colors, luminance, palette_for
from hf_saliency.render.figure import figure
from hf_saliency.render.marks import (
    Agreements,
    Arcs,
    Bars,
    Bipartite,
    Curves,
    Difference,
    Dots,
    Highlight,
    Matrix,
    Ranking,
)

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
_GROUPS = ["saliency", "lime", "occlusion", "random"]
CURVES = Table(
    {"group": np.repeat(_GROUPS, 2), "x": [0.0, 1.0] * 4, "value": [0.9, 0.4, 0.8, 0.1, 0.7, 0.3, 0.6, 0.5]},
    "probability",
    {"x": "share removed"},
)
METRICS = Table(
    {
        "label": _GROUPS * 2,
        "group": np.repeat(["deletion", "insertion"], 4),
        "value": [0.9, 0.4, 0.8, 0.1, 0.7, 0.3, 0.6, 0.5],
        "low": [0.8, 0.3, 0.7, 0.0, 0.6, 0.2, 0.5, 0.4],
        "high": [1.0, 0.5, 0.9, 0.2, 0.8, 0.4, 0.7, 0.6],
    }
)
RANKED = METRICS.select(np.arange(8) < 4)
PAIRS = Table({"first": _GROUPS[:3], "second": _GROUPS[1:], "value": [0.9, 0.1, -0.2]})
UNKNOWN = with_scores(saliency_map("a b c", targets=[0]), [[1.0, 0.0, np.nan]])
DRAWN: list[tuple[Any, Any]] = [
    (MAP, Highlight()),
    (MAP, Matrix(values=True, predictions=1)),
    (MAP, Bars(top=4)),
    (MAP, Bars(vertical=True)),
    (MAP, Arcs()),
    (UNKNOWN, Matrix()),
    (MAP, Bipartite()),
    (MAP, Difference(MAP.select(slice(None)))),
    (CURVES, Curves()),
    (METRICS, Dots()),
    (RANKED, Ranking()),
    (PAIRS, Agreements()),
]
STROKES = ("edges", "hatch", "negative", "clipped", "guide", "axis", "interval", "part", "target")


@pytest.fixture(params=STYLES)
def style(request: pytest.FixtureRequest) -> Iterator[str]:
    with mpl.rc_context():
        matplotlib.style.use(request.param)
        yield request.param


def contrast(one: Any, other: Any) -> float:
    low, high = sorted(float(luminance(np.array(to_rgb(color)))) for color in (one, other))
    return (high + 0.05) / (low + 0.05)


def behind(ax: Axes, text: Text, ground: Any) -> Any:
    """Return the colour behind a text."""
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
                assert contrast(text.get_color(), behind(ax, text, ground)) >= 4.5, text.get_text()
        for frame in ax.findobj(Rectangle):
            if frame.get_gid() in ("target", "frame"):
                assert contrast(frame.get_edgecolor(), ground) >= 3
        for line in ax.get_lines():
            assert contrast(line.get_color(), ground) >= 3
        for strokes in ax.findobj(
            lambda artist: artist.get_gid() in STROKES and hasattr(artist, "get_paths")
        ):
            for color in strokes.get_edgecolors():
                assert contrast(color[:3], ground) >= 3, strokes.get_gid()


def test_every_kind_of_stroke_is_looked_at() -> None:
    drawn = {
        artist.get_gid()
        for shown, mark in DRAWN
        for artist in figure(shown, mark, width=4.0).findobj(lambda a: hasattr(a, "get_paths"))
    }
    assert {"edges", "hatch", "guide", "axis", "interval"} <= drawn


def test_zero_is_the_ground_in_every_style(style: str) -> None:
    zero = saliency_map("a b c", targets=[0])
    fig = figure(
        type(zero)(zero.texts, zero.tokens, zero.targets, np.array([[0.0, 0.5, 1.0]]), "saliency"), width=3.0
    )
    color = filled(fig.axes[0])[0][1]
    np.testing.assert_allclose(color[:3], to_rgb(fig.get_facecolor()), atol=1 / 254)


@pytest.mark.parametrize("dpi", [72, 100, 150, 300])
@pytest.mark.parametrize("own", ["default", "dark_background", "grayscale", "seaborn-v0_8-darkgrid", "mine"])
def test_pixels_have_the_colours_of_their_tokens_at_every_resolution(own: str, dpi: int) -> None:
    mine = {
        "font.size": 13,
        "font.family": "serif",
        "axes.grid": True,
        "axes.facecolor": "0.9",
        "figure.dpi": 120,
    }
    with mpl.rc_context():
        matplotlib.style.use(mine if own == "mine" else own)
        fig = figure(MAP, Highlight(predictions=0), width=4.0)
    assert tokens_seen(fig, MAP, dpi) == 14
    assert overlapping(fig) == []
    assert outside(fig) == []


@pytest.mark.parametrize("dpi", [72, 100, 150, 300])
@pytest.mark.parametrize("own", ["default", "dark_background"])
def test_boxes_of_every_mark_are_where_its_tokens_are_at_every_resolution(own: str, dpi: int) -> None:
    with mpl.rc_context():
        matplotlib.style.use(own)
        assert tokens_seen(figure(MAP, Matrix(), width=4.0), MAP, dpi) == 14
        for mark in (Bars(), Bars(vertical=True), Bars(sort="size")):
            # The bars of weak tokens have too few pixels.
            assert tokens_seen(figure(MAP, mark, width=4.0), mark.shown(MAP), dpi) >= 8


def tokens_seen(fig: Any, part: Any, dpi: int) -> int:
    """Count the boxes that have their token's colour in the pixels; fail if a box has another colour."""
    fig.set_dpi(dpi)
    canvas = FigureCanvasAgg(fig)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3].astype(int)
    height, width, _ = pixels.shape
    colors = Colors.of([MAP], palette=palette_for(fig.get_facecolor()))
    fills = 255 * colors.fill(colors.values(part))[..., :3]
    seen = 0
    for target, token in np.ndindex(*part.scores.shape):
        box = fig.box(token, target=target)
        rows = slice(round((1 - box.y1) * height) + 1, round((1 - box.y0) * height) - 1)
        columns = slice(round(box.x0 * width) + 1, round(box.x1 * width) - 1)
        inside = pixels[rows, columns]
        if min(inside.shape[:2]) > 1:
            alike = np.abs(inside - fills[target, token]).max(axis=-1) <= 1
            assert alike.mean() > 0.2, (target, token)  # the other pixels are letters, or the edges of a bar
            seen += 1
    return seen
