"""Drawing in points: x to the right and y downwards from the upper left corner of an Axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_rgb
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.transforms import Affine2D, Affine2DBase, ScaledTranslation, Transform

from hf_saliency.render.colors import INK, Colors
from hf_saliency.render.typeset.fonts import missed
from hf_saliency.render.typeset.typeface import Typeface

Box = tuple[float, float, float, float]  # x, y, width, height

_HATCH = "0.6"
_HATCH_STEP = 3.0
_SPREAD = 0.5  # points


def in_points(ax: Axes) -> Transform:
    """From points to the display; the data limits of the Axes play no part."""
    corner = ScaledTranslation(0, 1, cast(Affine2DBase, ax.transAxes))
    return cast(Transform, Affine2D().scale(1 / 72, -1 / 72) + _figure(ax).dpi_scale_trans + corner)


def size(ax: Axes) -> tuple[float, float]:
    """Width and height of the Axes in points."""
    dpi = _figure(ax).dpi
    return float(ax.bbox.width * 72 / dpi), float(ax.bbox.height * 72 / dpi)


def _figure(ax: Axes) -> Any:
    return ax.figure


def text_color() -> Any:
    """Colour of text that stands on the figure's own background."""
    return mpl.rcParams["text.color"]


def muted() -> Any:
    """Colour of text that stands back: a grey towards that of other text, on paper and on a dark page."""
    return tuple(0.375 + 0.25 * channel for channel in to_rgb(text_color()))


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
    """A text, every character of it literal, begun at a point of its baseline.

    One artist for each piece of one font and one direction; most texts are one.
    """
    found = []
    for piece in typeface.pieces(text):
        along = piece.x * typeface.scale
        own = piece.face.properties(typeface.points) if piece.face.family else typeface.properties
        missed(piece.missing)
        found.append(
            ax.text(
                x if upward else x + along,
                baseline - along if upward else baseline,
                piece.text,
                transform=in_points(ax),
                fontproperties=own,
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
    return found


def cells(
    ax: Axes, boxes: Sequence[Box], values: np.ndarray, colors: Colors, *, joined: bool = False
) -> None:
    """Boxes filled with the colours of their values; hatched where a value is not finite.

    ``joined`` is for boxes of a grid, without gaps between them.
    """
    if not len(boxes):
        return
    finite = np.isfinite(values)
    array = np.asarray(boxes, dtype=float).reshape(-1, 4)
    known = array[finite]
    # All boxes of one colour are one path: a file of 128 x 128 cells is written in a tenth of the time.
    shades, shade = np.unique(colors.fill(values[finite]), axis=0, return_inverse=True)
    groups = [np.flatnonzero(shade.ravel() == i) for i in range(len(shades))]
    if joined:
        _add(ax, _filled([_spread(known)[group] for group in groups], shades), gid="underlay", zorder=1.5)
    _add(ax, _filled([known[group] for group in groups], shades), gid="cells", zorder=2.0)
    if not finite.all():
        _add(ax, _filled([array[~finite]], "white"), gid="not-finite", zorder=2.0)
        lines = [line for box in array[~finite] for line in _diagonals(*box)]
        _add(ax, LineCollection(lines, colors=_HATCH, linewidths=0.4), gid="hatch", zorder=2.5)


def _filled(groups: Sequence[np.ndarray], shades: Any) -> PathCollection:
    paths = [_path(boxes) for boxes in groups]
    return PathCollection(paths, facecolors=shades, edgecolors="none", linewidths=0)


def _path(boxes: np.ndarray) -> Path:
    x, y, width, height = boxes.T
    right, bottom = x + width, y + height
    corners = np.stack([x, y, right, y, right, bottom, x, bottom, x, y], axis=1).reshape(-1, 2)
    codes = [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY]
    return Path(corners, codes * len(boxes))


def _spread(boxes: np.ndarray) -> np.ndarray:
    """Boxes of a grid grown under their right and lower neighbours.

    Viewers blend the edges of shapes that only touch with what lies below, which would be the paper, and show
    hairlines.
    """
    x, y, width, height = boxes.T
    right, bottom = x + width, y + height
    wider = np.where(right < right.max(initial=0) - 1e-6, np.minimum(_SPREAD, width / 2), 0)
    higher = np.where(bottom < bottom.max(initial=0) - 1e-6, np.minimum(_SPREAD, height / 2), 0)
    return np.stack([x, y, width + wider, height + higher], axis=1)


def _diagonals(x: float, y: float, width: float, height: float) -> list[list[tuple[float, float]]]:
    """Parallel strokes from lower left to upper right that end at the edges of the box."""
    step = min(_HATCH_STEP, (width + height) / 2)
    lines = []
    for along in np.arange(step / 2, width + height, step):
        low = (x + max(0.0, along - height), y + min(height, along))
        high = (x + min(width, along), y + max(0.0, along - width))
        lines.append([low, high])
    return lines


def outline(
    ax: Axes, box: Box, *, linewidth: float = 0.8, gid: str = "target", dashed: bool = False
) -> Rectangle:
    """A frame whose stroke lies on the edge of the box."""
    x, y, width, height = box
    frame = Rectangle((x, y), width, height, fill=False, edgecolor=INK, linewidth=linewidth, gid=gid)
    frame.set_joinstyle("miter")
    if dashed:
        frame.set_linestyle((0, (3, 2)))
    frame.set_transform(in_points(ax))
    frame.set_clip_on(False)
    frame.set_zorder(3)
    ax.add_artist(frame)
    return frame


def edges(ax: Axes, boxes: Sequence[Box], *, linewidth: float) -> None:
    """Thin frames of many boxes at once."""
    paths = [_path(np.asarray(boxes, dtype=float).reshape(-1, 4))] if len(boxes) else []
    frames = PathCollection(paths, facecolors="none", edgecolors=INK, linewidths=linewidth)
    _add(ax, frames, gid="edges", zorder=2.6)


def rule(ax: Axes, start: tuple[float, float], end: tuple[float, float], *, gid: str = "axis") -> None:
    """A thin straight line between two points."""
    _add(ax, LineCollection([[start, end]], colors=[text_color()], linewidths=0.5), gid=gid, zorder=2.6)


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
    """An arc above the line from ``start`` to ``end``, half an ellipse, with the head of an arrow at its end."""
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
    """Where to put items one after another: (x, line), with a new line where the next would not fit."""
    places: list[tuple[float, int]] = []
    x, line = 0.0, 0
    for item in widths:
        if x and x + item > width:
            x, line = 0.0, line + 1
        places.append((x, line))
        x += item + gap
    return places
