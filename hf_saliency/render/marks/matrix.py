"""Matrix: targets x tokens as a heat map."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from matplotlib.axes import Axes

from hf_saliency.errors import ChecksKeywords
from hf_saliency.maps import spans
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.render import points, raster
from hf_saliency.render.colors import Colors, ordinal
from hf_saliency.render.marks.mark import (
    PART,
    breaks,
    fitting,
    folded,
    prediction_text,
    shown,
    target_name,
    text_headings,
    word_labels,
    write_heading,
)
from hf_saliency.render.marks.token_axis import words_note
from hf_saliency.render.passage import token_labels
from hf_saliency.render.settings import length
from hf_saliency.render.typeset.typeface import SMALLEST, TooNarrow, Typeface

GAP = 2.0  # points between cells and labels
_LABEL = 9.0  # longest label, in sizes of its font
_SHARE = 0.28  # longest label, as a share of the width
_STEP = 0.25  # points by which labels are made smaller until they fit


@dataclass(frozen=True)
class Grid:
    """Cells of one size with their labels, in points from the upper left corner."""

    typeface: Typeface  # of all labels
    rows: tuple[tuple[str, ...], ...]  # labels on up to three lines
    columns: tuple[str, ...]  # labels, cut to their longest length
    answers: tuple[tuple[str, ...], ...]  # to the right of each row
    width: float  # of the whole
    breaks: tuple[int, ...] = ()  # columns before which there is a gap, since another text begins there
    names: Mapping[int, str] = field(default_factory=dict)  # of texts, by the column at which they begin
    words: tuple[tuple[range, str], ...] = ()  # with their labels, for where those of tokens have no room
    first: int = 0  # column of the map
    above: float = 0.0  # where the grid begins, below other bands of the matrix
    longest: int = 0  # columns of the longest band, by which the width is divided; 0 for those of this one

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
        before = [em / 2 if i % 2 else (1.2 * em if i else 2 * points.scaled(GAP)) for i in range(count)]
        return list(zip(before, widths, strict=True))

    @cached_property
    def cell_width(self) -> float:
        room = self.width - self.left - self.right - points.scaled(PART) * len(self.breaks)
        return room / max(self.longest, len(self.columns))

    @cached_property
    def cell_height(self) -> float:
        """Square cells, but no higher than two lines, and no lower than a label needs if the page allows it."""
        square = min(self.cell_width, 2 * Typeface("small").line)
        labelled = max(square, self._row_label)
        return labelled if self.column_step == 1 or labelled * len(self.rows) <= self.width else square

    @cached_property
    def level(self) -> bool:
        """Whether column labels lie on a level instead of standing upright."""
        return max(map(self.typeface.advance, self.columns)) + points.scaled(GAP) <= self.cell_width

    @cached_property
    def column_step(self) -> int:
        """Every how many columns have a label."""
        return 1 if self.level else max(1, math.ceil(self.typeface.ink / max(self.cell_width, 0.01) - 1e-9))

    @cached_property
    def column_labels(self) -> list[tuple[float, str]]:
        """Labels with the middle of what they name: tokens, or their words where tokens have no room."""
        if self.column_step == 1 or not self.words:
            columns = range(0, len(self.columns), self.column_step)
            return [(self._x(j) + self.cell_width / 2, self.columns[j]) for j in columns]
        placed: list[tuple[float, str]] = []
        for columns, label in self.words:
            middle = (self._x(columns[0]) + self._x(columns[-1]) + self.cell_width) / 2
            if not placed or middle - placed[-1][0] >= self.typeface.ink - 1e-9:
                placed.append((middle, label))
        return placed

    @property
    def complete(self) -> bool:
        """Whether each token has its label, or the label of its word."""
        return self.column_step == 1 or (bool(self.words) and len(self.column_labels) == len(self.words))

    @property
    def note(self) -> str:
        """Says which labels were left out."""
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
        """Height of the highest label of a row."""
        return self.typeface.ink * max((len(label) for label in self.rows), default=1)

    @cached_property
    def row_step(self) -> int:
        return max(1, math.ceil(self._row_label / self.cell_height - 1e-9))

    @cached_property
    def top(self) -> float:
        names = points.scaled(GAP) + self.small.line if self.headings else 0.0
        labels = self.typeface.line if self.level else self._longest
        return self.above + names + labels + points.scaled(GAP)

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
        return max(self.typeface.advance(label) for _, label in self.column_labels)

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

    def boxes(self, part: range) -> np.ndarray:
        """All cells of a text: rows x columns x (x, y, width, height)."""
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
    """The grid with the largest labels, up to a size, that all have room; else with the smallest."""
    largest = Typeface(fontsize).points
    sizes = [*np.arange(largest, SMALLEST, -_STEP).tolist(), min(SMALLEST, largest)]
    for size in sizes:
        typeface = Typeface(size)
        cut = min(_LABEL * size, _SHARE * width) if room is None else room
        grid = Grid(
            typeface,
            tuple(tuple(folded(label, typeface, cut, most=3)) for label in rows),
            tuple(typeface.elide(label, cut) for label in columns),
            tuple(answers),
            width,
            breaks,
            names or {},
            tuple((each, typeface.elide(label, cut)) for each, label in words),
            longest=longest,
        )
        if grid.cell_width > 0 and grid.column_step == grid.row_step == 1:
            break
    return grid


_NARROWEST = 1.0  # points that a cell must have to be seen
_NOTE = 2.0  # points between cells and the note below them
_BAND = 6.0  # points between two bands
_TALLEST = 2.0  # of a matrix in bands, as a multiple of its width


@dataclass(frozen=True)
class Matrix(ChecksKeywords):
    """Rows are targets, columns are tokens; each row's frame is at its target's own token.

    Labels get as small as needed, down to 4.75 points. Where even that is too large for every token, labels name words,
    or the matrix is divided into bands, one below another, as long as it is not more than twice as high as wide. Only
    then every second, third, ... token has a label, and a line below the matrix says so.

    Parameters
    ----------
    special
        Show special tokens too, under their own names.
    words
        Merge the tokens of a word, as :meth:`hf_saliency.SaliencyMap.words` does.
    values
        Print the number in each cell.
    predictions
        How many of the model's answers to print to the right of each row.
    fontsize
        Largest size of labels, in points or relative to ``rcParams["font.size"]``.
    white_space
        Show tokens that are nothing but white space, such as line breaks.
    labels
        How long a label may be, in inches; that of a row goes on on up to three lines. Default: nine times its size,
        and up to 28 % of the width.

    Raises
    ------
    SaliencyError
        Drawing raises it if the width is too narrow for the cells or their values, or only special tokens are
        left, which are hidden.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> heat = hs.Explainer(*hs.load_demo())("the formal study of grammar is important")
    >>> hs.figure(heat, mark=hs.Matrix(predictions=1), width=6.75).savefig("figure.pdf")
    """

    special: bool = False
    words: bool = False
    values: bool = False
    predictions: int = 0
    fontsize: float | str = "small"
    white_space: bool = True
    labels: float | None = None

    def __post_init__(self) -> None:
        if self.labels is not None:
            length(self.labels, "labels")

    def shown(self, saliency_map: SaliencyMap) -> SaliencyMap:
        """The part of a map that is drawn: without hidden tokens, merged to words if asked."""
        return shown(saliency_map, special=self.special, words=self.words, white_space=self.white_space)

    def height(self, saliency_map: SaliencyMap, colors: Colors, width: float) -> float:
        """How much room drawing takes.

        Parameters
        ----------
        saliency_map
            The map.
        colors
            The colour scale.
        width
            In points.

        Returns
        -------
        float
            Height in points.

        Raises
        ------
        SaliencyError
            If the width is too narrow for the cells, or for their values.
        """
        *_, last = grids = self._bands(self.shown(saliency_map), colors, width)
        return last.height + (points.scaled(_NOTE) + self._small.line if self._note(grids, colors) else 0.0)

    def draw(self, ax: Axes, saliency_map: SaliencyMap, colors: Colors) -> None:
        """Draw the map into the whole of an Axes, from its upper left corner.

        Parameters
        ----------
        ax
            Its width is that of the matrix with its labels; its data limits play no part and stay as they
            are.
        saliency_map
            The map.
        colors
            The colour scale.

        Raises
        ------
        SaliencyError
            If the Axes are too narrow for the cells, or for their values.
        """
        part = self.shown(saliency_map)
        grids = self._bands(part, colors, points.size(ax)[0])
        values, texts = colors.values(part), colors.printed(part) if self.values else None
        for grid in grids:
            band = slice(grid.first, grid.first + len(grid.columns))
            self._cells(ax, grid, part, values[:, band], colors)
            write_labels(ax, grid)
            if texts is not None:
                self._values(ax, grid, values[:, band], texts[:, band], colors)
        note = self._note(grids, colors)
        if note:
            y = grids[-1].height + points.scaled(_NOTE) + self._small.ascent
            points.write(ax, grids[-1].left, y, note, self._small)

    def _cells(self, ax: Axes, grid: Grid, part: SaliencyMap, values: np.ndarray, colors: Colors) -> None:
        """The cells of a band with their frames."""
        thin = min(0.7, 0.1 * min(grid.cell_width, grid.cell_height))
        for text in grid.parts:
            boxes, cells, first = grid.boxes(text), values[:, text], grid.first + text.start
            if cells.size > raster.MOST_BOXES:
                raster.cell_image(ax, boxes, cells, colors, first)
            else:
                names = [(i, first + j) for i, j in np.ndindex(*cells.shape)]
                points.cells(ax, boxes.reshape(-1, 4), cells.ravel(), colors, joined=True, tokens=names)
            points.outline(ax, grid.frame(text), linewidth=0.3, gid="frame")
        _frames(ax, grid, part, values, colors, thin)

    @property
    def _small(self) -> Typeface:
        return Typeface("x-small")

    def _note(self, grids: Sequence[Grid], colors: Colors) -> str:
        notes = dict.fromkeys(grid.note for grid in grids)
        return ", ".join(filter(None, [*notes, colors.power_note if self.values else ""]))

    def _bands(self, part: SaliencyMap, colors: Colors, width: float) -> list[Grid]:
        """The matrix as one grid, or as several one below another if only so each label has room."""
        whole = self._grid(part, colors, width)
        if whole.complete:
            return [whole]
        groups = spans.word_groups(part.texts, part.tokens)
        for count in range(2, len(groups) + 1):
            bands = _divided(groups, count)
            grids = self._stacked(part, bands, colors, width)
            sizes = {grid.typeface.points for grid in grids}
            if len(sizes) > 1:  # bands of one size have columns of one width
                grids = dataclasses.replace(self, fontsize=min(sizes))._stacked(part, bands, colors, width)
            if grids[-1].height > _TALLEST * width:
                break
            if all(grid.complete for grid in grids):
                return grids
        return [whole]

    def _stacked(self, part: SaliencyMap, bands: Sequence[range], colors: Colors, width: float) -> list[Grid]:
        """Some columns below others."""
        grids: list[Grid] = []
        above = 0.0
        for columns in bands:
            band = part.part(range(len(part.targets)), columns)
            grid = self._grid(band, colors, width, max(map(len, bands)))
            grids.append(dataclasses.replace(grid, first=columns.start, above=above))
            above = grids[-1].height + points.scaled(_BAND)
        return grids

    def _grid(self, part: SaliencyMap, colors: Colors, width: float, longest: int = 0) -> Grid:
        rows = [target_name(target, self.predictions) for target in part.targets]
        columns = token_labels(part)
        answers = [
            tuple(text for p in target.predictions[: self.predictions] for text in prediction_text(p))
            for target in part.targets
        ]
        least = _NARROWEST
        if self.values:
            smallest = Typeface(min(SMALLEST, Typeface(self.fontsize).points))
            widest = max(smallest.advance(text) for text in colors.printed(part).flat)
            least = widest + points.scaled(GAP)

        def at(width: float) -> Grid:
            named = breaks(part), text_headings(part), word_labels(part)
            room = None if self.labels is None else self.labels * 72
            return fit(rows, columns, answers, width, self.fontsize, *named, longest, room)

        grid = at(width)
        if grid.cell_width >= least:
            return grid
        wide = grid
        while wide.cell_width < least:
            wide = at(wide.width + max(1.0, (least - wide.cell_width) * len(columns)))
        what = "values in its cells" if self.values else "cells that can be seen"
        raise TooNarrow(f"a matrix of {len(columns)} columns with {what}", wide.width, width)

    def _values(self, ax: Axes, grid: Grid, values: np.ndarray, texts: np.ndarray, colors: Colors) -> None:
        widest = max(Typeface(100.0).advance(text) for text in texts.flat) / 100
        typeface = Typeface(min(grid.typeface.points, (grid.cell_width - points.scaled(GAP)) / widest))
        for (row, column), text in np.ndenumerate(texts):
            x, y, width, height = grid.box(row, column)
            baseline = y + (height + typeface.capital) / 2
            ink = colors.ink_on(values[row, [column]])
            points.write(ax, x + (width - typeface.advance(text)) / 2, baseline, text, typeface, color=ink)


def _frames(ax: Axes, grid: Grid, part: SaliencyMap, values: np.ndarray, colors: Colors, thin: float) -> None:
    """Frames at the targets' own tokens: of a large matrix as two artists, one of them dashed."""
    frames = [
        (row, column - grid.first, not target.masked)
        for row, target in enumerate(part.targets)
        for column in target.positions
        if 0 <= column - grid.first < len(grid.columns)
    ]
    if part.scores.size <= raster.MOST_BOXES:
        for row, column, dashed in frames:
            ink = colors.ink_on(values[row, [column]])
            points.outline(ax, grid.box(row, column), color=ink, linewidth=thin, dashed=dashed)
        return
    for dashed in (False, True):
        boxes = [grid.box(row, column) for row, column, each in frames if each == dashed]
        points.edges(ax, boxes, color=colors.ink, linewidth=thin, dashed=dashed, gid="target", zorder=3.0)


def write_labels(ax: Axes, grid: Grid) -> None:
    """Draw the labels of columns and rows, the names of texts and the answers."""
    typeface, gap = grid.typeface, points.scaled(GAP)
    half = typeface.capital / 2
    for x, text in grid.headings:
        write_heading(ax, x, grid.above, text, grid.small)
    for middle, label in grid.column_labels:
        if grid.level:
            left = middle - typeface.advance(label) / 2
            points.write(ax, left, grid.top - gap - typeface.descent, label, typeface)
        else:
            points.write(ax, middle + half, grid.top - gap, label, typeface, upward=True)
    for i in range(0, len(grid.rows), grid.row_step):
        _, y, _, height = grid.box(i, 0)
        baseline = y + height / 2 + half
        for k, label in enumerate(grid.rows[i]):
            down = (k - (len(grid.rows[i]) - 1) / 2) * typeface.ink
            points.write(ax, grid.left - gap - typeface.advance(label), baseline + down, label, typeface)
        for text, x in zip(grid.answers[i], grid.answer_places, strict=False):
            points.write(ax, x, baseline, text, typeface)


def _divided(groups: Sequence[Sequence[int]], count: int) -> list[range]:
    """Columns in so many bands of about one length, words kept whole."""
    total = sum(map(len, groups))
    bands: list[range] = []
    start = end = 0
    for group in groups:
        end += len(group)
        if end >= total * (len(bands) + 1) / count:
            bands.append(range(start, end))
            start = end
    return bands
