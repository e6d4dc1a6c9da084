"""Grid: where the cells and the labels of a matrix go, at a width."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from hf_saliency.render.marks.caption import folded
from hf_saliency.render.marks.headings import fitting
from hf_saliency.render.marks.mark import PART
from hf_saliency.render.typeface import SMALLEST, Typeface

GAP = 2.0  # points between cells and labels
_LABEL = 9.0  # longest label, in sizes of its font
_SHARE = 0.28  # longest label, as a share of the width
_STEP = 0.25  # points by which labels are made smaller until they fit


@dataclass(frozen=True)
class Grid:
    """Cells of one size with their labels, in points from the upper left corner.

    Parameters
    ----------
    typeface
        Of all labels.
    rows
        Labels on up to three lines, cut where that is too short.
    columns
        Labels, cut to their longest length.
    answers
        Texts to the right of each row.
    width
        Of the whole.
    breaks
        Columns before which there is a gap: another text begins there.
    names
        What each text is, by the column at which it begins.
    """

    typeface: Typeface
    rows: tuple[tuple[str, ...], ...]
    columns: tuple[str, ...]
    answers: tuple[tuple[str, ...], ...]
    width: float
    breaks: tuple[int, ...] = ()
    names: Mapping[int, str] = field(default_factory=dict)

    @cached_property
    def left(self) -> float:
        return max((self.typeface.advance(line) for label in self.rows for line in label), default=0.0) + GAP

    @cached_property
    def right(self) -> float:
        return sum((before + width for before, width in self._answer_fields), 0.0)

    @cached_property
    def answer_places(self) -> list[float]:
        """Where each field of answers begins: label, probability, label, probability, ..."""
        places = []
        x = self.width - self.right
        for before, width in self._answer_fields:
            places.append(x + before)
            x += before + width
        return places

    @cached_property
    def _answer_fields(self) -> list[tuple[float, float]]:
        count = max((len(row) for row in self.answers), default=0)
        fields = [[row[i] for row in self.answers if i < len(row)] for i in range(count)]
        widths = [max(self.typeface.advance(text) for text in field) for field in fields]
        em = self.typeface.points
        before = [em / 2 if i % 2 else (1.2 * em if i else 2 * GAP) for i in range(count)]
        return list(zip(before, widths, strict=True))

    @cached_property
    def cell_width(self) -> float:
        return (self.width - self.left - self.right - PART * len(self.breaks)) / len(self.columns)

    @cached_property
    def cell_height(self) -> float:
        """Square cells, but no higher than two lines, and no lower than a label needs if the page allows it."""
        square = min(self.cell_width, 2 * Typeface("small").line)
        labelled = max(square, self._row_label)
        return labelled if self.column_step == 1 or labelled * len(self.rows) <= self.width else square

    @cached_property
    def level(self) -> bool:
        """Whether column labels lie on a level instead of standing upright."""
        return self._longest + GAP <= self.cell_width

    @cached_property
    def column_step(self) -> int:
        """Every how many columns have a label."""
        return 1 if self.level else max(1, math.ceil(self.typeface.ink / max(self.cell_width, 0.01) - 1e-9))

    @cached_property
    def _row_label(self) -> float:
        """Height of the highest label of a row."""
        return self.typeface.ink * max((len(label) for label in self.rows), default=1)

    @cached_property
    def row_step(self) -> int:
        return max(1, math.ceil(self._row_label / self.cell_height - 1e-9))

    @cached_property
    def top(self) -> float:
        names = GAP + self.small.line if self.headings else 0.0
        return names + (self.typeface.line if self.level else self._longest) + GAP

    @cached_property
    def small(self) -> Typeface:
        """Of the names of texts, above the labels."""
        return Typeface("x-small")

    @cached_property
    def headings(self) -> list[tuple[float, str]]:
        """Names of texts, and where they begin."""
        return fitting(self.names, self._x, self.width, self.small)

    @property
    def height(self) -> float:
        return self.top + self.cell_height * len(self.rows)

    @cached_property
    def _longest(self) -> float:
        return max(self.typeface.advance(label) for label in self.columns)

    @property
    def parts(self) -> list[range]:
        """The columns of each text."""
        return [range(a, b) for a, b in itertools.pairwise([0, *self.breaks, len(self.columns)])]

    def frame(self, part: range) -> tuple[float, float, float, float]:
        """Around all cells of a text."""
        x, y, width, height = self.box(0, part.start)
        return x, y, width * len(part), height * len(self.rows)

    def box(self, row: int, column: int) -> tuple[float, float, float, float]:
        width, height = self.cell_width, self.cell_height
        return self._x(column), self.top + row * height, width, height

    def _x(self, column: int) -> float:
        return self.left + column * self.cell_width + PART * sum(start <= column for start in self.breaks)


def fit(
    rows: list[str],
    columns: list[str],
    answers: list[tuple[str, ...]],
    width: float,
    fontsize: float | str,
    breaks: tuple[int, ...] = (),
    names: Mapping[int, str] | None = None,
) -> Grid:
    """The grid with the largest labels, up to a size, that all have room; else with the smallest."""
    largest = Typeface(fontsize).points
    sizes = [*np.arange(largest, SMALLEST, -_STEP).tolist(), min(SMALLEST, largest)]
    for size in sizes:
        typeface = Typeface(size)
        cut = min(_LABEL * size, _SHARE * width)
        grid = Grid(
            typeface,
            tuple(tuple(folded(label, typeface, cut, most=3)) for label in rows),
            tuple(typeface.elide(label, cut) for label in columns),
            tuple(answers),
            width,
            breaks,
            names or {},
        )
        if grid.cell_width > 0 and grid.column_step == grid.row_step == 1:
            break
    return grid
