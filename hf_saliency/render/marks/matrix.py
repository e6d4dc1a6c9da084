"""Matrix: targets x tokens as a heat map."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from hf_saliency.errors import ChecksCall
from hf_saliency.maps import spans
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.render import points, raster
from hf_saliency.render.colors import Colors
from hf_saliency.render.marks.grid import GAP, Grid, fit, write_labels
from hf_saliency.render.marks.mark import (
    breaks,
    prediction_text,
    shown,
    target_name,
    text_headings,
    word_labels,
)
from hf_saliency.render.passage import token_labels
from hf_saliency.render.settings import length
from hf_saliency.render.typeset.typeface import SMALLEST, TooNarrow, Typeface

_NARROWEST = 1.0  # smallest width of a visible cell, in points
_NOTE = 2.0  # points between cells and the note below them
_BAND = 6.0  # points between two bands
_TALLEST = 2.0  # maximum height of a matrix in bands, as a multiple of its width
_TALL = 1.0  # the same if its labels fit without bands, but are small
_READABLE = 6.0  # points; smaller labels are a reason for bands


@dataclass(frozen=True)
class Matrix(ChecksCall):
    """Rows are targets, columns are tokens; a frame in each row marks the target's own token.

    Labels shrink as needed, down to 4.75 points. If they would be smaller than 6 points, the matrix is divided into
    bands, one below another, as long as it is no higher than wide. If tokens have no room for labels even at 4.75
    points, labels name words, or the matrix is divided into bands and may be up to twice as high as wide. If that is
    not enough either, only every second, third, ... token has a label, and a line below the matrix states this.

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
        Show tokens that are only white space, such as line breaks.
    labels
        Maximum length of a label, in inches; a row's label may take up to three lines. Default: nine times its font
        size, but at most 28 % of the width.

    Raises
    ------
    SaliencyError
        Drawing raises it if the width is too narrow for the cells or their values, or if only special tokens
        are left, since these are hidden.

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
        """Return the part of a map that is drawn: without hidden tokens, and merged to words if requested."""
        return shown(saliency_map, special=self.special, words=self.words, white_space=self.white_space)

    def height(self, saliency_map: SaliencyMap, colors: Colors, width: float) -> float:
        """Return the height that the drawing needs.

        Parameters
        ----------
        saliency_map
            The map.
        colors
            The colour scale.
        width
            Width in points.

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
        """Draw the map over the whole of an Axes, from its upper left corner.

        Parameters
        ----------
        ax
            The Axes. Its width is that of the matrix with its labels; its data limits are neither used nor changed.
        saliency_map
            The map.
        colors
            The colour scale.

        Raises
        ------
        SaliencyError
            If the Axes is too narrow for the cells, or for their values.
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
        """Draw the cells of a band with their frames."""
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
        """Return the matrix as one grid, or as bands if one grid has no room for readable labels."""
        whole = self._grid(part, colors, width)
        readable = min(_READABLE, Typeface(self.fontsize).points)
        chosen = [whole] if whole.complete else []
        if chosen and whole.typeface.points >= readable:
            return chosen
        groups = spans.word_groups(part.texts, part.tokens)
        for count in range(2, len(groups) + 1):
            bands = _divided(groups, count)
            grids = self._stacked(part, bands, colors, width)
            sizes = {grid.typeface.points for grid in grids}
            if len(sizes) > 1:  # with labels of one size, columns of all bands have one width
                grids = dataclasses.replace(self, fontsize=min(sizes))._stacked(part, bands, colors, width)
            if grids[-1].height > (_TALL if chosen else _TALLEST) * width:
                break
            complete = all(grid.complete for grid in grids)
            if complete and grids[0].typeface.points >= readable:
                return grids
            chosen = chosen or (grids if complete else [])
        return chosen or [whole]

    def _stacked(self, part: SaliencyMap, bands: Sequence[range], colors: Colors, width: float) -> list[Grid]:
        """Return a grid for each band of columns, one below another."""
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
        what = "values in its cells" if self.values else "visible cells"
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
    """Draw frames at the targets' own tokens; a large matrix has two artists for them, one of them dashed."""
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


def _divided(groups: Sequence[Sequence[int]], count: int) -> list[range]:
    """Divide columns into ``count`` bands of about equal length, without splitting words."""
    total = sum(map(len, groups))
    bands: list[range] = []
    start = end = 0
    for group in groups:
        end += len(group)
        if end >= total * (len(bands) + 1) / count:
            bands.append(range(start, end))
            start = end
    return bands
