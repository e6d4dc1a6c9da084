"""Matrix: targets x tokens as a heat map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from hf_saliency.render import points
from hf_saliency.render.colors import INK, Colors
from hf_saliency.render.marks import headings
from hf_saliency.render.marks.caption import prediction_text, target_name
from hf_saliency.render.marks.grid import GAP, Grid, fit
from hf_saliency.render.marks.mark import breaks, shown
from hf_saliency.render.numerals import decimals, number, ordinal
from hf_saliency.render.passage import token_labels
from hf_saliency.render.typeface import SMALLEST, Typeface
from hf_saliency.render.wrap import TooNarrow
from hf_saliency.saliency_map import SaliencyMap

_NARROWEST = 1.0  # points that a cell must have to be seen
_NOTE = 2.0  # points between cells and the note below them


@dataclass(frozen=True)
class Matrix:
    """Rows are targets, columns are tokens; each row's frame is at its target's own token.

    Labels get as small as needed, down to 4.75 points; where even that is too large for every label, only
    every second, third, ... has one, and a line below the matrix says so.

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

    def shown(self, saliency_map: SaliencyMap) -> SaliencyMap:
        """The part of a map that is drawn: without hidden tokens, merged to words if asked."""
        return shown(saliency_map, special=self.special, words=self.words)

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
        grid = self._grid(self.shown(saliency_map), colors, width)
        return grid.height + (_NOTE + self._small.line if _note(grid) else 0.0)

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
        grid = self._grid(part, colors, points.size(ax)[0])
        values = colors.values(part)
        thin = min(0.7, 0.1 * min(grid.cell_width, grid.cell_height))
        for text in grid.parts:
            boxes = [grid.box(i, j) for i in range(len(grid.rows)) for j in text]
            points.cells(ax, boxes, values[:, text].ravel(), colors, joined=True)
            points.outline(ax, grid.frame(text), linewidth=0.3, gid="frame")
        for row, target in enumerate(part.targets):
            for column in target.positions:
                points.outline(ax, grid.box(row, column), linewidth=thin, dashed=not target.masked)
        _labels(ax, grid)
        if self.values:
            self._values(ax, grid, _printed(part, colors))
        if _note(grid):
            points.write(ax, grid.left, grid.height + _NOTE + self._small.ascent, _note(grid), self._small)

    @property
    def _small(self) -> Typeface:
        return Typeface("x-small")

    def _grid(self, part: SaliencyMap, colors: Colors, width: float) -> Grid:
        rows = [target_name(target) for target in part.targets]
        columns = token_labels(part)
        answers = [
            tuple(text for p in target.predictions[: self.predictions] for text in prediction_text(p))
            for target in part.targets
        ]
        names = headings.headings(part)
        least = _NARROWEST
        if self.values:
            smallest = Typeface(min(SMALLEST, Typeface(self.fontsize).points))
            least = max(smallest.advance(text) for text in _printed(part, colors).flat) + GAP
        grid = fit(rows, columns, answers, width, self.fontsize, breaks(part), names)
        if grid.cell_width >= least:
            return grid
        wide = grid
        while wide.cell_width < least:
            wider = wide.width + max(1.0, (least - wide.cell_width) * len(columns))
            wide = fit(rows, columns, answers, wider, self.fontsize, breaks(part), names)
        what = "values in its cells" if self.values else "cells that can be seen"
        raise TooNarrow(f"a matrix of {len(columns)} columns with {what}", wide.width, width)

    def _values(self, ax: Axes, grid: Grid, texts: np.ndarray) -> None:
        widest = max(Typeface(100.0).advance(text) for text in texts.flat) / 100
        typeface = Typeface(min(grid.typeface.points, (grid.cell_width - GAP) / widest))
        for (row, column), text in np.ndenumerate(texts):
            x, y, width, height = grid.box(row, column)
            baseline = y + (height + typeface.capital) / 2
            points.write(ax, x + (width - typeface.advance(text)) / 2, baseline, text, typeface, color=INK)


def _labels(ax: Axes, grid: Grid) -> None:
    typeface = grid.typeface
    half = typeface.capital / 2
    for x, text in grid.headings:
        headings.write(ax, x, 0.0, text, grid.small)
    for j in range(0, len(grid.columns), grid.column_step):
        x, _, width, _ = grid.box(0, j)
        label, middle = grid.columns[j], x + width / 2
        if grid.level:
            left = middle - typeface.advance(label) / 2
            points.write(ax, left, grid.top - GAP - typeface.descent, label, typeface)
        else:
            points.write(ax, middle + half, grid.top - GAP, label, typeface, upward=True)
    for i in range(0, len(grid.rows), grid.row_step):
        _, y, _, height = grid.box(i, 0)
        baseline = y + height / 2 + half
        for k, label in enumerate(grid.rows[i]):
            down = (k - (len(grid.rows[i]) - 1) / 2) * typeface.ink
            points.write(ax, grid.left - GAP - typeface.advance(label), baseline + down, label, typeface)
        for text, x in zip(grid.answers[i], grid.answer_places, strict=False):
            points.write(ax, x, baseline, text, typeface)


def _printed(part: SaliencyMap, colors: Colors) -> np.ndarray:
    """What stands in the cells: two decimals, or three digits of large numbers."""
    values = np.where(np.isfinite(part.scores), colors.values(part), part.scores)
    texts = [number(v) if not np.isfinite(v) or colors.limit >= 10 else decimals(v) for v in values.flat]
    return np.array(texts, dtype=object).reshape(values.shape)


def _note(grid: Grid) -> str:
    """What the reader is told where labels were left out."""
    if grid.column_step == grid.row_step > 1:
        return f"every {ordinal(grid.row_step)} token and target is labelled"
    axes = [("token", grid.column_step), ("target", grid.row_step)]
    return ", ".join(f"every {ordinal(step)} {name} is labelled" for name, step in axes if step > 1)
