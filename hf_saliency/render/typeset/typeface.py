"""Typeface: a font at a size, measured in points without a renderer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import cast

import matplotlib as mpl
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.textpath import text_to_path

from hf_saliency.render.typeset.fonts import drawn_clusters
from hf_saliency.render.typeset.graphemes import graphemes
from hf_saliency.render.typeset.line import Piece, label, reach

# What a size in points has to be for print; labels are thinned out before they get smaller than this.
SMALLEST = 4.75

_Families = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Typeface:
    """The font that rcParams name when it is first used, at one size and weight.

    Parameters
    ----------
    size
        In points, or a word relative to ``rcParams["font.size"]`` such as ``"small"``.
    weight
        ``"normal"`` or ``"bold"``.
    """

    size: float | str = "small"
    weight: str = "normal"

    @cached_property
    def properties(self) -> FontProperties:
        return FontProperties(size=self.size, weight=self.weight)

    @cached_property
    def points(self) -> float:
        """The size in points."""
        return float(self.properties.get_size_in_points())

    @property
    def ascent(self) -> float:
        """The font's own, or more if other letters of the figure are higher."""
        font = get_font(findfont(self.properties))
        return max(float(font.ascender / font.units_per_EM) * self.points, self.scale * self._reach[0])

    @property
    def descent(self) -> float:
        """As :attr:`ascent`, below the baseline."""
        font = get_font(findfont(self.properties))
        return max(-float(font.descender / font.units_per_EM) * self.points, self.scale * self._reach[1])

    @property
    def line(self) -> float:
        """Height of the box that a line of text fills, from ascent and descent."""
        return self.ascent + self.descent

    @property
    def ink(self) -> float:
        """Height of the letters themselves: the closest at which two labels can stand."""
        _, height, descent = _extent("|lp", self._unit, self._families)
        above, below = self._reach
        return self.scale * (max(height - descent, above) + max(descent, below))

    @property
    def _reach(self) -> tuple[float, float]:
        """How far unusual letters of the figure reach above and below the baseline."""
        return reach(drawn_clusters(), self.weight)

    @cached_property
    def capital(self) -> float:
        """Height of a capital letter."""
        return self.scale * _extent("H", self._unit, self._families)[1]

    @cached_property
    def scale(self) -> float:
        return self.points / 100

    def advance(self, text: str) -> float:
        """How far the text moves the pen, kerning and spaces at its ends included."""
        return self.scale * label(text, self.weight).width

    def pieces(self, text: str) -> tuple[Piece, ...]:
        """A text by itself, from left to right in pieces of one font and one direction, in units of 100 points."""
        return label(text, self.weight).pieces

    def elide(self, text: str, width: float) -> str:
        """The text, or as much of its beginning as fits into the width together with an ellipsis."""
        if self.advance(text) <= width:
            return text
        ends = [0, *(end for _, end in graphemes(text))]
        fitting, too_long = 0, len(ends) - 1
        while too_long - fitting > 1:
            middle = (fitting + too_long) // 2
            fits = self.advance(text[: ends[middle]].rstrip() + "…") <= width
            fitting, too_long = (middle, too_long) if fits else (fitting, middle)
        return text[: ends[fitting]].rstrip() + "…"

    @cached_property
    def _unit(self) -> FontProperties:
        return FontProperties(size=100, weight=self.weight)

    @cached_property
    def _families(self) -> _Families:
        names = self.properties.get_family()
        settings = cast(Mapping[str, Sequence[str]], mpl.rcParams)
        return tuple(tuple(settings.get(f"font.{name}", (name,))) for name in names)


@lru_cache(maxsize=1 << 15)
def _extent(text: str, properties: FontProperties, families: _Families) -> tuple[float, float, float]:
    # families is part of the key: what "sans-serif" stands for may change between two figures
    width, height, descent = text_to_path.get_text_width_height_descent(text, properties, ismath=False)
    return float(width), float(height), float(descent)
