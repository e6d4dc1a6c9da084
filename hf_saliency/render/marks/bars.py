"""Bars: a bar for each token, for one target or few."""

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
    """A bar for each token in reading order, as long as its score and in its colour.

    The bars of several targets stand side by side, on one scale. A bar of full length is at the limit of the
    colour scale; a score that is not finite is a hatched box. A target's own token has a frame. A text whose scores
    are all exactly zero is left out if no target stands in it (what a choice does not read), and a note says so.

    Parameters
    ----------
    special
        Show special tokens too, under their own names.
    words
        Merge the tokens of a word, as :meth:`hf_saliency.SaliencyMap.words` does.
    top
        Show only so many tokens, those with the largest magnitude (as a share of their row's maximum) for any
        target, still in reading order. Default: all. What a row is divided by comes from these alone.
    vertical
        Let the bars stand, one row of them for each target, instead of lying below one another.
    values
        Print each number beside its bar, or above it.
    predictions
        How many of the model's answers to show, each with its probability.
    fontsize
        Of the tokens, in points or relative to ``rcParams["font.size"]``; what the model answers is a sixth
        smaller.
    labels
        Width of the tokens' labels beside lying bars, in inches; of standing ones their height at most. Default: what
        the longest needs, of lying ones up to two fifths of the whole.
    field
        How wide the lying bars of a target are at most, in inches. Default: all the room there is. Panels of one colour
        scale share it, as the width of labels, so that their bars have one unit length.
    sort
        The order of the tokens: ``"text"``, or by ``"size"`` (the largest magnitude for any target first).
    white_space
        Show tokens that are nothing but white space, such as line breaks.

    Raises
    ------
    SaliencyError
        For a ``top`` that is not a whole number from 1, or a size that is not a number above 0. Drawing raises it if
        the width is too narrow for the bars, or only special tokens are left, which are hidden.

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
        """The part of a map that is drawn: without hidden tokens, merged to words and the strongest, if asked."""
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
            If the width is too narrow for the bars of all targets.
        """
        return sum(strip.height for strip in self.strips(saliency_map, colors, width))

    def draw(self, ax: Axes, saliency_map: SaliencyMap, colors: Colors) -> None:
        """Draw the map into the whole of an Axes, from its upper left corner.

        Parameters
        ----------
        ax
            Its width is that of the bars with their labels; its data limits play no part and stay as they are.
        saliency_map
            The map.
        colors
            The colour scale.

        Raises
        ------
        SaliencyError
            If the Axes are too narrow for the bars of all targets.
        """
        draw_strips(ax, self.strips(saliency_map, colors, points.size(ax)[0]))

    def strips(self, saliency_map: SaliencyMap, colors: Colors, width: float) -> list[Strip]:
        """Header, bars and captions at a width in points; only lying bars can continue on another page."""
        if self.vertical:
            return self._drawn(VerticalBars, saliency_map, colors, width).strips()
        return self.lying(saliency_map, colors, width).strips()

    def lying(self, saliency_map: SaliencyMap, colors: Colors, width: float) -> HorizontalBars:
        """Lying bars at a width in points, which know their sizes."""
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
    """A map without the texts that are zero throughout and hold no target, unless all are."""
    places = {place for target in part.targets for place in target.positions}
    nonzero = set(np.flatnonzero((part.scores != 0).any(axis=0)).tolist())
    every = {token.text_index for token in part.tokens}
    kept = {part.tokens[column].text_index for column in places | nonzero}
    if not kept or kept == every:
        return part
    columns = [i for i, token in enumerate(part.tokens) if token.text_index in kept]
    less = part.part(range(len(part.targets)), columns)
    return dataclasses.replace(less, arguments={**less.arguments, "zero_texts": len(every) - len(kept)})
