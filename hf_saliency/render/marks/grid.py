"""Grid: cells of one size with labels at their sides, for marks that draw a grid."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from matplotlib.axes import Axes

from hf_saliency.render import points
from hf_saliency.render.colors import ordinal
from hf_saliency.render.marks.mark import PART, fitting, folded, write_heading
from hf_saliency.render.marks.token_axis import words_note
from hf_saliency.render.typeset.typeface import SMALLEST, Typeface

GAP = 2.0  # points between cells and labels
_LABEL = 9.0  # longest label, in sizes of its font
_SHARE = 0.28  # longest label, as a share of the width
_STEP = 0.25  # points by which labels shrink in each step until they fit


@dataclass(frozen=True)
class Grid:
    """Cells of one size with their labels, in points from the upper left corner."""

    typeface: Typeface  # of all labels
    rows: tuple[tuple[str, ...], ...]  # labels on up to three lines
    columns: tuple[tuple[str, ...], ...]  # labels, on several lines where cells are wide
    answers: tuple[tuple[str, ...], ...]  # to the right of each row
    width: float  # of the whole
    breaks: tuple[int, ...] = ()  # columns with a gap before them, since another text begins there
    names: Mapping[int, str] = field(default_factory=dict)  # of texts, by the column at which each begins
    words: tuple[tuple[range, str], ...] = ()  # with labels, used if those of tokens have no room
    first: int = 0  # the map's column at which the grid begins
    above: float = 0.0  # where the grid begins, below other bands of the matrix
    longest: int = 0  # columns of the longest band, which set the cell width; 0 for this band's own

    @cached_property
    def left(self) -> float:
        return max(
            (self.typeface.advance(line) for label in self.rows for line in label), default=0.0
        ) + points.scaled(GAP)

    @cached_property
    def right(self) -> float:
        return sum((before + width for before, width in self._answer_fields), 0.0)

    @cached_property
    def answer_places(self) -> list[float]:
        """Left end of each field of answers: label, probability, label, probability, ..."""
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
        before = [em / 2 if i % 2 else (1.2 * em if i else 2 * points.scaled(GAP)) for i in range(count)]
        return list(zip(before, widths, strict=True))

    @cached_property
    def cell_width(self) -> float:
        room = self.width - self.left - self.right - points.scaled(PART) * len(self.breaks)
        return room / max(self.longest, len(self.columns))

    @cached_property
    def cell_height(self) -> float:
        """Height of a cell: square, at most two lines, but at least as high as a row label if the page allows it."""
        square = min(self.cell_width, 2 * Typeface("small").line)
        labelled = max(square, self._row_label)
        return labelled if self.column_step == 1 or labelled * len(self.rows) <= self.width else square

    @cached_property
    def level(self) -> bool:
        """Whether column labels are horizontal rather than vertical."""
        widest = max(self.typeface.advance(line) for label in self.columns for line in label)
        return widest + points.scaled(GAP) <= self.cell_width

    @cached_property
    def column_step(self) -> int:
        """Number of columns from one label to the next."""
        return 1 if self.level else max(1, math.ceil(self.typeface.ink / max(self.cell_width, 0.01) - 1e-9))

    @cached_property
    def column_labels(self) -> list[tuple[float, tuple[str, ...]]]:
        """Middle and label of each token, or of each word if the labels of tokens have no room."""
        if self.column_step == 1 or not self.words:
            columns = range(0, len(self.columns), self.column_step)
            return [(self._x(j) + self.cell_width / 2, self.columns[j]) for j in columns]
        placed: list[tuple[float, tuple[str, ...]]] = []
        for columns, label in self.words:
            middle = (self._x(columns[0]) + self._x(columns[-1]) + self.cell_width) / 2
            if not placed or middle - placed[-1][0] >= self.typeface.ink - 1e-9:
                placed.append((middle, (label,)))
        return placed

    @property
    def complete(self) -> bool:
        """Whether every token is labelled, by its own label or that of its word."""
        return self.column_step == 1 or (bool(self.words) and len(self.column_labels) == len(self.words))

    @property
    def note(self) -> str:
        """Note on the labels that were left out."""
        if self.column_step == self.row_step > 1 and not self.words:
            return f"every {ordinal(self.row_step)} token and target is labelled"
        columns = ""
        if self.column_step > 1:
            columns = words_note(len(self.words), len(self.column_labels))
            columns = columns or f"every {ordinal(self.column_step)} token is labelled"
        rows = f"every {ordinal(self.row_step)} target is labelled" if self.row_step > 1 else ""
        return ", ".join(filter(None, [columns, rows]))

    @cached_property
    def _row_label(self) -> float:
        """Height of the tallest row label."""
        return self.typeface.ink * max((len(label) for label in self.rows), default=1)

    @cached_property
    def row_step(self) -> int:
        return max(1, math.ceil(self._row_label / self.cell_height - 1e-9))

    @cached_property
    def top(self) -> float:
        names = points.scaled(GAP) + self.small.line if self.headings else 0.0
        further = max(map(len, self.columns)) - 1
        labels = self.typeface.line + further * self.typeface.ink if self.level else self._longest
        return self.above + names + labels + points.scaled(GAP)

    @cached_property
    def small(self) -> Typeface:
        """Typeface of the names of texts, above the labels."""
        return Typeface("x-small")

    @cached_property
    def headings(self) -> list[tuple[float, str]]:
        """Left end and name of each text."""
        return fitting(self.names, self._x, self.width, self.small)

    @property
    def height(self) -> float:
        return self.top + self.cell_height * len(self.rows)

    @cached_property
    def _longest(self) -> float:
        return max(self.typeface.advance(line) for _, label in self.column_labels for line in label)

    @property
    def parts(self) -> list[range]:
        """The columns of each text."""
        return [range(a, b) for a, b in itertools.pairwise([0, *self.breaks, len(self.columns)])]

    def frame(self, part: range) -> tuple[float, float, float, float]:
        """Return the box around all cells of a text."""
        x, y, width, height = self.box(0, part.start)
        return x, y, width * len(part), height * len(self.rows)

    def box(self, row: int, column: int) -> tuple[float, float, float, float]:
        width, height = self.cell_width, self.cell_height
        return self._x(column), self.top + row * height, width, height

    def boxes(self, part: range) -> np.ndarray:
        """Boxes of all cells of a text: rows x columns x (x, y, width, height)."""
        cells = np.empty((len(self.rows), len(part), 4))
        cells[..., 0] = [self._x(column) for column in part]
        cells[..., 1] = self.top + np.arange(len(self.rows))[:, None] * self.cell_height
        cells[..., 2:] = self.cell_width, self.cell_height
        return cells

    def _x(self, column: int) -> float:
        return (
            self.left
            + column * self.cell_width
            + points.scaled(PART) * sum(start <= column for start in self.breaks)
        )


def fit(
    rows: list[str],
    columns: list[str],
    answers: list[tuple[str, ...]],
    width: float,
    fontsize: float | str,
    breaks: tuple[int, ...] = (),
    names: Mapping[int, str] | None = None,
    words: Sequence[tuple[range, str]] = (),
    longest: int = 0,
    room: float | None = None,
) -> Grid:
    """Return the grid with the largest labels, up to ``fontsize``, that all have room; otherwise with the smallest."""
    largest = Typeface(fontsize).points
    sizes = [*np.arange(largest, SMALLEST, -_STEP).tolist(), min(SMALLEST, largest)]
    for size in sizes:
        typeface = Typeface(size)
        cut = min(_LABEL * size, _SHARE * width) if room is None else room
        grid = Grid(
            typeface,
            tuple(tuple(folded(label, typeface, cut, most=3)) for label in rows),
            tuple((typeface.elide(label, cut),) for label in columns),
            tuple(answers),
            width,
            breaks,
            names or {},
            tuple((each, typeface.elide(label, cut)) for each, label in words),
            longest=longest,
        )
        grid = dataclasses.replace(grid, columns=_column_lines(columns, grid, cut))
        if grid.cell_width > 0 and grid.column_step == grid.row_step == 1:
            break
    return grid


def _column_lines(labels: Sequence[str], grid: Grid, cut: float) -> tuple[tuple[str, ...], ...]:
    """Break labels of several words into up to three lines: horizontal if all fit, otherwise as the cells allow."""
    if not any(" " in label for label in labels):
        return grid.columns
    level = tuple(
        tuple(folded(label, grid.typeface, grid.cell_width - points.scaled(GAP), 3)) for label in labels
    )
    if all(" ".join(lines) == " ".join(label.split()) for lines, label in zip(level, labels, strict=True)):
        return level
    most = max(1, min(3, int(grid.cell_width / grid.typeface.ink)))
    return tuple(tuple(folded(label, grid.typeface, cut, most)) for label in labels)


def write_labels(ax: Axes, grid: Grid) -> None:
    """Draw the labels of columns and rows, the names of texts and the answers."""
    typeface, gap = grid.typeface, points.scaled(GAP)
    half = typeface.capital / 2
    for x, text in grid.headings:
        write_heading(ax, x, grid.above, text, grid.small)
    for middle, lines in grid.column_labels:
        for k, line in enumerate(lines):
            down = (k - (len(lines) - 1)) * typeface.ink
            if grid.level:
                left = middle - typeface.advance(line) / 2
                points.write(ax, left, grid.top - gap - typeface.descent + down, line, typeface)
            else:
                across = down + (len(lines) - 1) / 2 * typeface.ink
                points.write(ax, middle + half + across, grid.top - gap, line, typeface, upward=True)
    for i in range(0, len(grid.rows), grid.row_step):
        _, y, _, height = grid.box(i, 0)
        baseline = y + height / 2 + half
        for k, label in enumerate(grid.rows[i]):
            down = (k - (len(grid.rows[i]) - 1) / 2) * typeface.ink
            points.write(ax, grid.left - gap - typeface.advance(label), baseline + down, label, typeface)
        for text, x in zip(grid.answers[i], grid.answer_places, strict=False):
            points.write(ax, x, baseline, text, typeface)
