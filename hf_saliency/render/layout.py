"""Layout: panels side by side and one below another, with their legends, in points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from matplotlib.axes import Axes

from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.render import points
from hf_saliency.render.colors import Colors, number
from hf_saliency.render.marks import Mark
from hf_saliency.render.passage import visible
from hf_saliency.render.points import Box
from hf_saliency.render.typeset.typeface import Typeface
from hf_saliency.render.typeset.wrap import TooNarrow, wrap

_BAR = 42.0  # points
_STEPS = 64
_GAP = 3.0


@dataclass(frozen=True)
class Legend:
    """One colour scale on one line, or on more where the width is short.

    Parameters
    ----------
    colors
        The scale.
    frames
        What frames there are, as :func:`frames_of` says it.
    fontsize
        In points, or relative to ``rcParams["font.size"]``.
    """

    colors: Colors
    frames: tuple[str, ...] = ()
    fontsize: float | str = "x-small"

    def height(self, width: float) -> float:
        """Height in points at a width in points."""
        lines, keys = self._places(width)
        return (max([len(lines) - 1, *(line for _, line in keys)]) + 1) * self._typeface.line

    def draw(self, ax: Axes) -> None:
        """Draw into the whole of an Axes."""
        typeface = self._typeface
        width, _ = points.size(ax)
        top = (typeface.line - typeface.capital) / 2
        baseline = top + typeface.capital
        self._scale(ax, top, baseline)
        lines, keys = self._places(width)
        for i, line in enumerate(lines):
            points.write(ax, self._indent, baseline + i * typeface.line, line, typeface)
        for text, (x, number_of_line) in zip(self._keys, keys, strict=True):
            down = number_of_line * typeface.line
            self._sign(ax, x, top + down, text)
            points.write(ax, x + self._box + _GAP, baseline + down, text, typeface)

    def _scale(self, ax: Axes, top: float, baseline: float) -> None:
        typeface, colors = self._typeface, self.colors
        points.write(ax, 0.0, baseline, self._least, typeface)
        x = typeface.advance(self._least) + _GAP
        height, step = typeface.capital, _BAR / _STEPS
        values = np.linspace(-colors.limit if colors.signed else 0, colors.limit, _STEPS)
        boxes = [(x + i * step, top, step, height) for i in range(_STEPS)]
        points.cells(ax, boxes, values, colors, joined=True)
        points.outline(ax, (x, top, _BAR, height), linewidth=0.3, gid="legend")
        if colors.signed:
            middle = x + (_BAR - typeface.advance("0")) / 2
            points.write(ax, middle, baseline, "0", typeface, color="black")
        points.write(ax, x + _BAR + _GAP, baseline, number(colors.limit), typeface)

    def _sign(self, ax: Axes, x: float, top: float, text: str) -> None:
        """A small box as it is drawn in the panels: hatched, or with a frame."""
        box = (x, top, self._box, self._typeface.capital)
        if text in self.frames:
            points.cells(ax, [box], np.zeros(1), self.colors)  # a black frame is not seen on a dark page
            inner = (x + 0.4, top + 0.4, self._box - 0.8, self._typeface.capital - 0.8)
            points.outline(ax, inner, linewidth=0.6, gid="legend", dashed=text != MASKED)
        else:
            points.cells(ax, [box], np.array([np.nan]), self.colors)
            points.outline(ax, box, linewidth=0.3, gid="legend")

    @cached_property
    def _typeface(self) -> Typeface:
        return Typeface(self.fontsize)

    @property
    def _box(self) -> float:
        return 2 * self._typeface.capital

    @property
    def _least(self) -> str:
        return number(-self.colors.limit) if self.colors.signed else "0"

    @cached_property
    def _keys(self) -> list[str]:
        missing = [", ".join(self.colors.missing)] if self.colors.missing else []
        return [*missing, *self.frames]

    @property
    def _indent(self) -> float:
        advance = self._typeface.advance
        return advance(self._least) + _BAR + advance(number(self.colors.limit)) + 4.5 * _GAP

    def _places(self, width: float) -> tuple[list[str], list[tuple[float, int]]]:
        """Lines of the label, and where each key stands: after the last line, or below it."""
        label, left = self.colors.label.replace(" = ", "\u00a0=\u00a0"), self._indent
        lines = [label[a:b] for a, b in wrap(label, width - left, self._typeface)]
        x, line = left + self._typeface.advance(lines[-1]), len(lines) - 1
        keys = []
        for text in self._keys:
            wide = self._box + _GAP + self._typeface.advance(text)
            if wide > width:
                raise TooNarrow("the legend", wide, width)
            x += 3 * _GAP
            if x + wide > width:
                x, line = (left if left + wide <= width else 0.0), line + 1
            keys.append((x, line))
            x += wide
        return lines, keys


MASKED = "masked"
TARGET = "target"


def frames_of(maps: Sequence[SaliencyMap]) -> tuple[str, ...]:
    """What the frames in some drawn maps stand for: a target that was masked, or one that was not."""
    masked = {t.masked for one in maps for t in one.targets if t.position is not None}
    return tuple(text for text, kind in ((MASKED, True), (TARGET, False)) if kind in masked)


_TITLE_GAP = 2.0  # points between a title and what it names
_NOTE_GAP = 1.5
_PANEL_GAP = 9.0
_COLUMN_GAP = 14.0
LEGEND_GAP = 6.0

Place = Callable[[Box], Axes]


@dataclass(frozen=True)
class Panel:
    """One map, drawn by a mark in a colour scale.

    Parameters
    ----------
    saliency_map
        As it is shown.
    mark
        Draws it.
    colors
        The scale.
    title
        Stands above it, if there is one.
    note
        Stands below it, if there is one.
    legend
        Whether the panel has its own legend.
    """

    saliency_map: SaliencyMap
    mark: Mark
    colors: Colors
    title: str = ""
    note: str = ""
    legend: bool = False

    def head(self, width: float) -> float:
        """Height of the title."""
        lines = len(self._lines(self.title, width, self.bold))
        return lines * self.bold.line + (_TITLE_GAP if lines else 0.0)

    def body(self, width: float) -> float:
        """Height of the map itself."""
        return self.mark.height(self.saliency_map, self.colors, width)

    def foot(self, width: float) -> float:
        """Height of the note and of the panel's own legend."""
        lines = len(self._lines(self.note, width, self.small))
        note = lines * self.small.line + (_NOTE_GAP if lines else 0.0)
        return note + (LEGEND_GAP + self.key.height(width) if self.legend else 0.0)

    def draw(self, place: Place, box: Box, head: float) -> None:
        """Draw everything into a box, the map at a distance ``head`` from its upper edge."""
        x, y, width, _ = box
        height = self.body(width)
        ax = place((x, y + head, width, height))
        self.mark.draw(ax, self.saliency_map, self.colors)
        self.draw_title(ax, -self.head(width), width=width)
        down = height
        for line in self._lines(self.note, width, self.small):
            points.write(ax, 0.0, down + _NOTE_GAP + self.small.ascent, line, self.small)
            down += self.small.line
        if self.legend:
            foot = self.foot(width)
            high = self.key.height(width)
            self.key.draw(place((x, y + head + height + foot - high, width, high)))

    def draw_title(self, ax: Axes, y: float, *, width: float) -> None:
        """Draw the title at a distance in points from the upper edge of an Axes."""
        for i, line in enumerate(self._lines(self.title, width, self.bold)):
            points.write(ax, 0.0, y + i * self.bold.line + self.bold.ascent, line, self.bold)

    @cached_property
    def bold(self) -> Typeface:
        return Typeface("small", weight="bold")

    @cached_property
    def small(self) -> Typeface:
        return Typeface("x-small")

    @property
    def key(self) -> Legend:
        return Legend(self.colors, frames_of([self.saliency_map]))

    @staticmethod
    def _lines(text: str, width: float, typeface: Typeface) -> list[str]:
        if not text:
            return []
        shown = "\n".join(visible(line) for line in text.split("\n"))
        return [shown[start:end] for start, end in wrap(shown, width, typeface)]


@dataclass(frozen=True)
class PanelGrid:
    """Panels in rows, in reading order, and under the last row the legend if they share one.

    Parameters
    ----------
    panels
        From left to right and from top to bottom.
    width
        Of the whole, in points.
    columns
        How many stand side by side, in equal widths.
    """

    panels: Sequence[Panel]
    width: float
    columns: int = 1

    @property
    def column(self) -> float:
        """Width of a panel."""
        return (self.width - (self.columns - 1) * _COLUMN_GAP) / self.columns

    @property
    def height(self) -> float:
        """Height of the whole in points."""
        rows = [sum(self._row(row)) for row in self._rows]
        return sum(rows) + _PANEL_GAP * (len(rows) - 1) + self._below

    def draw(self, place: Place) -> None:
        """Draw everything; ``place`` makes the Axes for a box in points from the upper left corner."""
        y = 0.0
        for row in self._rows:
            head, body, foot = self._row(row)
            for i, panel in enumerate(row):
                x = i * (self.column + _COLUMN_GAP)
                panel.draw(place, (x, y, self.column, head + body + foot), head)
            y += head + body + foot + _PANEL_GAP
        if self._legend is not None:
            top = y - _PANEL_GAP + LEGEND_GAP
            self._legend.draw(place((0.0, top, self.width, self._legend.height(self.width))))

    @property
    def _rows(self) -> list[Sequence[Panel]]:
        return [self.panels[i : i + self.columns] for i in range(0, len(self.panels), self.columns)]

    def _row(self, row: Sequence[Panel]) -> tuple[float, float, float]:
        """Heights of a row's titles, of its maps, and of what stands below them."""
        width = self.column
        return (
            max(panel.head(width) for panel in row),
            max(panel.body(width) for panel in row),
            max(panel.foot(width) for panel in row),
        )

    @cached_property
    def _legend(self) -> Legend | None:
        if self.panels[0].legend:
            return None
        return Legend(self.panels[0].colors, frames_of([panel.saliency_map for panel in self.panels]))

    @property
    def _below(self) -> float:
        return 0.0 if self._legend is None else LEGEND_GAP + self._legend.height(self.width)
