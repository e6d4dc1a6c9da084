"""Layout: panels in rows and columns, with their legends, in points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import numpy as np
from matplotlib.axes import Axes

from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.render import points
from hf_saliency.render.colors import Colors, number
from hf_saliency.render.marks.mark import Mark
from hf_saliency.render.passage import visible
from hf_saliency.render.points import Box
from hf_saliency.render.typeset.typeface import SMALLEST, TooNarrow, Typeface, wrap

_BAR = 42.0  # points, for 10-point type, as all lengths here
_STEPS = 64
_GAP = 3.0
_SIDE = 64.0  # width of a legend next to the panels
_STEP = 0.25  # points by which the type shrinks until the longest word fits


@dataclass(frozen=True)
class Legend:
    """One colour scale: on one line, on several if the width is too small, or upright next to the panels."""

    colors: Colors
    frames: tuple[str, ...] = ()  # from frames_of()
    fontsize: float | str = "x-small"  # in points, or relative to rcParams["font.size"]
    upright: bool = False  # the scale is vertical, with its texts below

    def height(self, width: float) -> float:
        """Height in points at a width in points."""
        return self._plan(width).height

    def draw(self, ax: Axes) -> None:
        """Draw into the whole of an Axes."""
        plan = self._plan(points.size(ax)[0])
        face = plan.typeface
        top = (face.line - face.capital) / 2
        for x, text in plan.numbers:
            points.write(ax, x, plan.y + top + face.capital, text, face)
        for box, low, high in plan.ramps:
            self._ramp(ax, box, low, high)
        for x, y, text in plan.lines:
            points.write(ax, x, y + top + face.capital, text, face)
        for x, y, text in plan.keys:
            self._sign(ax, (x, y + top, 2 * face.capital, face.capital), text)
            points.write(ax, x + 2 * face.capital + points.scaled(_GAP), y + top + face.capital, text, face)

    def _ramp(self, ax: Axes, box: Box, low: float, high: float) -> None:
        """Draw the colours from one score to another, from left to right or from bottom to top."""
        x, y, width, height = box
        values = low + (high - low) * (np.arange(_STEPS) + 0.5) / _STEPS
        values[0], values[-1] = low, high
        if self.upright:
            step = height / _STEPS
            boxes = [(x, y + height - (i + 1) * step, width, step) for i in range(_STEPS)]
        else:
            step = width / _STEPS
            boxes = [(x + i * step, y, step, height) for i in range(_STEPS)]
        points.cells(ax, boxes, values, self.colors, joined=True)
        points.outline(ax, box, linewidth=0.3, gid="legend")

    def _sign(self, ax: Axes, box: Box, text: str) -> None:
        """Draw a small box like those in the panels: not finite, with a frame, or clipped."""
        x, top, width, height = box
        value = self.colors.limit * 2 if text == CLIPPED else 0.0 if text in self.frames else np.nan
        points.cells(ax, [box], np.array([value]), self.colors)
        if text in self.frames:
            inner = (x + 0.4, top + 0.4, width - 0.8, height - 0.8)
            points.outline(
                ax, inner, color=self.colors.ink, linewidth=0.6, gid="legend", dashed=text != MASKED
            )
        else:
            points.outline(ax, box, linewidth=0.3, gid="legend")

    @cached_property
    def _keys(self) -> list[str]:
        missing = [", ".join(self.colors.missing)] if self.colors.missing else []
        return [*missing, *([CLIPPED] if self.colors.clipped else []), *self.frames]

    def _plan(self, width: float) -> _LegendPlan:
        """The places of all parts, in the largest type in which every word fits."""
        label = self.colors.label.replace(" = ", "\u00a0=\u00a0")
        largest = Typeface(self.fontsize)
        for size in [*np.arange(largest.points, SMALLEST, -_STEP).tolist(), min(SMALLEST, largest.points)]:
            face = Typeface(size)
            keys = [2 * face.capital + points.scaled(_GAP) + face.advance(text) for text in self._keys]
            try:
                lines = _even(label, width, face) if label else []
            except TooNarrow:
                continue
            if max(keys, default=0.0) <= width:
                break
        else:
            lines = [face.elide(word, width) for word in label.split(" ")]
        return self._upright(width, face, lines) if self.upright else self._level(width, face, lines)

    def _ends(self) -> tuple[str, str]:
        colors = self.colors
        beyond = "≥" * colors.clipped
        least = f"{'≤' * colors.clipped}{number(-colors.limit)}" if colors.signed else "0"
        return least, beyond + number(colors.limit)

    def _level(self, width: float, face: Typeface, lines: Sequence[str]) -> _LegendPlan:
        """Scale, label and keys on one line if they fit, otherwise with the label below the others."""
        gap, high = points.scaled(_GAP), face.capital
        top = (face.line - high) / 2
        least, most = self._ends()
        occupied = face.advance(least) + face.advance(most) + 2 * gap
        occupied += face.advance("0") + gap if self.colors.signed else 0.0
        label = " ".join(lines)
        widths = [2 * high + gap + face.advance(text) for text in self._keys]
        written_wide = (1.5 * gap + face.advance(label) if label else 0.0) + sum(3 * gap + w for w in widths)
        # A shorter ramp may keep everything on one line, or everything but the label.
        full, room = points.scaled(_BAR), width - occupied - 0.01
        spares = (room - written_wide, room - sum(3 * gap + w for w in widths), max(room, gap))
        bar = min(full, next((spare for spare in spares[:2] if spare >= full / 2), spares[2]))
        x = face.advance(least) + gap
        numbers, ramps = [(0.0, least)], []
        if self.colors.signed:
            half, zero = bar / 2, face.advance("0") + gap
            ramps.append(((x, top, half, high), -self.colors.limit, 0.0))
            numbers.append((x + half + gap / 2, "0"))
            x += half + zero
            ramps.append(((x, top, half, high), 0.0, self.colors.limit))
            x += half
        else:
            ramps.append(((x, top, bar, high), 0.0, self.colors.limit))
            x += bar
        numbers.append((x + gap, most))
        x += gap + face.advance(most)
        beside = x + 1.5 * gap + face.advance(label)
        if beside + sum(3 * gap + wide for wide in widths) <= width:
            written = [(x + 1.5 * gap, 0.0, label)] if label else []
            start, y, below = beside if label else x, 0.0, 0.0
        else:
            start, y, below = x, 0.0, face.line
            written = []
        keys = []
        for text, wide in zip(self._keys, widths, strict=True):
            start += 3 * gap if start else 0.0
            if start + wide > width:
                start, y = 0.0, y + face.line
            keys.append((start, y, text))
            start += wide
        if below:
            room = width - 3 * gap - widths[-1] if keys and y and keys[-1][0] == 0.0 else 0.0
            shorter = _shortened(lines, room, face)
            if shorter:  # the last key goes next to the label rather than on a separate line
                lines, y = shorter, y - face.line
                keys[-1] = (face.advance(lines[-1]) + 3 * gap, y + len(lines) * face.line, keys[-1][2])
            written = [(0.0, y + (i + 1) * face.line, line) for i, line in enumerate(lines)]
        height = y + face.line + (len(lines) * face.line if below else 0.0) + max(0.0, face.descent - top)
        return _LegendPlan(face, height, numbers, ramps, written, keys)

    def _upright(self, width: float, face: Typeface, lines: Sequence[str]) -> _LegendPlan:
        gap, bar, wide = points.scaled(_GAP), points.scaled(_BAR), face.capital
        low = -self.colors.limit if self.colors.signed else 0.0
        least, most = self._ends()
        ramps = [((0.0, 0.0, wide, bar), low, self.colors.limit)]
        x, top = wide + gap, (face.line - face.capital) / 2
        written = [(x, -top, most), (x, bar - face.line + top, least)]
        if self.colors.signed:
            written.append((x, (bar - face.line) / 2, "0"))
        y = bar + gap
        for line in lines:
            written.append((0.0, y, line))
            y += face.line
        keys = []
        for text in self._keys:
            keys.append((0.0, y, text))
            y += face.line
        return _LegendPlan(face, y + max(0.0, face.descent - top), [], ramps, written, keys)


def _even(label: str, width: float, face: Typeface) -> list[str]:
    """The lines of a label; avoids a single word on the last line if that needs no more lines."""
    lines = [label[a:b] for a, b in wrap(label, width, face)]
    narrower = width
    while len(lines) > 1 and " " not in lines[-1]:
        narrower -= face.points / 2
        try:
            again = [label[a:b] for a, b in wrap(label, narrower, face)]
        except TooNarrow:
            break
        if len(again) > len(lines):
            break
        lines = again
    return lines


def _shortened(lines: Sequence[str], width: float, face: Typeface) -> Sequence[str]:
    """The lines, or the same words on one more line, if the last line then fits into ``width``; otherwise nothing."""
    if lines and face.advance(lines[-1]) <= width:
        return lines
    longest, label = max(map(face.advance, lines), default=0.0), " ".join(lines)
    for share in np.arange(0.95, 0.45, -0.05).tolist():
        try:
            more = _even(label, share * longest, face)
        except TooNarrow:
            break
        if len(more) == len(lines) + 1 and face.advance(more[-1]) <= width:
            return more
    return []


@dataclass(frozen=True)
class _LegendPlan:
    """The places of the parts of a legend."""

    typeface: Typeface
    height: float
    numbers: Sequence[tuple[float, str]]
    ramps: Sequence[tuple[Box, float, float]]
    lines: Sequence[tuple[float, float, str]]
    keys: Sequence[tuple[float, float, str]]
    y: float = 0.0


CLIPPED = "beyond the limit"
MASKED = "masked"
TARGET = "target"


def frames_of(maps: Sequence[SaliencyMap]) -> tuple[str, ...]:
    """The meanings of the frames in some maps: a target that was masked, or one that was not."""
    masked = {t.masked for heat in maps for t in heat.targets if t.position is not None}
    return tuple(text for text, kind in ((MASKED, True), (TARGET, False)) if kind in masked)


_TITLE_GAP = 2.0  # points between a title and the drawing below it
_NOTE_GAP = 1.5
_PANEL_GAP = 9.0
_COLUMN_GAP = 14.0
LEGEND_GAP = 6.0

Place = Callable[[Box], Axes]


@dataclass(frozen=True)
class Panel:
    """One map, drawn by a mark in a colour scale, with a title above it and a note below it."""

    saliency_map: SaliencyMap
    mark: Mark
    colors: Colors
    title: str = ""
    note: str = ""
    legend: bool = False  # the panel has its own legend

    def head(self, width: float) -> float:
        """Height of the title."""
        lines = len(self._lines(self.title, width, self.bold))
        return lines * self.bold.line + (points.scaled(_TITLE_GAP) if lines else 0.0)

    def body(self, width: float) -> float:
        """Height of the map itself."""
        if width not in self._bodies:
            self._bodies[width] = self.mark.height(self.saliency_map, self.colors, width)
        return self._bodies[width]

    @cached_property
    def _bodies(self) -> dict[float, float]:
        """Heights by width, so that text is broken into lines only once for each width."""
        return {}

    def foot(self, width: float) -> float:
        """Height of the note and of the panel's own legend."""
        lines = len(self._lines(self.note, width, self.small))
        note = lines * self.small.line + (points.scaled(_NOTE_GAP) if lines else 0.0)
        return note + (points.scaled(LEGEND_GAP) + self.key.height(width) if self.legend else 0.0)

    def draw(self, place: Place, box: Box, head: float) -> Axes:
        """Draw everything into a box, the map in separate Axes at a distance ``head`` from the box's upper edge."""
        x, y, width, _ = box
        height = self.body(width)
        ax = place((x, y + head, width, height))
        self.mark.draw(ax, self.saliency_map, self.colors)
        self.draw_title(ax, -self.head(width), width=width)
        down = height
        for line in self._lines(self.note, width, self.small):
            points.write(ax, 0.0, down + points.scaled(_NOTE_GAP) + self.small.ascent, line, self.small)
            down += self.small.line
        if self.legend:
            foot = self.foot(width)
            high = self.key.height(width)
            self.key.draw(place((x, y + head + height + foot - high, width, high)))
        return ax

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
        framed = [self.saliency_map] if getattr(self.mark, "draws_frames", True) else []
        return Legend(self.colors, frames_of(framed))

    @staticmethod
    def _lines(text: str, width: float, typeface: Typeface) -> list[str]:
        if not text:
            return []
        shown = "\n".join(visible(line) for line in text.split("\n"))
        return [shown[start:end] for start, end in wrap(shown, width, typeface)]


def frames_drawn(panels: Sequence[AnyPanel]) -> tuple[str, ...]:
    """The meanings of the frames in some panels."""
    maps = [
        panel for panel in panels if isinstance(panel, Panel) and getattr(panel.mark, "draws_frames", True)
    ]
    return frames_of([panel.saliency_map for panel in maps])


Position = Literal["bottom", "top", "right"]


class AnyPanel(Protocol):
    """A panel of a figure: a drawing with a title above it and notes below it."""

    @property
    def legend(self) -> bool:
        """Whether the panel explains its own colours."""

    def head(self, width: float) -> float:
        """Height of the title."""

    def body(self, width: float) -> float:
        """Height of the drawing."""

    def foot(self, width: float) -> float:
        """Height of everything below the drawing."""

    def draw(self, place: Place, box: Box, head: float) -> Axes:
        """Draw everything into a box, and return the Axes of the drawing."""


@dataclass(frozen=True)
class PanelGrid:
    """Panels in rows, in reading order, with a title above them and a legend if they share one."""

    panels: Sequence[AnyPanel]
    width: float  # of the whole, in points
    columns: int = 1  # side by side, of equal width
    title: str = ""  # of the whole
    legend: Position | None = "bottom"  # position of the shared legend
    frames: tuple[str, ...] | None = None  # its keys; None for those of the panels

    @property
    def column(self) -> float:
        """Width of a panel."""
        return (self._inner - (self.columns - 1) * points.scaled(_COLUMN_GAP)) / self.columns

    @property
    def height(self) -> float:
        """Height of the whole in points."""
        content = self._content
        if self._legend is None:
            return self._above + content
        legend = self._legend.height(self._legend_width)
        beside = self.legend == "right"
        return self._above + (
            max(content, legend) if beside else content + points.scaled(LEGEND_GAP) + legend
        )

    def draw(self, place: Place) -> list[Axes]:
        """Draw everything; ``place`` makes the Axes for a box in points from the upper left corner."""
        y = self._above
        if self.title:
            ax = place((0.0, 0.0, self.width, self._above))
            ax.set_label("title")
            for i, line in enumerate(self._title_lines):
                points.write(ax, 0.0, i * self._large.line + self._large.ascent, line, self._large)
        if self._legend is not None and self.legend == "top":
            high = self._legend.height(self.width)
            self._draw_legend(place((0.0, y, self.width, high)))
            y += high + points.scaled(LEGEND_GAP)
        drawn: list[Axes] = []
        start = y
        for row in self._rows:
            head, body, foot = self._row(row)
            for i, panel in enumerate(row):
                x = i * (self.column + points.scaled(_COLUMN_GAP))
                drawn.append(panel.draw(place, (x, y, self.column, head + body + foot), head))
                drawn[-1].set_label(f"panel {len(drawn) - 1}")
            y += head + body + foot + points.scaled(_PANEL_GAP)
        if self._legend is not None and self.legend != "top":
            top = y - points.scaled(_PANEL_GAP) + points.scaled(LEGEND_GAP)
            x = 0.0
            if self.legend == "right":
                x, top = self.width - self._legend_width, start
            high = self._legend.height(self._legend_width)
            self._draw_legend(place((x, top, self._legend_width, high)))
        return drawn

    def _draw_legend(self, ax: Axes) -> None:
        assert self._legend is not None
        ax.set_label("legend")
        self._legend.draw(ax)

    @cached_property
    def _large(self) -> Typeface:
        return Typeface("medium", weight="bold")

    @cached_property
    def _title_lines(self) -> list[str]:
        if not self.title:
            return []
        shown = "\n".join(visible(line) for line in self.title.split("\n"))
        return [shown[a:b] for a, b in wrap(shown, self.width, self._large)]

    @property
    def _above(self) -> float:
        """Height of the title of the whole."""
        lines = len(self._title_lines)
        return lines * self._large.line + (points.scaled(_PANEL_GAP) / 2 if lines else 0.0)

    @property
    def _content(self) -> float:
        rows = [sum(self._row(row)) for row in self._rows]
        return sum(rows) + points.scaled(_PANEL_GAP) * (len(rows) - 1)

    @property
    def _legend_width(self) -> float:
        return min(points.scaled(_SIDE), self.width / 3) if self.legend == "right" else self.width

    @property
    def _inner(self) -> float:
        """Width of all panels."""
        if self._legend is None or self.legend != "right":
            return self.width
        return self.width - self._legend_width - points.scaled(LEGEND_GAP)

    @property
    def _rows(self) -> list[Sequence[AnyPanel]]:
        return [self.panels[i : i + self.columns] for i in range(0, len(self.panels), self.columns)]

    def _row(self, row: Sequence[AnyPanel]) -> tuple[float, float, float]:
        """Heights of a row's titles, of its maps, and of everything below them."""
        width = self.column
        return (
            max(panel.head(width) for panel in row),
            max(panel.body(width) for panel in row),
            max(panel.foot(width) for panel in row),
        )

    @cached_property
    def _legend(self) -> Legend | None:
        panels = [panel for panel in self.panels if isinstance(panel, Panel)]
        if self.panels[0].legend or self.legend is None or not panels:
            return None
        frames = frames_drawn(panels) if self.frames is None else self.frames
        return Legend(panels[0].colors, frames, upright=self.legend == "right")
