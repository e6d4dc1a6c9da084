"""Highlight: the text itself, every token on its own colour."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes

from hf_saliency.render import points
from hf_saliency.render.colors import INK, Colors
from hf_saliency.render.marks.mark import prediction_text, shown
from hf_saliency.render.passage import Passage, passage, visible
from hf_saliency.render.points import Box
from hf_saliency.render.typeface import Typeface
from hf_saliency.render.wrap import RUN, offset, wrap
from hf_saliency.saliency_map import SaliencyMap, TargetRow
from hf_saliency.spans import Span

_PAD = 0.8  # points by which a cell reaches beyond the word that it ends with
_LEADING = 1.18  # distance of baselines, as a multiple of the height of a cell
_GAP = 6.0  # between two blocks
_SPACE = 5.0  # between two predictions


@dataclass(frozen=True)
class Highlight:
    """The text in running lines with each token on its colour, one block for each target.

    The token that the target is read at has a frame, and the model's best answers stand below the block. Text
    breaks between words; between tokens, and where no token covers it, it stands on no colour. Tokens that share
    characters share their box, side by side.

    Parameters
    ----------
    special
        Show special tokens too, under their own names.
    words
        Merge the tokens of a word, as :meth:`hf_saliency.SaliencyMap.words` does.
    predictions
        How many of the model's answers to show, each with its probability.
    fontsize
        Of the text, in points or relative to ``rcParams["font.size"]``; the answers are a sixth smaller.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> hs.figure(heat, mark=hs.Highlight(predictions=1), targets="grammar").savefig("figure.pdf")
    """

    special: bool = False
    words: bool = False
    predictions: int = 3
    fontsize: float | str = "small"

    def shown(self, saliency_map: SaliencyMap) -> SaliencyMap:
        """The part of a map that is drawn: without hidden tokens, merged to words if asked."""
        return shown(saliency_map, special=self.special, words=self.words)

    def height(self, saliency_map: SaliencyMap, colors: Colors, width: float) -> float:
        """Height in points at a width in points.

        Raises
        ------
        SaliencyError
            If the width is too narrow for the longest word.
        """
        blocks = self._blocks(self.shown(saliency_map), width)
        return sum(height for _, height in blocks) + _GAP * (len(blocks) - 1)

    def draw(self, ax: Axes, saliency_map: SaliencyMap, colors: Colors) -> None:
        """Draw the map into the whole of an Axes, from its upper left corner.

        Parameters
        ----------
        ax
            Its width is the width of the lines; its data limits play no part and stay as they are.
        saliency_map
            The map.
        colors
            The colour scale.

        Raises
        ------
        SaliencyError
            If the Axes are too narrow for the longest word.
        """
        part = self.shown(saliency_map)
        width, _ = points.size(ax)
        text = passage(part)
        lines = wrap(text.text, width - 2 * _PAD, self._text)
        values = colors.values(part)
        y = 0.0
        for row, (caption, height) in enumerate(self._blocks(part, width)):
            self._cells(ax, y, text, lines, values[row], colors, part.targets[row].position)
            self._write(ax, y, text, lines)
            self._caption(ax, y + self._leading(len(lines)), caption, width)
            y += height + _GAP

    @cached_property
    def _text(self) -> Typeface:
        return Typeface(self.fontsize)

    @cached_property
    def _small(self) -> Typeface:
        return Typeface(self._text.points / 1.2)

    def _leading(self, lines: int) -> float:
        return self._text.line * (_LEADING * (lines - 1) + 1)

    def _blocks(self, part: SaliencyMap, width: float) -> list[tuple[list[str], float]]:
        lines = wrap(passage(part).text, width - 2 * _PAD, self._text)
        blocks = []
        for target in part.targets:
            items = self._items(target, width)
            places = self._places(items, width)
            below = self._small.line * (places[-1][1] + 1) + 0.25 * self._small.points if items else 0.0
            blocks.append((items, self._leading(len(lines)) + below))
        return blocks

    def _items(self, target: TargetRow, width: float) -> list[str]:
        """The line below a block: the target, and what the model answers."""
        answers = [" ".join(prediction_text(p)) for p in target.predictions[: self.predictions]]
        if not answers and target.masked and target.position is not None:
            return []
        name = visible(target.label.strip() or target.label)
        if target.against is not None:
            name += f" against {visible(target.against)}"
        items = [f"{name} →", *answers] if answers else [name]
        return [self._small.elide(item, width - 2 * _PAD) for item in items]

    def _places(self, items: list[str], width: float) -> list[tuple[float, int]]:
        return points.flow([self._small.advance(item) for item in items], width - 2 * _PAD, _SPACE)

    def _caption(self, ax: Axes, y: float, items: list[str], width: float) -> None:
        small = self._small
        top = y + 0.25 * small.points
        for item, (x, line) in zip(items, self._places(items, width), strict=True):
            points.write(ax, _PAD + x, top + small.ascent + line * small.line, item, small)

    def _write(self, ax: Axes, y: float, text: Passage, lines: list[Span]) -> None:
        """Each run of visible characters as one piece, so that the font's own kerning holds inside it."""
        covered = {c for start, end in text.spans.values() for c in range(start, end)}
        for i, (first, last) in enumerate(lines):
            baseline = y + i * self._text.line * _LEADING + self._text.ascent
            for run in RUN.finditer(text.text, first, last):
                x = _PAD + offset(text.text, first, run.start(), self._text)
                ink = INK if covered.issuperset(range(*run.span())) else None
                points.write(ax, x, baseline, run.group(), self._text, color=ink)

    def _cells(
        self,
        ax: Axes,
        y: float,
        text: Passage,
        lines: list[Span],
        values: np.ndarray,
        colors: Colors,
        position: int | None,
    ) -> None:
        boxes = list(self._boxes(y, text, lines))
        points.cells(ax, [box for box, _ in boxes], values[[column for _, column in boxes]], colors)
        for box in _joined([box for box, column in boxes if column == position]):
            points.outline(ax, box)

    def _boxes(self, y: float, text: Passage, lines: list[Span]) -> Iterator[tuple[Box, int]]:
        """The box of each token on each line that it stands on."""
        for start, end, columns in _segments(text):
            for i, (first, last) in enumerate(lines):
                a, b = max(start, first), min(end, last)
                if a >= b:
                    continue
                left = _PAD + offset(text.text, first, a, self._text)
                right = _PAD + offset(text.text, first, b, self._text)
                if a == first or text.text[a - 1].isspace():
                    left -= _PAD
                if b == last or text.text[b].isspace():
                    right += _PAD
                share = (right - left) / len(columns)
                top = y + i * self._text.line * _LEADING
                for k, column in enumerate(columns):
                    yield (left + k * share, top, share, self._text.line), column


def _segments(text: Passage) -> list[tuple[int, int, list[int]]]:
    """Stretches of characters that the same tokens cover."""
    borders = sorted({border for span in text.spans.values() for border in span})
    found = []
    for start, end in pairwise(borders):
        columns = sorted(c for c, (a, b) in text.spans.items() if a <= start and end <= b)
        if columns:
            found.append((start, end, columns))
    return found


def _joined(boxes: list[Box]) -> list[Box]:
    """Boxes that touch on one line made one."""
    joined: list[Box] = []
    for box in sorted(boxes, key=lambda box: (box[1], box[0])):
        x, y, width, height = box
        if joined and joined[-1][1] == y and abs(joined[-1][0] + joined[-1][2] - x) < 1e-6:
            joined[-1] = (joined[-1][0], y, joined[-1][2] + width, height)
        else:
            joined.append(box)
    return joined
