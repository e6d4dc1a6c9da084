"""NumberAxis: an axis with round ticks for the marks that draw tables, and the notes and keys below them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from hf_saliency.errors import SaliencyError
from hf_saliency.maps.table import Table
from hf_saliency.maps.wording import METHOD_NAMES
from hf_saliency.render import points
from hf_saliency.render.colors import decimals, distinct
from hf_saliency.render.passage import visible
from hf_saliency.render.typeset.typeface import Typeface

GAP = 3.0  # points, for 10-point type
# Distinct for every type of colour blindness; each has a contrast of 3 on white and on black.
_HUES = ("#0072b2", "#d55e00", "#009e73", "#8c6bb1", "#b5651d", "#7a7a7a")
_DASHES = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))
_MARKERS = "osD^vP"


@dataclass(frozen=True)
class NumberAxis:
    """Numbers along a line whose start and length are in points."""

    values: np.ndarray  # all of them lie inside the limits
    start: float
    length: float
    zero: bool = False  # 0 lies inside the limits too
    count: int = 5  # approximate number of ticks
    whole: bool = False  # ticks are integers only: there is no half token

    @cached_property
    def limits(self) -> tuple[float, float]:
        """The first and the last number."""
        finite = self.values[np.isfinite(self.values)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        if self.zero:
            low, high = min(low, 0.0), max(high, 0.0)
        if low == high:
            low, high = (low - 0.5, high + 0.5) if not self.zero else (low, high + 1.0)
        margin = 0.02 * (high - low)
        return (low if self.zero and low == 0 else low - margin), (
            high if self.zero and high == 0 else high + margin
        )

    @cached_property
    def ticks(self) -> list[tuple[float, str]]:
        """Round numbers inside the limits, all with the same number of decimals."""
        low, high = self.limits
        steps = [1, 2, 5, 10] if self.whole else [1, 2, 2.5, 5, 10]
        locator = MaxNLocator(nbins=self.count, steps=steps, integer=self.whole)
        inside = [tick for tick in locator.tick_values(low, high) if low - 1e-12 <= tick <= high + 1e-12]
        places = next(
            p for p in range(13) if p == 12 or np.allclose(np.round(inside, p), inside, rtol=1e-6, atol=0)
        )
        return [(tick, decimals(tick, places)) for tick in inside]

    def at(self, value: float) -> float:
        """Return the position of a number, in points from the left; NaN for NaN."""
        low, high = self.limits
        return self.start + (value - low) / (high - low) * self.length

    def up(self, value: float) -> float:
        """Return the position of a number on a vertical axis that runs upwards from ``start + length``."""
        return 2 * self.start + self.length - self.at(value)

    def draw(self, ax: Axes, y: float, typeface: Typeface) -> None:
        """Draw the line with its ticks and numbers, at a distance in points from the upper edge."""
        points.rule(ax, (self.start, y), (self.start + self.length, y))
        free = -math.inf
        for value, text in self.ticks:
            x, wide = self.at(value), typeface.advance(text)
            points.rule(ax, (x, y), (x, y + points.scaled(GAP) / 2))
            left = min(max(x - wide / 2, self.start - wide / 2), self.start + self.length - wide / 2)
            if left > free:
                points.write(ax, left, y + points.scaled(GAP) + typeface.ascent, text, typeface)
                free = left + wide + points.scaled(GAP)

    def height(self, typeface: Typeface) -> float:
        """Height of the line with its numbers, in points."""
        return points.scaled(GAP) + typeface.line


def columns_of(table: Table, names: Sequence[str], mark: str) -> None:
    """Raise SaliencyError for a table that has no rows, or lacks a column that a mark draws."""
    missing = [name for name in names if name not in table]
    if missing:
        there = ", ".join(map(repr, table.columns))
        raise SaliencyError(
            f"{mark} draws the columns {', '.join(map(repr, names))}; this table has {there}. "
            "The docstring of hf_saliency.Table lists the mark for each kind of table."
        )
    if not len(table):
        raise SaliencyError("this table has no rows, so there is nothing to draw.")


def groups_of(table: Table) -> list[str]:
    """The names of the groups, in order; one empty name if the table has no groups."""
    return list(dict.fromkeys(map(str, table["group"].tolist()))) if "group" in table else [""]


def rows_of(table: Table, group: str) -> Table:
    return table if "group" not in table else table.select(table["group"].astype(str) == group)


def ends_of(table: Table) -> tuple[np.ndarray, np.ndarray]:
    """Both ends of each interval; NaN if the table has none."""
    nothing = np.full(len(table), np.nan)
    low, high = (table.columns.get(name, nothing) for name in ("low", "high"))
    return np.asarray(low, float), np.asarray(high, float)


def hue(index: int) -> str:
    """The colour of a group on the current figure."""
    return distinct(_HUES[index % len(_HUES)])


def dashes(index: int) -> object:
    """The line style of a group, which distinguishes it in greyscale."""
    return _DASHES[index % len(_DASHES)]


def marker(index: int) -> str:
    return _MARKERS[index % len(_MARKERS)]


def note_of(table: Table, sign: str) -> str:
    """Return a note on the number of texts and the kind of intervals; ``sign`` names the marks that show intervals."""
    parts = []
    if "n" in table:
        low, high = int(table["n"].min()), int(table["n"].max())
        parts.append(f"n = {low}" if low == high else f"n = {low} to {high}")
    elif "n" in table.facts:
        parts.append(f"n = {table.facts['n']}")
    low_ends, _ = ends_of(table)
    if np.isfinite(low_ends).any():
        parts.append(f"{sign}: {_interval(table)}")
    return ", ".join(parts)


def _interval(table: Table) -> str:
    """Describe the intervals of a table: by name, by level, or by the (kind, level, resamples) of ``summarize``."""
    interval = table.facts.get("interval", "interval")
    if isinstance(interval, str):
        return interval
    level = interval[1] if isinstance(interval, (list, tuple)) else interval
    return f"{100 * float(level):g} % interval"


def text(label: object) -> str:
    """Return a label of a table on one line."""
    plain = str(label)
    return visible(plain.strip() or plain)


def name(label: object) -> str:
    """Return a label; the name of a method is written as in papers."""
    return text(METHOD_NAMES.get(str(label), label))


def group_name(table: Table, group: str) -> str:
    """Return the name of a group: that of a method, or plain words for a metric."""
    return text(group.replace("_", " ")) if "better" in table else name(group)


@dataclass(frozen=True)
class Keys:
    """The names of groups, each after a sample of its colour and marker; empty for fewer than two groups."""

    names: Sequence[str]
    typeface: Typeface
    width: float  # in points
    colors: Sequence[str] = ()  # of the groups; by default those of the palette, in order
    dots: bool = True  # lines have markers
    bars: bool = False  # the groups are bars rather than lines

    @property
    def height(self) -> float:
        """Height in points."""
        return (self._places[-1][1] + 1) * self.typeface.line if self._places else 0.0

    def draw(self, ax: Axes, y: float) -> None:
        """Draw the names, each after its sample."""
        long, high = self._long, self.typeface.capital
        for i, (x, line) in enumerate(self._places):
            baseline = y + line * self.typeface.line + self.typeface.ascent
            middle = baseline - self.typeface.capital / 2
            color = self.colors[i] if self.colors else hue(i)
            if self.bars:
                points.bar(ax, (x, baseline - high, long, high), color=color, gid="key")
            else:
                points.line(ax, [x, x + long], [middle, middle], color=color, dashes=dashes(i))
            if self.dots and not self.bars:
                points.dot(ax, x + long / 2, middle, color=color, marker=marker(i))
            points.write(ax, x + long + points.scaled(GAP), baseline, self._texts[i], self.typeface)

    @property
    def _long(self) -> float:
        return self.typeface.capital if self.bars else points.scaled(12.0)

    @cached_property
    def _texts(self) -> list[str]:
        return [name(each) for each in self.names]

    @cached_property
    def _places(self) -> list[tuple[float, int]]:
        if len(self.names) < 2:
            return []
        widths = [self._long + points.scaled(GAP) + self.typeface.advance(each) for each in self._texts]
        return points.flow(widths, self.width, points.scaled(3 * GAP))
