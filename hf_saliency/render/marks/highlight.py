"""Highlight: the text itself, every token on its own colour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from hf_saliency.render import points
from hf_saliency.render.colors import Colors
from hf_saliency.render.marks.mark import prediction_text, shown
from hf_saliency.render.marks.setting import PAD, Setting
from hf_saliency.render.passage import visible
from hf_saliency.render.typeface import Typeface
from hf_saliency.saliency_map import SaliencyMap, TargetRow

_GAP = 6.0  # points between two blocks
_SPACE = 5.0  # points between two predictions
_SMALLER = 1.2  # the text's size over that of the line below it


@dataclass(frozen=True)
class Highlight:
    """The text in running lines with each token on its colour, one block for each target.

    The token that the target is read at has a frame, and the model's best answers stand below the block.
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
        part = self.shown(saliency_map)
        text = Setting(part, Typeface(self.fontsize), width)
        below = [_Caption(_items(t, self.predictions), text).height for t in part.targets]
        return text.height * len(below) + sum(below) + _GAP * (len(below) - 1)

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
        text = Setting(part, Typeface(self.fontsize), points.size(ax)[0])
        y = 0.0
        for target, values in zip(part.targets, colors.values(part), strict=True):
            _block(ax, y, text, values, colors, target.position)
            y += text.height
            caption = _Caption(_items(target, self.predictions), text)
            caption.draw(ax, y)
            y += caption.height + _GAP


def _block(
    ax: Axes, y: float, text: Setting, values: np.ndarray, colors: Colors, position: int | None
) -> None:
    boxes = [(x, y + top, width, height) for (x, top, width, height), _ in text.boxes]
    points.cells(ax, boxes, values[[column for _, column in text.boxes]], colors)
    for x, top, width, height in text.frames(position):
        points.outline(ax, (x, y + top, width, height))
    for x, baseline, run, ink in text.runs():
        points.write(ax, x, y + baseline, run, text.typeface, color=ink)


def _items(target: TargetRow, count: int) -> list[str]:
    """What stands below a block: the target, and what the model answers."""
    answers = [" ".join(prediction_text(p)) for p in target.predictions[:count]]
    if not answers and target.masked and target.position is not None:
        return []  # the frame has said it all
    name = visible(target.label.strip() or target.label)
    if target.against is not None:
        name += f" against {visible(target.against)}"
    return [f"{name} →", *answers] if answers else [name]


class _Caption:
    """The line below a block, or the lines where one is too short."""

    def __init__(self, items: list[str], text: Setting) -> None:
        self._typeface = Typeface(text.typeface.points / _SMALLER)
        width = text.width - 2 * PAD
        self._items = [self._typeface.elide(item, width) for item in items]
        self._places = points.flow([self._typeface.advance(item) for item in self._items], width, _SPACE)

    @property
    def height(self) -> float:
        return self._gap + self._typeface.line * (self._places[-1][1] + 1) if self._items else 0.0

    @property
    def _gap(self) -> float:
        return self._typeface.points / 4

    def draw(self, ax: Axes, y: float) -> None:
        for item, (x, line) in zip(self._items, self._places, strict=True):
            baseline = y + self._gap + self._typeface.ascent + line * self._typeface.line
            points.write(ax, PAD + x, baseline, item, self._typeface)
