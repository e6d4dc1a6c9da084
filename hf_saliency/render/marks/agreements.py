"""Agreements: how far each pair of methods or models agrees, as a matrix."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from matplotlib.axes import Axes

from hf_saliency.errors import ChecksCall
from hf_saliency.maps.table import Table
from hf_saliency.render import points
from hf_saliency.render.colors import Colors, decimals, ground, palette_for
from hf_saliency.render.marks.grid import Grid, fit, write_labels
from hf_saliency.render.marks.number_axis import columns_of, name, note_of, text
from hf_saliency.render.typeset.typeface import SMALLEST, TooNarrow, Typeface

_NOTE = 2.0  # points between cells and the note, for 10-point type


@dataclass(frozen=True)
class Agreements(ChecksCall):
    """A cell for each pair of names, coloured by its value, with the number in it.

    It draws the columns ``first``, ``second`` and ``value``, and prints ``n`` below. Each pair is on both sides of the
    diagonal; numbers below 0 are blue.

    Parameters
    ----------
    fontsize
        Largest size of the names, in points or relative to ``rcParams["font.size"]``.

    Raises
    ------
    SaliencyError
        Drawing raises it if the table lacks a column, or if the width is too narrow for the numbers.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> columns = {"first": ["saliency"], "second": ["lime"], "value": [0.25]}
    >>> hs.figure(hs.Table(columns, "Spearman’s ρ"), hs.Agreements(), width=3.25).savefig("agreements.pdf")
    """

    fontsize: float | str = "small"

    def height(self, table: Table, width: float) -> float:
        """Height in points at a width in points."""
        return _Pairs(self, table, width).height

    def draw(self, ax: Axes, table: Table) -> None:
        """Draw the table over the whole of an Axes."""
        _Pairs(self, table, points.size(ax)[0]).draw(ax)


@dataclass(frozen=True)
class _Pairs:
    mark: Agreements
    table: Table
    width: float

    @property
    def height(self) -> float:
        smallest = Typeface(min(SMALLEST, Typeface(self.mark.fontsize).points))
        least = smallest.advance("−0.00") + points.scaled(2.0)
        if self._grid.cell_width < least:
            needed = self.width + len(self._names) * (least - self._grid.cell_width)
            raise TooNarrow(
                f"the numbers of {len(self._names)} x {len(self._names)} pairs", needed, self.width
            )
        return self._grid.height + points.scaled(_NOTE) + self._small.line

    def draw(self, ax: Axes) -> None:
        grid, face, values = self._grid, self._grid.typeface, self._values
        known = np.isfinite(values)
        boxes = [grid.box(i, j) for i, j in np.argwhere(known)]
        points.cells(ax, boxes, values[known], self._colors, joined=True)
        points.outline(ax, grid.frame(range(len(self._names))), linewidth=0.3, gid="frame")
        write_labels(ax, grid)
        room = (grid.cell_width - points.scaled(2.0)) / (Typeface(100.0).advance("−0.00") / 100)
        number = Typeface(min(face.points, room))
        for i, j in np.argwhere(known):
            x, y, width, height = grid.box(i, j)
            shown = decimals(float(values[i, j]))
            place = x + (width - number.advance(shown)) / 2, y + (height + number.capital) / 2
            points.write(ax, *place, shown, number, color=self._colors.ink_on(values[i, [j]]))
        note = ", ".join(filter(None, [text(self.table.measure), note_of(self.table, "")]))
        baseline = grid.height + points.scaled(_NOTE) + self._small.ascent
        points.write(ax, 0.0, baseline, self._small.elide(note, self.width), self._small)

    @cached_property
    def _small(self) -> Typeface:
        return Typeface("x-small")

    @cached_property
    def _names(self) -> list[str]:
        columns_of(self.table, ("first", "second", "value"), "Agreements()")
        pairs = zip(self.table["first"].tolist(), self.table["second"].tolist(), strict=True)
        return list(dict.fromkeys(str(name) for pair in pairs for name in pair))

    @cached_property
    def _values(self) -> np.ndarray:
        """Square matrix of values, NaN for pairs that are not in the table, which often include the diagonal."""
        values = np.full((len(self._names),) * 2, np.nan)
        columns = (self.table[name].tolist() for name in ("first", "second", "value"))
        for first, second, value in zip(*columns, strict=True):
            i, j = self._names.index(str(first)), self._names.index(str(second))
            values[i, j] = values[j, i] = value
        return values

    @cached_property
    def _colors(self) -> Colors:
        largest = float(np.nanmax(np.abs(self._values), initial=0.0))
        return Colors(max(largest, 1.0), True, "none", palette=palette_for(ground()))

    @cached_property
    def _grid(self) -> Grid:
        names = [name(each) for each in self._names]
        return fit(names, names, [()] * len(names), self.width, self.mark.fontsize)
