"""Bars: a bar for each token, for one target or a few."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

import numpy as np
from matplotlib.axes import Axes

from hf_saliency.errors import ChecksCall, one_of, whole
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.render import points
from hf_saliency.render.colors import Colors
from hf_saliency.render.marks.horizontal_bars import HorizontalBars
from hf_saliency.render.marks.mark import Strip, draw_strips, shown
from hf_saliency.render.marks.vertical_bars import VerticalBars
from hf_saliency.render.settings import length

Sort = Literal["text", "size"]
_Drawn = TypeVar("_Drawn", HorizontalBars, VerticalBars)


@dataclass(frozen=True)
class Bars(ChecksCall):
    """A bar for each token in reading order; its score sets its length and colour.

    The bars of several targets are side by side, on one scale. A bar of full length has reached the limit of the
    colour scale; a score that is not finite is a hatched box. A target's own token has a frame. A text whose scores
    are all exactly zero is left out if it holds no target (such as a text that a choice does not read), and a note
    states this.

    Parameters
    ----------
    special
        Show special tokens too, under their own names.
    words
        Merge the tokens of a word, as :meth:`hf_saliency.SaliencyMap.words` does.
    top
        Number of tokens to show: those with the largest magnitude (as a share of their row's maximum) for any
        target, still in reading order. Default: all. Rows are normalised over these tokens alone.
    vertical
        Draw vertical bars, one row of them for each target, instead of horizontal ones below one another.
    values
        Print each number next to its bar, or above it.
    predictions
        How many of the model's answers to show, each with its probability.
    fontsize
        Size of the tokens, in points or relative to ``rcParams["font.size"]``; the model's answers are a sixth
        smaller.
    labels
        Width of the tokens' labels next to horizontal bars, in inches; for vertical bars, the maximum height of the
        labels. Default: what the longest needs, for horizontal bars at most two fifths of the whole.
    field
        Maximum width of a target's horizontal bars, in inches. Default: all the room there is. Panels of one colour
        scale share this width and that of the labels, so that their bars have the same unit length.
    sort
        Order of the tokens: ``"text"``, or ``"size"`` (largest magnitude for any target first).
    white_space
        Show tokens that are only white space, such as line breaks.

    Raises
    ------
    SaliencyError
        If ``top`` is not an integer of at least 1, or a size is not a number above 0. Drawing raises it if the width
        is too narrow for the bars, or if only special tokens are left, since these are hidden.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> heat = hs.Explainer(*hs.load_demo())("the formal study of grammar is important")
    >>> hs.figure(heat, mark=hs.Bars(top=8), targets="grammar", width=3.25).savefig("figure.pdf")
    """

    special: bool = False
    words: bool = False
    top: int | None = None
    vertical: bool = False
    values: bool = False
    predictions: int = 3
    fontsize: float | str = "small"
    labels: float | None = None
    field: float | None = None
    sort: Sort = "text"
    white_space: bool = True

    def __post_init__(self) -> None:
        one_of(self.sort, get_args(Sort), "sort")
        for name in ("labels", "field"):
            if getattr(self, name) is not None:
                length(getattr(self, name), name)
        if self.top is not None:
            object.__setattr__(self, "top", whole(self.top, "top"))

    def shown(self, saliency_map: SaliencyMap) -> SaliencyMap:
        """Return the part of a map that is drawn: no hidden tokens, and words or the strongest tokens if requested."""
        words = shown(saliency_map, special=self.special, words=self.words, white_space=self.white_space)
        part = _telling(words)
        all_kept = self.top is None or self.top >= len(part.tokens)
        if all_kept and self.sort == "text":
            return part
        strength = np.abs(np.nan_to_num(part.normalized("row_max"), posinf=0, neginf=0)).max(axis=0)
        strongest = np.argsort(-strength, kind="stable")[: self.top].tolist()
        columns = strongest if self.sort == "size" else sorted(strongest)
        kept = part.part(range(len(part.targets)), columns)
        if all_kept:
            return kept
        return dataclasses.replace(kept, arguments={**words.arguments, "strongest_of": len(words.tokens)})

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
            If the width is too narrow for the bars of all targets.
        """
        return sum(strip.height for strip in self.strips(saliency_map, colors, width))

    def draw(self, ax: Axes, saliency_map: SaliencyMap, colors: Colors) -> None:
        """Draw the map over the whole of an Axes, from its upper left corner.

        Parameters
        ----------
        ax
            The Axes. Its width is that of the bars with their labels; its data limits are neither used nor changed.
        saliency_map
            The map.
        colors
            The colour scale.

        Raises
        ------
        SaliencyError
            If the Axes is too narrow for the bars of all targets.
        """
        draw_strips(ax, self.strips(saliency_map, colors, points.size(ax)[0]))

    def strips(self, saliency_map: SaliencyMap, colors: Colors, width: float) -> list[Strip]:
        """Return header, bars and captions at a width in points; only horizontal bars can continue on another page."""
        if self.vertical:
            return self._drawn(VerticalBars, saliency_map, colors, width).strips()
        return self.lying(saliency_map, colors, width).strips()

    def lying(self, saliency_map: SaliencyMap, colors: Colors, width: float) -> HorizontalBars:
        """Return the horizontal bars at a width in points, with their sizes."""
        return self._drawn(HorizontalBars, saliency_map, colors, width)

    def _drawn(self, kind: type[_Drawn], saliency_map: SaliencyMap, colors: Colors, width: float) -> _Drawn:
        return kind(
            self.shown(saliency_map),
            colors,
            width,
            self.fontsize,
            self.values,
            self.predictions,
            self.labels,
            self.field,
            self.sort == "text",
        )


def _telling(part: SaliencyMap) -> SaliencyMap:
    """Return a map without the texts that hold no target and have only zero scores, unless that is every text."""
    places = {place for target in part.targets for place in target.positions}
    nonzero = set(np.flatnonzero((part.scores != 0).any(axis=0)).tolist())
    every = {token.text_index for token in part.tokens}
    kept = {part.tokens[column].text_index for column in places | nonzero}
    if not kept or kept == every:
        return part
    columns = [i for i, token in enumerate(part.tokens) if token.text_index in kept]
    less = part.part(range(len(part.targets)), columns)
    return dataclasses.replace(less, arguments={**less.arguments, "zero_texts": len(every) - len(kept)})
