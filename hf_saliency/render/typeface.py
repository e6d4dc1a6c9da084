"""Typeface: a font at a size, measured in points without a renderer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import cast

import matplotlib as mpl
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.textpath import text_to_path

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

    @cached_property
    def ascent(self) -> float:
        font = get_font(findfont(self.properties))
        return float(font.ascender / font.units_per_EM) * self.points

    @cached_property
    def descent(self) -> float:
        font = get_font(findfont(self.properties))
        return -float(font.descender / font.units_per_EM) * self.points

    @cached_property
    def line(self) -> float:
        """Height of the box that a line of text fills, from the font's own ascender and descender."""
        return self.ascent + self.descent

    @cached_property
    def ink(self) -> float:
        """Height of the letters themselves: the closest at which two labels can stand."""
        return self.scale * _extent("|lp", self._unit, self._families)[1]

    @cached_property
    def capital(self) -> float:
        """Height of a capital letter."""
        return self.scale * _extent("H", self._unit, self._families)[1]

    @cached_property
    def scale(self) -> float:
        return self.points / 100

    def advance(self, text: str) -> float:
        """How far the text moves the pen, kerning and spaces at its ends included."""
        if not text:
            return 0.0
        # Only ink is measured, so the text stands between two bars whose own width is then taken off.
        return self.scale * (_extent(f"|{text}|", self._unit, self._families)[0] - self._bars)

    def elide(self, text: str, width: float) -> str:
        """The text, or as much of its beginning as fits into the width together with an ellipsis."""
        if self.advance(text) <= width:
            return text
        fitting, too_long = 0, len(text)
        while too_long - fitting > 1:
            middle = (fitting + too_long) // 2
            fits = self.advance(text[:middle].rstrip() + "…") <= width
            fitting, too_long = (middle, too_long) if fits else (fitting, middle)
        return text[:fitting].rstrip() + "…"

    @cached_property
    def _bars(self) -> float:
        return _extent("||", self._unit, self._families)[0]

    @cached_property
    def _unit(self) -> FontProperties:
        return FontProperties(size=100, weight=self.weight)

    @cached_property
    def _families(self) -> _Families:
        names = self.properties.get_family()
        settings = cast(Mapping[str, Sequence[str]], mpl.rcParams)
        return tuple(tuple(settings.get(f"font.{name}", (name,))) for name in names)


@lru_cache(maxsize=1 << 15)
def _extent(text: str, properties: FontProperties, families: _Families) -> tuple[float, float]:
    # families is part of the key: what "sans-serif" stands for may change between two figures
    width, height, _ = text_to_path.get_text_width_height_descent(text, properties, ismath=False)
    return float(width), float(height)
