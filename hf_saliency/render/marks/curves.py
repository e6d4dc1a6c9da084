"""Curves and Profile: a value along a numeric axis, such as a deletion curve or the mean score by distance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from matplotlib.axes import Axes

from hf_saliency.errors import ChecksCall
from hf_saliency.maps.table import Table
from hf_saliency.render import points
from hf_saliency.render.colors import distinct
from hf_saliency.render.marks.number_axis import (
    GAP,
    Keys,
    NumberAxis,
    columns_of,
    dashes,
    ends_of,
    groups_of,
    hue,
    marker,
    note_of,
    rows_of,
    text,
)
from hf_saliency.render.typeset.typeface import Typeface

_HIGHEST = 17.0  # maximum height of a field, in font sizes: a slide is wide and low


@dataclass(frozen=True)
class Curves(ChecksCall):
    """A line for each group of a table, with a band for its intervals, such as faithfulness by share removed.

    It draws the columns ``x`` and ``value``, and ``low``, ``high``, ``n`` and ``group`` if the table has them. A group
    whose name begins with ``random`` is grey, since the others are compared with it.

    Parameters
    ----------
    ratio
        Height of the field, as a share of the width.
    zero
        Whether the scale of values includes 0.
    fontsize
        Size of all text, in points or relative to ``rcParams["font.size"]``.

    Raises
    ------
    SaliencyError
        Drawing raises it if the table lacks a column.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> table = hs.Table({"x": [0.0, 0.5, 1.0], "value": [0.9, 0.4, 0.1]}, "probability", {"x": "share removed"})
    >>> hs.figure(table, hs.Curves(), width=3.25).savefig("curves.pdf")
    """

    ratio: float = 0.5
    zero: bool = False
    fontsize: float | str = "x-small"

    def height(self, table: Table, width: float) -> float:
        """Height in points at a width in points."""
        columns_of(table, ("x", "value"), "Curves()")
        return self._plot(table, width).height

    def draw(self, ax: Axes, table: Table) -> None:
        """Draw the table over the whole of an Axes."""
        columns_of(table, ("x", "value"), "Curves()")
        self._plot(table, points.size(ax)[0]).draw(ax)

    def _plot(self, table: Table, width: float) -> _Plot:
        label = str(table.facts.get("x", "x"))
        return _Plot(table, "x", label, width, self.ratio, self.zero, Typeface(self.fontsize), dots=False)


@dataclass(frozen=True)
class Profile(ChecksCall):
    """The mean score by distance from the target: a line for each group, with a band for its intervals.

    It draws the columns ``position`` and ``value``, and ``low``, ``high``, ``n`` and ``group`` if the table has them.

    Parameters
    ----------
    ratio
        Height of the field, as a share of the width.
    zero
        Whether the scale of values includes 0.
    fontsize
        Size of all text, in points or relative to ``rcParams["font.size"]``.

    Raises
    ------
    SaliencyError
        Drawing raises it if the table lacks a column.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> table = hs.Table({"position": [-1, 0, 1], "value": [0.3, 0.5, 0.2]}, "mean share of the row")
    >>> hs.figure(table, hs.Profile(), width=3.25).savefig("profile.pdf")
    """

    ratio: float = 0.5
    zero: bool = True
    fontsize: float | str = "x-small"

    def height(self, table: Table, width: float) -> float:
        """Height in points at a width in points."""
        columns_of(table, ("position", "value"), "Profile()")
        return self._plot(table, width).height

    def draw(self, ax: Axes, table: Table) -> None:
        """Draw the table over the whole of an Axes."""
        columns_of(table, ("position", "value"), "Profile()")
        self._plot(table, points.size(ax)[0]).draw(ax)

    def _plot(self, table: Table, width: float) -> _Plot:
        label = "tokens from the target"
        return _Plot(
            table, "position", label, width, self.ratio, self.zero, Typeface(self.fontsize), dots=True
        )


@dataclass(frozen=True)
class _Plot:
    """A field with both axes, and a line for each group."""

    table: Table
    column: str
    label: str
    width: float
    ratio: float
    zero: bool
    typeface: Typeface
    dots: bool

    @property
    def height(self) -> float:
        note = self.typeface.line if self._note else 0.0
        above = self._head + self._field + points.scaled(GAP)
        return above + self._xs.height(self.typeface) + self.typeface.line + self._keys.height + note

    def draw(self, ax: Axes) -> None:
        face, gap = self.typeface, points.scaled(GAP)
        points.write(ax, 0.0, face.ascent, face.elide(text(self.table.measure), self.width), face)
        foot = self._head + self._field
        for value, number in self._ys.ticks:
            y = self._ys.up(value)
            points.rule(ax, (self._left - gap / 2, y), (self._left, y))
            points.write(ax, self._left - gap - face.advance(number), y + face.capital / 2, number, face)
        points.rule(ax, (self._left, self._head), (self._left, foot))
        if self.dots and self._xs.limits[0] < 0 < self._xs.limits[1]:
            zero = self._xs.at(0.0)
            points.rule(ax, (zero, self._head), (zero, foot), gid="target")
        for i, group in enumerate(self._groups):
            self._curve(ax, i, rows_of(self.table, group), self._color(i))
        self._xs.draw(ax, foot, face)
        y = foot + self._xs.height(face)
        label = face.elide(text(self.label), self.width)
        middle = self._xs.start + (self._xs.length - face.advance(label)) / 2
        points.write(ax, max(0.0, middle), y + face.ascent, label, face)
        y += face.line
        self._keys.draw(ax, y)
        if self._note:
            baseline = y + self._keys.height + face.ascent
            points.write(ax, 0.0, baseline, face.elide(self._note, self.width), face)

    def _curve(self, ax: Axes, index: int, rows: Table, color: str) -> None:
        order = np.argsort(rows[self.column], kind="stable")
        rows = rows.select(order)
        low, high = ends_of(rows)
        xs = np.array([self._xs.at(float(x)) for x in rows[self.column]])
        ys = np.array([self._ys.up(float(y)) for y in rows["value"]])
        lows, highs = (np.array([self._ys.up(float(y)) for y in ends]) for ends in (low, high))
        if self.dots and not (rows[self.column] == 0).any():  # the target itself has no value
            gap = int(np.searchsorted(rows[self.column], 0))
            xs = np.insert(xs, gap, self._xs.at(0.0))
            ys, lows, highs = (np.insert(each, gap, np.nan) for each in (ys, lows, highs))
        points.band(ax, xs, lows, highs, color=color)
        points.line(ax, xs.tolist(), ys.tolist(), color=color, dashes=dashes(index))
        if self.dots:
            for x, y in zip(xs, ys, strict=True):
                if np.isfinite(y):
                    points.dot(ax, float(x), float(y), color=color, marker=marker(index))

    def _color(self, index: int) -> str:
        random = self._groups[index].startswith("random")
        return distinct("#7a7a7a") if random else hue(index)

    @cached_property
    def _groups(self) -> Sequence[str]:
        return groups_of(self.table)

    @cached_property
    def _keys(self) -> Keys:
        colors = [self._color(i) for i in range(len(self._groups))]
        return Keys(self._groups, self.typeface, self.width, colors, self.dots)

    @cached_property
    def _note(self) -> str:
        return note_of(self.table, "bands")

    @property
    def _head(self) -> float:
        """Room for the name of the measure."""
        return self.typeface.line + points.scaled(GAP)

    @property
    def _field(self) -> float:
        return min(self.ratio * self.width, _HIGHEST * self.typeface.points)

    @cached_property
    def _ys(self) -> NumberAxis:
        values = np.concatenate([self.table["value"], *ends_of(self.table)])
        return NumberAxis(values, self._head, self._field, zero=self.zero)

    @cached_property
    def _left(self) -> float:
        numbers = [self.typeface.advance(number) for _, number in self._ys.ticks]
        return max(numbers, default=0.0) + 1.5 * points.scaled(GAP)

    @cached_property
    def _xs(self) -> NumberAxis:
        right = points.scaled(2 * GAP)
        xs = np.asarray(self.table[self.column], float)
        whole = self.column == "position"
        return NumberAxis(
            xs, self._left, self.width - self._left - right, count=8 if whole else 6, whole=whole
        )
