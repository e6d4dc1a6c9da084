"""Plan: from panels to a new figure, or to Axes that the caller made."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hf_saliency.errors import SaliencyError
from hf_saliency.render import points
from hf_saliency.render.files import SaliencyFigure
from hf_saliency.render.layout import AnyPanel, Panel, PanelGrid, Position, frames_drawn
from hf_saliency.render.marks import Bars
from hf_saliency.render.points import Box
from hf_saliency.render.settings import inches, settings
from hf_saliency.render.typeset.typeface import SMALLEST, TooNarrow

Align = Literal["top", "center", "bottom"]

MARGIN = 1.0  # points; half a stroke of a frame, so that the figure still lines up with the column of text
_LONG = 60  # tokens; with more of them, an error also suggests drawing fewer
_SMALLEST_SHARE = 0.5  # of the font size, the least to which type shrinks to fit into Axes


@dataclass(frozen=True)
class Plan:
    """The content of one figure or one Axes, before its width is known.

    ``frames`` holds the keys of the legend if the legend also explains panels in other Axes.
    """

    panels: Sequence[AnyPanel]
    columns: int = 1
    suptitle: str = ""
    legend: Position | None = "bottom"
    frames: tuple[str, ...] | None = None

    def grid(self, width: float) -> PanelGrid:
        """The layout at a width in points."""
        # Fresh panels, since the measurements that panels keep hold for one font size only.
        fresh = [dataclasses.replace(cast(Any, panel)) for panel in self.panels]
        grid = PanelGrid(fresh, width, self.columns, self.suptitle, self.legend, self.frames)
        level = level_bars(fresh, grid.column)
        if self.legend is None:  # none below the panels, nor in panels with separate scales
            level = [dataclasses.replace(p, legend=False) if isinstance(p, Panel) else p for p in level]
        return dataclasses.replace(grid, panels=level)

    def height(self, width: float) -> float:
        """Height in points at a width in inches."""
        return _height(self.grid(width * 72), width)

    def split(self, width: float) -> list[Plan]:
        """A plan for each panel, with one legend for all: in the first if it is on top, otherwise in the last."""
        frames = frames_drawn(self.panels)
        place = 0 if self.legend == "top" else len(self.panels) - 1
        return [
            Plan([panel], legend=self.legend if i == place or panel.legend else None, frames=frames)
            for i, panel in enumerate(level_bars(self.panels, width))
        ]


def level_bars(panels: Sequence[AnyPanel], width: float) -> list[AnyPanel]:
    """The panels, with the same zero and the same unit length for all horizontal bars that share a scale.

    To this end, all of them get the same room for labels and for bars.
    """
    level = [
        (i, panel, panel.mark)
        for i, panel in enumerate(panels)
        if isinstance(panel, Panel)
        and isinstance(panel.mark, Bars)
        and not panel.mark.vertical
        and not panel.legend
    ]
    if len(level) < 2:
        return list(panels)

    def shared(marks: Sequence[Bars], name: str, least: float | None) -> list[Bars]:
        """The marks, with a size in inches where they set none themselves."""
        return [m if getattr(m, name) else dataclasses.replace(cast(Any, m), **{name: least}) for m in marks]

    lying = [mark.lying(panel.saliency_map, panel.colors, width) for _, panel, mark in level]
    labels = (max(bars.label_width for bars in lying) + 0.01) / 72
    marks = shared([mark for _, _, mark in level], "labels", labels)
    lying = [
        mark.lying(panel.saliency_map, panel.colors, width)
        for mark, (_, panel, _) in zip(marks, level, strict=True)
    ]
    narrowest = min(bars.field for bars in lying) / 72
    if narrowest > 0:
        marks = shared(marks, "field", narrowest)
    leveled = list(panels)
    for (i, panel, _), mark in zip(level, marks, strict=True):
        leveled[i] = dataclasses.replace(panel, mark=mark)
    return leveled


def new_figure(plan: Plan, width: float) -> SaliencyFigure:
    """The figure of a plan, ``width`` inches wide and as high as it needs to be."""
    grid = plan.grid(width * 72 - 2 * MARGIN)
    new = blank(width, _height(grid, width) + 2 * MARGIN)
    drawn = grid.draw(place_in(new))
    new.panels = tuple(
        (ax, panel.mark.shown(panel.saliency_map))
        for ax, panel in zip(drawn, plan.panels, strict=True)
        if isinstance(panel, Panel)
    )
    return new


def blank(width: float, height: float) -> SaliencyFigure:
    """An empty figure, ``width`` inches wide and ``height`` points high."""
    new = SaliencyFigure(figsize=(width, height / 72))
    new.set_layout_engine("none")
    return new


def place_in(new: Figure) -> Any:
    """A function that makes Axes for a box in points from the upper left corner inside the margins."""
    wide, high = new.get_size_inches() * 72

    def place(box: Box) -> Axes:
        x, y, w, h = box
        left, bottom = MARGIN + x, high - MARGIN - y - h
        ax = new.add_axes((left / wide, bottom / high, w / wide, h / high))
        ax.set_axis_off()
        return ax

    return place


def draw_into(
    axes: Sequence[Axes], plan: Plan, width: float | str | None, align: Align, shrink: bool
) -> None:
    """Draw a plan into one Axes, or each of its panels into one, with one font size and one scale of bars for all."""
    sizes = [points.size(ax) for ax in axes]
    widths = [inches(width, wide / 72) for wide, _ in sizes]
    base = float(mpl.rcParams["font.size"])
    size = base
    while True:
        with settings({"font.size": size}):
            parts = [plan] if len(axes) == 1 else plan.split(min(widths) * 72)
            grids = [part.grid(across * 72) for part, across in zip(parts, widths, strict=True)]
            heights = [_height_or_infinity(*each, shrink) for each in zip(grids, widths, strict=True)]
            misfit = next(filter(None, map(_misfit, widths, heights, sizes)), None)
            if misfit is None:
                for ax, grid, height, room in zip(axes, grids, heights, sizes, strict=True):
                    grid.draw(_place_inside(ax, height, room, align))
                return
        smaller = size - 0.25
        if not shrink or smaller < max(SMALLEST, _SMALLEST_SHARE * base):
            raise misfit
        size = smaller


def _height_or_infinity(grid: PanelGrid, width: float, shrink: bool) -> float:
    """The height in points; infinite if the drawing is too wide but smaller type may still make it fit."""
    try:
        return _height(grid, width)
    except SaliencyError:
        if not shrink:
            raise
        return math.inf


def _misfit(across: float, height: float, room: tuple[float, float]) -> SaliencyError | None:
    """The error for Axes that are too small at this font size; None if the drawing fits."""
    wide, high = room
    if height <= high + 1e-6 and across * 72 <= wide + 1e-6:
        return None
    return _too_small(across, height, wide, high)


def _place_inside(ax: Axes, height: float, room: tuple[float, float], align: Align) -> Any:
    """A function that makes Axes inside others for a box in points from the upper left corner of the drawing."""
    wide, high = room
    start = {"top": 0.0, "center": (high - height) / 2, "bottom": high - height}[align]

    def place(box: Box) -> Axes:
        x, y, w, h = box
        child = ax.inset_axes((x / wide, 1 - (start + y + h) / high, w / wide, h / high))
        child.set_axis_off()
        return child

    ax.set_axis_off()
    return place


def _too_small(across: float, height: float, wide: float, high: float) -> SaliencyError:
    if math.isinf(height):
        return SaliencyError(
            f"these axes of {wide / 72:.2f} x {high / 72:.2f} in are too narrow for the drawing, even at the smallest "
            "font size: make them wider, or draw fewer tokens, figure(..., around=20)."
        )
    return SaliencyError(
        f"the drawing is {across:.2f} x {height / 72:.2f} in, but these axes are {wide / 72:.2f} x "
        f"{high / 72:.2f} in: make them larger, such as "
        f"Figure(figsize=({across:.2f}, {height / 72 + 0.01:.2f})).add_axes((0, 0, 1, 1)), or reduce the font "
        "size, figure(..., ax=ax, shrink=True)."
    )


def _height(grid: PanelGrid, width: float) -> float:
    try:
        return grid.height
    except TooNarrow as error:
        raise too_narrow(grid, width, error, "figure") from error


def too_narrow(grid: PanelGrid, width: float, error: TooNarrow, function: str) -> SaliencyError:
    """An error that names the smallest width at which everything fits, and the call that works."""
    around = width * 72 - grid.width
    least = math.ceil((_least(grid, error) + around) / 72 * 100) / 100
    longest = max((len(p.saliency_map.tokens) for p in grid.panels if isinstance(p, Panel)), default=0)
    fewer = ", or draw fewer tokens, figure(..., targets=0, around=10)" if longest > _LONG else ""
    return SaliencyError(
        f"a width of {width:.4g} in is too narrow for {error.what}: the smallest width is {least:.2f} in, "
        f"{function}(..., width={least:.2f}){fewer}."
    )


def _least(grid: PanelGrid, error: TooNarrow) -> float:
    """The width in points at which everything fits, found by widening until no part is too narrow."""
    while True:
        wider = grid.width + grid.columns * (error.needed - error.width + 0.01)
        grid = dataclasses.replace(grid, width=wider)
        try:
            _ = grid.height
            return grid.width
        except TooNarrow as another:
            error = another
