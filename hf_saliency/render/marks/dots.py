"""Dots: values of several measures for each row, such as methods x metrics."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from matplotlib.axes import Axes

from hf_saliency.errors import ChecksCall
from hf_saliency.maps.table import Table
from hf_saliency.render import points
from hf_saliency.render.colors import distinct, ground
from hf_saliency.render.marks.number_axis import (
    GAP,
    NumberAxis,
    columns_of,
    ends_of,
    group_name,
    groups_of,
    hue,
    marker,
    name,
    note_of,
    rows_of,
    text,
)
from hf_saliency.render.typeset.typeface import TooNarrow, Typeface

_LABELS = 0.35  # maximum share of the width
_FIELD = 30.0  # smallest width of a field in points, for 10-point type
_BETWEEN = 16.0  # points between fields, so that numbers at the ends of two axes do not touch


@dataclass(frozen=True)
class Dots(ChecksCall):
    """A dot and an interval for each value: a line for each label, and a field with its own axis for each group.

    It draws the columns ``label`` and ``value``, and ``low``, ``high``, ``n`` and ``group`` if the table has them.
    For example, ``label`` is a method and ``group`` a metric.

    Parameters
    ----------
    zero
        Whether each axis includes 0.
    fontsize
        Size of the labels, in points or relative to ``rcParams["font.size"]``.

    Raises
    ------
    SaliencyError
        Drawing raises it if the table lacks a column, or if the width is too narrow for the fields.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> columns = {"label": ["saliency", "lime"], "value": [0.5, 0.2], "low": [0.4, 0.1], "high": [0.6, 0.3]}
    >>> hs.figure(hs.Table(columns, "sufficiency"), hs.Dots(), width=3.25).savefig("dots.pdf")
    """

    zero: bool = False
    fontsize: float | str = "small"

    def height(self, table: Table, width: float) -> float:
        """Height in points at a width in points."""
        return _Fields(self, table, width).height

    def draw(self, ax: Axes, table: Table) -> None:
        """Draw the table over the whole of an Axes."""
        _Fields(self, table, points.size(ax)[0]).draw(ax)


@dataclass(frozen=True)
class _Fields:
    mark: Dots
    table: Table
    width: float

    @property
    def height(self) -> float:
        columns_of(self.table, ("label", "value"), "Dots()")
        if self._field < points.scaled(_FIELD):
            needed = self.width + len(self._groups) * (points.scaled(_FIELD) - self._field)
            raise TooNarrow(f"{len(self._groups)} fields of dots", needed, self.width)
        note = self._small.line if self._note else 0.0
        axis = self._axes[0].height(self._small)
        return self._head + len(self._labels) * self._face.line + axis + note

    def draw(self, ax: Axes) -> None:
        columns_of(self.table, ("label", "value"), "Dots()")
        face, small = self._face, self._small
        foot = self._head + len(self._labels) * face.line
        for i, label in enumerate(self._labels):
            shown = self._cut[i]
            baseline = self._head + i * face.line + (face.line + face.capital) / 2
            points.write(ax, self._left - points.scaled(GAP) - face.advance(shown), baseline, shown, face)
            for group, axis in zip(self._groups, self._axes, strict=True):
                self._row(ax, rows_of(self.table, group), label, axis, self._head + (i + 0.5) * face.line)
        for group, axis in zip(self._groups, self._axes, strict=True):
            head = group_name(self.table, group) if group else text(self.table.measure)
            points.write(ax, axis.start, small.ascent, small.elide(head, axis.length), small)
            axis.draw(ax, foot, small)
        if self._note:
            baseline = foot + self._axes[0].height(small) + small.ascent
            points.write(ax, 0.0, baseline, small.elide(self._note, self.width), small)

    def _row(self, ax: Axes, rows: Table, label: str, axis: NumberAxis, y: float) -> None:
        ends = (axis.start, y), (axis.start + axis.length, y)
        points.rule(ax, *ends, gid="guide", color=distinct(ground()), linewidth=0.25)
        low, high = ends_of(rows)
        for i in np.flatnonzero(rows["label"].astype(str) == label).tolist():
            if np.isfinite(low[i]) and np.isfinite(high[i]):
                points.whisker(ax, (axis.at(low[i]), y), (axis.at(high[i]), y))
            if np.isfinite(rows["value"][i]):
                points.dot(ax, axis.at(float(rows["value"][i])), y, color=hue(0), marker=marker(0))

    @cached_property
    def _face(self) -> Typeface:
        return Typeface(self.mark.fontsize)

    @cached_property
    def _small(self) -> Typeface:
        return Typeface("x-small")

    @cached_property
    def _labels(self) -> list[str]:
        return list(dict.fromkeys(map(str, self.table["label"].tolist())))

    @cached_property
    def _cut(self) -> list[str]:
        return [self._face.elide(name(label), _LABELS * self.width) for label in self._labels]

    @cached_property
    def _groups(self) -> list[str]:
        return groups_of(self.table)

    @cached_property
    def _note(self) -> str:
        return note_of(self.table, "lines")

    @property
    def _head(self) -> float:
        return self._small.line + points.scaled(GAP)

    @cached_property
    def _left(self) -> float:
        return max(map(self._face.advance, self._cut)) + 2 * points.scaled(GAP)

    @cached_property
    def _field(self) -> float:
        gaps = (len(self._groups) - 1) * points.scaled(_BETWEEN)
        return (self.width - self._left - gaps - 2 * points.scaled(GAP)) / len(self._groups)

    @cached_property
    def _axes(self) -> list[NumberAxis]:
        axes = []
        for i, group in enumerate(self._groups):
            rows = rows_of(self.table, group)
            values = np.concatenate([rows["value"], *ends_of(rows)])
            start = self._left + i * (self._field + points.scaled(_BETWEEN))
            axes.append(NumberAxis(values, start, self._field, zero=self.mark.zero, count=3))
        return axes
