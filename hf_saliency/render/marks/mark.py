"""Mark: what a figure asks of a way to draw a map."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from matplotlib.axes import Axes

from hf_saliency.errors import SaliencyError
from hf_saliency.render.colors import Colors
from hf_saliency.render.passage import visible
from hf_saliency.saliency_map import SaliencyMap

PART = 5.0  # points between two texts of a map


@runtime_checkable
class Mark(Protocol):
    """A frozen dataclass of options with these three methods; anyone may write one."""

    def shown(self, saliency_map: SaliencyMap) -> SaliencyMap:
        """The part of a map that this mark draws; limits and normalisation come from it alone."""

    def height(self, saliency_map: SaliencyMap, colors: Colors, width: float) -> float:
        """Height in points that drawing the map takes at a width in points."""

    def draw(self, ax: Axes, saliency_map: SaliencyMap, colors: Colors) -> None:
        """Draw the map into the whole of an Axes; its data limits play no part and stay as they are."""


@dataclass(frozen=True)
class Strip:
    """A strip of a drawing from its left to its right edge that no page break may cut.

    Parameters
    ----------
    height
        In points.
    draw
        Draws it into an Axes, at a distance in points from its upper edge; None for a gap, which is left out
        at the edges of a page.
    keep
        Whether the next strip must stand on the same page.
    """

    height: float
    draw: Callable[[Axes, float], None] | None
    keep: bool = False


@runtime_checkable
class Divisible(Mark, Protocol):
    """A mark that can be drawn across pages."""

    def strips(self, saliency_map: SaliencyMap, colors: Colors, width: float) -> Sequence[Strip]:
        """The drawing from top to bottom, at a width in points."""


def shown(saliency_map: SaliencyMap, *, special: bool, words: bool) -> SaliencyMap:
    """A map with the columns that are drawn, and all its rows; SaliencyError if no column is left."""
    # drop_special() also drops the targets read at a special token, such as the first word of a causal model,
    # which is read at the begin-of-text token; what was selected for a figure is drawn.
    whole = saliency_map.words() if words else saliency_map
    columns = [i for i, token in enumerate(whole.tokens) if special or not token.special]
    if not columns:
        raise SaliencyError(
            "all tokens of this map are special ones, which are hidden: "
            "figure(..., mark=Highlight(special=True))."
        )
    return whole.part(range(len(whole.targets)), columns)


def breaks(part: SaliencyMap) -> tuple[int, ...]:
    """The columns at which another text begins."""
    pairs = enumerate(itertools.pairwise(part.tokens), start=1)
    return tuple(i for i, (before, token) in pairs if before.text != token.text)


def name(label: str) -> str:
    """A label in one line, without the white space at its ends if it has anything else."""
    return visible(label.strip() or label)


def draw_strips(ax: Axes, strips: Sequence[Strip]) -> None:
    """Draw strips one below another from the upper edge."""
    y = 0.0
    for strip in strips:
        if strip.draw is not None:
            strip.draw(ax, y)
        y += strip.height
