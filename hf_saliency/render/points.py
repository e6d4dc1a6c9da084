"""Drawing in points: x to the right and y downwards from the upper left corner of an Axes."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any, cast

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_rgba
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch, Polygon, Rectangle
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.transforms import Affine2D, Affine2DBase, ScaledTranslation, Transform

from hf_saliency.render.colors import Colors, distinct, text_color
from hf_saliency.render.settings import settings
from hf_saliency.render.typeset.fonts import missed
from hf_saliency.render.typeset.typeface import Typeface

Box = tuple[float, float, float, float]  # x, y, width, height

_DASHES = (0, (3, 2))
_HATCH = "#999999"
_HATCH_STEP = 3.0
_SPREAD = 0.5  # points

_in_points: weakref.WeakKeyDictionary[Axes, Transform] = weakref.WeakKeyDictionary()


def in_points(ax: Axes) -> Transform:
    """The transform from points to the display, independent of the data limits of the Axes."""
    if ax not in _in_points:  # one transform for everything drawn there
        _in_points[ax] = _transform(ax)
    return _in_points[ax]


def _transform(ax: Axes) -> Transform:
    corner = ScaledTranslation(0, 1, cast(Affine2DBase, ax.transAxes))
    return cast(Transform, Affine2D().scale(1 / 72, -1 / 72) + _figure(ax).dpi_scale_trans + corner)


def size(ax: Axes) -> tuple[float, float]:
    """Width and height of the Axes in points."""
    dpi = _figure(ax).dpi
    return float(ax.bbox.width * 72 / dpi), float(ax.bbox.height * 72 / dpi)


def _figure(ax: Axes) -> Any:
    return ax.figure


def scaled(length: float) -> float:
    """Scale a length for 10-point type to the current font size."""
    return length * float(mpl.rcParams["font.size"]) / 10


class Letters(Text):
    """Text as wide as it was measured, at every resolution: hinting would round each letter to whole pixels."""

    def draw(self, renderer: RendererBase) -> None:
        """Draw the text without hinting."""
        if mpl.rcParams["text.hinting"] == "none":  # as in every file that savefig writes
            self._draw(renderer)
            return
        with settings({"text.hinting": "none"}):
            self._draw(renderer)

    def _draw(self, renderer: RendererBase) -> None:
        if not self._begins_at_its_point:
            super().draw(renderer)
            return
        # Matplotlib would measure the text twice, only to place it at the point given.
        if not self.get_visible() or not self.get_text():
            return
        x, y = self.get_transform().transform(self.get_unitless_position())
        if renderer.flipy():
            y = renderer.get_canvas_width_height()[1] - y
        renderer.open_group("text", self.get_gid())
        gc = renderer.new_gc()
        gc.set_foreground(to_rgba(self.get_color()), isRGBA=True)
        gc.set_alpha(self.get_alpha())  # type: ignore[arg-type]  # None is its default
        gc.set_url(self.get_url())
        gc.set_antialiased(self.get_antialiased())
        angle = self.get_rotation()
        renderer.draw_text(
            gc, x, y, self.get_text(), self.get_fontproperties(), angle, ismath=False, mtext=self
        )
        gc.restore()
        renderer.close_group("text")
        self.stale = False

    @property
    def _begins_at_its_point(self) -> bool:
        """Whether the text is as :func:`write` made it: one plain line that starts at a point on its baseline."""
        return (
            self.get_horizontalalignment() == "left"
            and self.get_verticalalignment() == "baseline"
            and self.get_rotation_mode() == "anchor"
            and not (self.get_clip_on() or self.get_usetex() or self.get_parse_math() or self.get_wrap())
            and not (self.get_bbox_patch() or self.get_path_effects() or "\n" in self.get_text())
        )


def write(
    ax: Axes,
    x: float,
    baseline: float,
    text: str,
    typeface: Typeface,
    *,
    color: Any = None,
    upward: bool = False,
) -> list[Text]:
    """Write a text, every character literally, from a point on its baseline.

    Returns an artist for each piece of one font and one direction; most texts are a single piece.
    """
    letters: list[Text] = []
    for piece in typeface.pieces(text):
        along = piece.x * typeface.scale
        properties = piece.face.properties(typeface.points) if piece.face.family else typeface.properties
        missed(piece.missing)
        letters.append(
            Letters(
                x if upward else x + along,
                baseline - along if upward else baseline,
                piece.text,
                transform=in_points(ax),
                fontproperties=properties,
                color=text_color() if color is None else color,
                rotation=90 if upward else 0,
                rotation_mode="anchor",
                ha="left",
                va="baseline",
                parse_math=False,
                usetex=False,
                clip_on=False,
                zorder=4,
            )
        )
        ax.add_artist(letters[-1])
    return letters


class Cells(PathCollection):
    """Filled boxes that know which target and token each of them represents."""

    tokens: dict[tuple[int, int], list[Box]]

    def at(self, row: int, column: int) -> list[Box]:
        """The boxes of a token; none if it is not here."""
        return self.tokens.get((row, column), [])


def cells(
    ax: Axes,
    boxes: Sequence[Box] | np.ndarray,
    values: np.ndarray,
    colors: Colors,
    *,
    joined: bool = False,
    tokens: Sequence[tuple[int, int]] = (),
    apart: bool = False,
) -> None:
    """Draw boxes filled with the colours of their values, hatched where a value is not finite.

    ``joined`` is for boxes of a grid without gaps. ``tokens`` names the target and the token of each box. With
    ``apart``, each box is a separate artist with an id in SVG files.
    """
    if not len(boxes):
        return
    array = np.asarray(boxes, dtype=float).reshape(-1, 4)
    if tokens and apart:
        _chips(ax, array, values, colors, tokens)
        places = _filled([], [])
        drawn = [(places, "cells", 2.0)]
    else:
        drawn = _layers(array, values, colors, joined=joined)
        places = drawn[-1][0]
    for token, box in zip(tokens, boxes, strict=False):
        places.tokens.setdefault(token, []).append(box)
    for layer, gid, zorder in drawn:
        _add(ax, layer, gid=gid, zorder=zorder)
    overlay(ax, array, values, colors)


def _chips(
    ax: Axes, boxes: np.ndarray, values: np.ndarray, colors: Colors, tokens: Sequence[tuple[int, int]]
) -> None:
    """Draw each box as an artist with an id."""
    finite = np.isfinite(values)
    names = [token for token, known in zip(tokens, finite, strict=True) if known]
    for box, shade, (row, column) in zip(boxes[finite], colors.fill(values[finite]), names, strict=True):
        x, y, width, height = box
        gid = f"target-{row}-token-{column}"
        chip = Rectangle((x, y), width, height, facecolor=shade, edgecolor="none", linewidth=0, gid=gid)
        place(ax, chip, zorder=2.0)


def _layers(
    boxes: np.ndarray, values: np.ndarray, colors: Colors, *, joined: bool
) -> list[tuple[Cells, str, float]]:
    """The layers of boxes, grouped by colour, from bottom to top, each with its id and its zorder."""
    finite = np.isfinite(values)
    known = boxes[finite]
    # All boxes of one colour form one path: a file of 128 x 128 cells is written in a tenth of the time.
    shades, shade, counts = np.unique(
        colors.fill(values[finite]), axis=0, return_inverse=True, return_counts=True
    )
    groups = np.split(np.argsort(shade.ravel(), kind="stable"), np.cumsum(counts)[:-1]) if len(known) else []
    drawn = _filled([known[group] for group in groups], shades)
    if not joined:
        return [(drawn, "cells", 2.0)]
    wide = _spread(known)
    return [(_filled([wide[group] for group in groups], shades), "underlay", 1.5), (drawn, "cells", 2.0)]


def filled_cells(ax: Axes, boxes: np.ndarray, values: np.ndarray, colors: Colors) -> list[Cells]:
    """The layers of boxes of a grid, from bottom to top, not added to the Axes."""
    layers = [layer for layer, _, _ in _layers(boxes, values, colors, joined=True)]
    for layer in layers:
        layer.set_figure(_figure(ax))
        layer.set_transform(in_points(ax))
        layer.set_clip_on(False)
    return layers


def overlay(ax: Axes, boxes: np.ndarray, values: np.ndarray, colors: Colors) -> None:
    """Draw the signs on filled boxes: hatching where a value is not finite, strokes and triangles."""
    finite = np.isfinite(values)
    if not finite.all():
        _add(ax, _filled([boxes[~finite]], colors.palette.ground), gid="not-finite", zorder=2.0)
        lines = [line for box in boxes[~finite] for line in _diagonals(*box)]
        _add(ax, LineCollection(lines, colors=distinct(_HATCH), linewidths=0.4), gid="hatch", zorder=2.5)
    if colors.underline:
        _underline_negative(ax, boxes[finite], values[finite], colors)
    if colors.clipped:
        beyond = np.abs(values[finite]) > colors.limit * (1 + 1e-9)
        _mark_clipped(ax, boxes[finite][beyond], colors)


def _underline_negative(ax: Axes, boxes: np.ndarray, values: np.ndarray, colors: Colors) -> None:
    """Draw a stroke along the lower edge of each box with a value below zero."""
    thick = scaled(0.9)
    lines = [
        [(x, y + height - thick / 2), (x + width, y + height - thick / 2)]
        for x, y, width, height in boxes[values < 0]
    ]
    _add(ax, LineCollection(lines, colors=[colors.ink], linewidths=thick), gid="negative", zorder=2.4)


def _mark_clipped(ax: Axes, boxes: np.ndarray, colors: Colors) -> None:
    """Draw a small triangle in the upper right corner of each box with a value beyond the limit."""
    corners = []
    for x, y, width, height in boxes:
        side = min(scaled(2.6), width / 2, height / 2)
        corners.append(
            Path([(x + width - side, y), (x + width, y), (x + width, y + side), (x + width - side, y)])
        )
    _add(ax, PathCollection(corners, facecolors=colors.ink, linewidths=0), gid="clipped", zorder=2.7)


def _filled(groups: Sequence[np.ndarray], shades: Any) -> Cells:
    drawn = Cells([_path(boxes) for boxes in groups], facecolors=shades, edgecolors="none", linewidths=0)
    drawn.tokens = {}
    return drawn


def _path(boxes: np.ndarray) -> Path:
    x, y, width, height = boxes.T
    right, bottom = x + width, y + height
    corners = np.stack([x, y, right, y, right, bottom, x, bottom, x, y], axis=1).reshape(-1, 2)
    codes = [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY]
    return Path(corners, codes * len(boxes))


def _spread(boxes: np.ndarray) -> np.ndarray:
    """Extend the boxes of a grid under their right and lower neighbours.

    Viewers blend the edges of shapes that only touch with the background. This would be the paper, and hairlines would
    show between the boxes.
    """
    x, y, width, height = boxes.T
    right, bottom = x + width, y + height
    wider = np.where(right < right.max(initial=0) - 1e-6, np.minimum(_SPREAD, width / 2), 0)
    higher = np.where(bottom < bottom.max(initial=0) - 1e-6, np.minimum(_SPREAD, height / 2), 0)
    return np.stack([x, y, width + wider, height + higher], axis=1)


def _diagonals(x: float, y: float, width: float, height: float) -> list[list[tuple[float, float]]]:
    """Parallel strokes, from lower left to upper right, that end at the edges of the box."""
    step = min(_HATCH_STEP, (width + height) / 2)
    lines = []
    for along in np.arange(step / 2, width + height, step):
        low = (x + max(0.0, along - height), y + min(height, along))
        high = (x + min(width, along), y + max(0.0, along - width))
        lines.append([low, high])
    return lines


def outline(
    ax: Axes,
    box: Box,
    *,
    color: Any = None,
    linewidth: float = 0.8,
    gid: str = "target",
    dashed: bool = False,
) -> Rectangle:
    """Draw a frame whose stroke lies on the edge of the box, in the colour of text unless another is given."""
    x, y, width, height = box
    frame = Rectangle((x, y), width, height, fill=False, linewidth=scaled(linewidth), gid=gid)
    frame.set_edgecolor(text_color() if color is None else color)
    frame.set_joinstyle("miter")
    if dashed:
        frame.set_linestyle(_DASHES)
    frame.set_transform(in_points(ax))
    frame.set_clip_on(False)
    frame.set_zorder(3)
    ax.add_artist(frame)
    return frame


def edges(
    ax: Axes,
    boxes: Sequence[Box],
    *,
    color: Any,
    linewidth: float,
    dashed: bool = False,
    gid: str = "edges",
    zorder: float = 2.6,
) -> None:
    """Draw thin frames around many boxes at once."""
    paths = [_path(np.asarray(boxes, dtype=float).reshape(-1, 4))] if len(boxes) else []
    frames = PathCollection(paths, facecolors="none", edgecolors=color, linewidths=scaled(linewidth))
    if dashed:
        frames.set_linestyle([_DASHES])
    _add(ax, frames, gid=gid, zorder=zorder)


def rule(
    ax: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    *,
    gid: str = "axis",
    color: Any = None,
    linewidth: float = 0.5,
) -> None:
    """Draw a thin straight line between two points."""
    stroke = text_color() if color is None else color
    drawn = LineCollection([[start, end]], colors=[stroke], linewidths=scaled(linewidth))
    _add(ax, drawn, gid=gid, zorder=2.6)


def bar(ax: Axes, box: Box, *, color: Any, gid: str = "bar") -> None:
    """Draw a filled bar in one colour."""
    _add(ax, _filled([np.asarray([box], dtype=float)], [to_rgba(color)]), gid=gid, zorder=2.0)


def line(ax: Axes, xs: Sequence[float], ys: Sequence[float], *, color: Any, dashes: Any = "-") -> None:
    """Draw straight line segments through some points, with a gap where one is NaN."""
    drawn = Line2D(xs, ys, color=color, linestyle=dashes, linewidth=scaled(1.1), solid_joinstyle="round")
    drawn.set_gid("line")
    place(ax, drawn, zorder=2.5)


def dot(ax: Axes, x: float, y: float, *, color: Any, marker: str = "o") -> None:
    """Draw one marker."""
    drawn = Line2D(
        [x], [y], color=color, marker=marker, markersize=scaled(3.6), markeredgewidth=0, linestyle=""
    )
    drawn.set_gid("dot")
    place(ax, drawn, zorder=2.7)


def band(ax: Axes, xs: np.ndarray, lows: np.ndarray, highs: np.ndarray, *, color: Any) -> None:
    """Fill the area between two lines, with a gap where one of them is NaN."""
    known = np.isfinite(lows) & np.isfinite(highs)
    for part in np.split(np.arange(len(xs)), np.flatnonzero(np.diff(known.astype(int))) + 1):
        if len(part) and known[part[0]]:
            outline = [
                *zip(xs[part], lows[part], strict=True),
                *zip(xs[part][::-1], highs[part][::-1], strict=True),
            ]
            drawn = Polygon(
                outline, closed=True, facecolor=to_rgba(color, 0.18), edgecolor="none", gid="band"
            )
            place(ax, drawn, zorder=2.0)


def link(
    ax: Axes, start: tuple[float, float], end: tuple[float, float], *, color: Any, linewidth: float
) -> None:
    """Draw a curve that is vertical at its start and at its end."""
    middle = (start[1] + end[1]) / 2
    curve = Path([start, (start[0], middle), (end[0], middle), end], [Path.MOVETO] + [Path.CURVE4] * 3)
    drawn = PathPatch(curve, fill=False, edgecolor=color, linewidth=linewidth, capstyle="butt", gid="link")
    place(ax, drawn, zorder=2.5)


def whisker(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw an interval as a thin line with a short stroke across each end."""
    (x0, y0), (x1, y1) = start, end
    long = max(abs(x1 - x0) + abs(y1 - y0), 1e-9)
    across = ((y1 - y0) / long * scaled(1.6), (x1 - x0) / long * scaled(1.6))
    strokes = [
        [start, end],
        *([(x - across[0], y - across[1]), (x + across[0], y + across[1])] for x, y in (start, end)),
    ]
    _add(
        ax, LineCollection(strokes, colors=[text_color()], linewidths=scaled(0.6)), gid="interval", zorder=2.8
    )


def place(ax: Axes, artist: Artist, *, zorder: float) -> None:
    """Add an artist that is drawn in points."""
    artist.set_transform(in_points(ax))
    artist.set_clip_on(False)
    artist.set_zorder(zorder)
    ax.add_artist(artist)


def arrow(
    ax: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    rise: float,
    *,
    color: Any,
    linewidth: float,
    head: float,
) -> PathPatch:
    """Draw an arc above the line from ``start`` to ``end``: half an ellipse, with an arrowhead at its end."""
    (x0, y), (x1, _) = start, end
    k = 4 / 3 * (np.sqrt(2) - 1)  # the best cubic for a quarter of an ellipse
    middle, half = (x0 + x1) / 2, (x1 - x0) / 2
    curve = [
        (x0, y),
        (x0, y - k * rise),
        (middle - k * half, y - rise),
        (middle, y - rise),
        (middle + k * half, y - rise),
        (x1, y - k * rise),
        (x1, y - head / 2),
    ]
    tip = [(x1 - head / 2, y - head), (x1, y), (x1 + head / 2, y - head), (x1 - head / 2, y - head)]
    line = PathPatch(Path(curve, [Path.MOVETO] + [Path.CURVE4] * 6), fill=False, edgecolor=color)
    line.set(linewidth=linewidth, capstyle="butt", gid="arc")
    point = PathPatch(Path(tip, [Path.MOVETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY]), facecolor=color)
    point.set(linewidth=0, gid="head")
    for patch in (line, point):
        patch.set_transform(in_points(ax))
        patch.set_clip_on(False)
        patch.set_zorder(2.5)
        ax.add_artist(patch)
    return line


def _add(ax: Axes, collection: PathCollection | LineCollection, *, gid: str, zorder: float) -> None:
    collection.set_gid(gid)
    collection.set_transform(in_points(ax))
    collection.set_clip_on(False)
    collection.set_zorder(zorder)
    ax.add_artist(collection)  # unlike add_collection, this leaves the data limits alone


def flow(widths: Sequence[float], width: float, gap: float) -> list[tuple[float, int]]:
    """Place items one after another as (x, line), with a new line where the next item would not fit."""
    places: list[tuple[float, int]] = []
    x, line = 0.0, 0
    for item in widths:
        if x and x + item > width:
            x, line = 0.0, line + 1
        places.append((x, line))
        x += item + gap
    return places
