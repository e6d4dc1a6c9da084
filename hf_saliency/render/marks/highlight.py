"""Highlight: the text itself, every token on its own colour."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from matplotlib.axes import Axes

from hf_saliency.render import points
from hf_saliency.render.colors import Colors
from hf_saliency.render.marks import headings
from hf_saliency.render.marks.caption import SMALLER, Caption, target_items
from hf_saliency.render.marks.mark import Strip, draw_strips, shown
from hf_saliency.render.marks.setting import PAD, Setting
from hf_saliency.render.points import Box
from hf_saliency.render.typeface import Typeface
from hf_saliency.saliency_map import SaliencyMap, TargetRow

_GAP = 6.0  # points between two blocks
_PART = 2.0  # points above the heading of another text


@dataclass(frozen=True)
class Highlight:
    """The text in running lines with each token on its colour, one block for each target.

    The target's own token has a frame, and the model's best answers stand below the block. Texts that belong
    together have their names above them, where the map knows these.
    Lines break between words; text that no token covers stands on no colour. Tokens that share characters
    share their box, side by side.

    Parameters
    ----------
    special
        Show special tokens too, under their own names.
    words
        Merge the tokens of a word, as :meth:`hf_saliency.SaliencyMap.words` does.
    predictions
        How many of the model's answers to show, each with its probability.
    fontsize
        Of the text, in points or relative to ``rcParams["font.size"]``; the line below is a sixth smaller.

    Raises
    ------
    SaliencyError
        Drawing raises it if the width is too narrow for the longest word, or only special tokens are left, which
        are hidden.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> heat = hs.Explainer(*hs.load_demo())("the formal study of grammar is important")
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
            If the width is too narrow for the longest word.
        """
        return sum(strip.height for strip in self.strips(saliency_map, colors, width))

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
        draw_strips(ax, self.strips(saliency_map, colors, points.size(ax)[0]))

    def strips(self, saliency_map: SaliencyMap, colors: Colors, width: float) -> list[Strip]:
        """The lines, each with what hangs on it, at a width in points; a caption stays with its last line."""
        part = self.shown(saliency_map)
        lines = _lines(Setting(part, Typeface(self.fontsize), width))
        values = colors.values(part)
        found: list[Strip] = []
        for row, target in enumerate(part.targets):
            if row:
                found.append(Strip(_GAP, None))
            found += self._block(lines, target, values[row], colors)
        return found

    def _block(
        self, lines: list[_Line], target: TargetRow, values: np.ndarray, colors: Colors
    ) -> Iterator[Strip]:
        text = lines[0].text
        below = Caption(
            _items(target, self.predictions, backwards=text.backwards),
            Typeface(text.typeface.points / SMALLER),
            text.width - 2 * PAD,
            backwards=text.backwards,
        )
        for i, line in enumerate(lines):
            if line.heading:
                gap = _PART if i else 0.0
                yield Strip(
                    gap + below.typeface.line, partial(line.head, gap=gap, typeface=below.typeface), keep=True
                )
            left = len(lines) - i
            height = text.pitch if left > 1 else text.typeface.line
            draw = partial(line.draw, target=target, values=values, colors=colors)
            yield Strip(height, draw, keep=bool(below.items) and left <= 2)
        if below.items:
            yield Strip(below.height, lambda ax, y: below.draw(ax, PAD, y))


@dataclass(frozen=True)
class _Line:
    """One line of a text with what stands on it, measured from the upper edge of the text's first line."""

    text: Setting
    top: float
    boxes: list[tuple[Box, int]]
    runs: list[tuple[float, float, str, str | None]]
    heading: str
    backwards: bool

    def head(self, ax: Axes, y: float, *, gap: float, typeface: Typeface) -> None:
        """What the text is that begins with this line."""
        room = self.text.width - 2 * PAD
        text = typeface.elide(self.heading, room)
        spare = room - typeface.advance(text) if self.backwards else 0.0
        headings.write(ax, PAD + spare, y + gap, text, typeface)

    def draw(self, ax: Axes, y: float, *, target: TargetRow, values: np.ndarray, colors: Colors) -> None:
        y -= self.top
        boxes = [(x, y + top, width, height) for (x, top, width, height), _ in self.boxes]
        points.cells(ax, boxes, values[[column for _, column in self.boxes]], colors)
        for x, top, width, height in self.text.frames(target.positions):
            if top == self.top:
                points.outline(ax, (x, y + top, width, height), dashed=not target.masked)
        for x, baseline, run, ink in self.runs:
            points.write(ax, x, y + baseline, run, self.text.typeface, color=ink)


def _lines(text: Setting) -> list[_Line]:
    boxes: list[list[tuple[Box, int]]] = [[] for _ in range(text.count)]
    runs: list[list[tuple[float, float, str, str | None]]] = [[] for _ in range(text.count)]
    for box, column in text.boxes:
        boxes[text.line_of(box[1])].append((box, column))
    for run in text.runs():
        runs[text.line_of(run[1] - text.typeface.ascent)].append(run)
    names = {first: headings.heading(text.saliency_map, i) for i, first in enumerate(text.first_lines)}
    return [
        _Line(text, i * text.pitch, boxes[i], runs[i], names.get(i, ""), text.runs_backwards(i))
        for i in range(text.count)
    ]


def _items(target: TargetRow, count: int, *, backwards: bool) -> list[str]:
    """What stands below a block: nothing where the frame has said it all."""
    silent = target.masked and target.position is not None and target.against is None
    return (
        [] if silent and not target.predictions[:count] else target_items(target, count, backwards=backwards)
    )
