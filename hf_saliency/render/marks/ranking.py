"""Ranking: a bar for each row of a table, such as the words that matter most over a corpus."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from matplotlib.axes import Axes

from hf_saliency.errors import ChecksCall, whole
from hf_saliency.maps.table import Table
from hf_saliency.render import points
from hf_saliency.render.colors import decimals
from hf_saliency.render.marks.number_axis import (
    GAP,
    Keys,
    NumberAxis,
    columns_of,
    ends_of,
    groups_of,
    hue,
    name,
    note_of,
    text,
)
from hf_saliency.render.typeset.typeface import Typeface

_LABELS = 0.4  # maximum share of the width
_THICK = 0.66  # share of the height of a line


@dataclass(frozen=True)
class Ranking(ChecksCall):
    """A bar for each row of a table, the largest value first, with its interval.

    It draws the columns ``label`` and ``value``, and ``low``, ``high``, ``n`` and ``group`` if the table has them. Bars
    of the same group have the same colour.

    Parameters
    ----------
    top
        Number of rows to show: those with the largest values. Default: 20; None for all.
    values
        Print each number next to its bar.
    fontsize
        Size of the labels, in points or relative to ``rcParams["font.size"]``.

    Raises
    ------
    SaliencyError
        If ``top`` is not an integer of at least 1. Drawing raises it if the table lacks a column.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> table = hs.Table({"label": ["tea", "hot"], "value": [0.5, 0.2]}, "mean share of the row")
    >>> hs.figure(table, hs.Ranking(), width=3.25).savefig("ranking.pdf")
    """

    top: int | None = 20
    values: bool = True
    fontsize: float | str = "small"

    def __post_init__(self) -> None:
        if self.top is not None:
            object.__setattr__(self, "top", whole(self.top, "top"))

    def height(self, table: Table, width: float) -> float:
        """Height in points at a width in points."""
        return _Ranking(self, table, width).height

    def draw(self, ax: Axes, table: Table) -> None:
        """Draw the table over the whole of an Axes."""
        _Ranking(self, table, points.size(ax)[0]).draw(ax)


@dataclass(frozen=True)
class _Ranking:
    mark: Ranking
    whole_table: Table
    width: float

    @cached_property
    def table(self) -> Table:
        columns_of(self.whole_table, ("label", "value"), "Ranking()")
        order = np.argsort(-np.nan_to_num(self.whole_table["value"], nan=-np.inf), kind="stable")
        return self.whole_table.select(order[: self.mark.top])

    @cached_property
    def typeface(self) -> Typeface:
        return Typeface(self.mark.fontsize)

    @cached_property
    def small(self) -> Typeface:
        return Typeface("x-small")

    @cached_property
    def labels(self) -> list[str]:
        # The labels in a table of metrics are methods; other labels may be words.
        written = name if "better" in self.table else text
        return [
            self.typeface.elide(written(label), _LABELS * self.width)
            for label in self.table["label"].tolist()
        ]

    @cached_property
    def numbers(self) -> list[str]:
        return [decimals(value) if np.isfinite(value) else "NaN" for value in self.table["value"].tolist()]

    @cached_property
    def axis(self) -> NumberAxis:
        left = max(map(self.typeface.advance, self.labels)) + points.scaled(GAP)
        right = (
            max(map(self.small.advance, self.numbers)) + 2 * points.scaled(GAP)
            if self.mark.values
            else points.scaled(GAP)
        )
        values = np.concatenate([self.table["value"], *ends_of(self.table)])
        return NumberAxis(values, left, self.width - left - right, zero=True)

    @cached_property
    def keys(self) -> Keys:
        return Keys(groups_of(self.whole_table), self.small, self.width, bars=True)

    @property
    def note(self) -> str:
        left_out = len(self.whole_table) - len(self.table)
        parts = [
            f"{len(self.table)} of {len(self.whole_table)} rows" if left_out else "",
            note_of(self.table, "lines"),
        ]
        return ", ".join(filter(None, parts))

    @property
    def height(self) -> float:
        note = self.small.line if self.note else 0.0
        rows = len(self.table) * self.typeface.line
        return rows + self.axis.height(self.small) + self.small.line + self.keys.height + note

    def draw(self, ax: Axes) -> None:
        face, axis = self.typeface, self.axis
        groups = groups_of(self.whole_table)
        low, high = ends_of(self.table)
        thick = _THICK * face.line
        for i, value in enumerate(self.table["value"].tolist()):
            y = i * face.line
            baseline = y + (face.line + face.capital) / 2
            points.write(
                ax,
                axis.start - points.scaled(GAP) - face.advance(self.labels[i]),
                baseline,
                self.labels[i],
                face,
            )
            if np.isfinite(value):
                group = groups.index(str(self.table["group"][i])) if "group" in self.table else 0
                start, end = sorted((axis.at(0.0), axis.at(value)))
                points.bar(ax, (start, y + (face.line - thick) / 2, end - start, thick), color=hue(group))
            if np.isfinite(low[i]) and np.isfinite(high[i]):
                points.whisker(
                    ax, (axis.at(low[i]), y + face.line / 2), (axis.at(high[i]), y + face.line / 2)
                )
            if self.mark.values:
                number = self.numbers[i]
                place = (face.line + self.small.capital) / 2
                points.write(ax, self.width - self.small.advance(number), y + place, number, self.small)
        y = len(self.table) * face.line
        zero = axis.at(0.0)
        points.rule(ax, (zero, 0.0), (zero, y))
        axis.draw(ax, y, self.small)
        y += axis.height(self.small)
        measure = self.small.elide(text(self.whole_table.measure), self.width)
        points.write(
            ax,
            min(axis.start, self.width - self.small.advance(measure)),
            y + self.small.ascent,
            measure,
            self.small,
        )
        y += self.small.line
        self.keys.draw(ax, y)
        y += self.keys.height
        if self.note:
            points.write(ax, 0.0, y + self.small.ascent, self.small.elide(self.note, self.width), self.small)
