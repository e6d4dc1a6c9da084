"""Typeface: a font at a size, measured in points without a renderer, and line breaks for a given width."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import cast

import matplotlib as mpl
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.textpath import text_to_path

from hf_saliency.errors import SaliencyError
from hf_saliency.maps import spans
from hf_saliency.maps.spans import Span
from hf_saliency.render.typeset.characters import graphemes
from hf_saliency.render.typeset.fonts import drawn_clusters
from hf_saliency.render.typeset.line import RUN, Piece, label, reach

# Least font size for print, in points; labels are thinned out before they get smaller than this.
SMALLEST = 4.75

_Families = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Typeface:
    """The font that rcParams name at its first use, at one size and weight."""

    size: float | str = "small"  # in points, or relative to rcParams["font.size"]
    weight: str = "normal"  # "normal" or "bold"

    @cached_property
    def properties(self) -> FontProperties:
        return FontProperties(size=self.size, weight=self.weight)

    @cached_property
    def points(self) -> float:
        """The size in points."""
        return float(self.properties.get_size_in_points())

    @property
    def ascent(self) -> float:
        """The font's ascent, or more if other letters of the figure are higher."""
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
        """Height of the letters themselves, which is the least distance between two labels."""
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
        """Return how far the text moves the pen, including kerning and spaces at its ends."""
        return self.scale * label(text, self.weight).width

    def pieces(self, text: str) -> tuple[Piece, ...]:
        """Return the pieces of a text by itself from left to right, in one font and direction each, at 100 points."""
        return label(text, self.weight).pieces

    def elide(self, text: str, width: float) -> str:
        """Return the text, or as much of its beginning as fits into the width together with an ellipsis."""
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
    # families is part of the cache key: the meaning of "sans-serif" may change between two figures
    width, height, descent = text_to_path.get_text_width_height_descent(text, properties, ismath=False)
    return float(width), float(height), float(descent)


# Longer words are not dictionary words but addresses, formulas and the like, and may be broken anywhere.
_UNBROKEN = 30

# Classes CL, CP, EX, IS, NS and CJ of UAX #14, except closing brackets and quotes.
_NEVER_FIRST = frozenset(
    "!,.:;?！，．：；？、。｡､・･ー々〻ヽヾゝゞ゛゜…‥%％‼⁇⁈⁉،؛؟۔।॥๚๛ๆฯ"
    "ぁぃぅぇぉっゃゅょゎゕゖァィゥェォッャュョヮヵヶㇰㇱㇲㇳㇴㇵㇶㇷㇸㇹㇺㇻㇼㇽㇾㇿ\u0e30\u0e32\u0e33\u0e45"
)


def wrap(text: str, width: float, typeface: Typeface) -> list[Span]:
    """Return the lines of a text as spans, without the spaces at their ends; a newline ends a line.

    Raise :class:`TooNarrow`, which knows the smallest width, if the width is too narrow for the longest word.
    """
    # A run of visible characters is broken only if it is longer than the line: between two of its words (spans.words,
    # so after a hyphen or an ideograph), and inside a word only if the word has more than 30 characters.
    lines: list[Span] = []
    start = 0
    for paragraph in text.split("\n"):
        try:
            lines += [(start + a, start + b) for a, b in _fill(paragraph, width, typeface)]
        except _Unfit:
            word, needed = _widest(text, typeface)
            raise TooNarrow(f"the word {word!r}", needed, width) from None
        start += len(paragraph) + 1
    return lines


def _fill(text: str, width: float, typeface: Typeface) -> list[Span]:
    lines: list[Span] = []
    first = last = 0  # the line so far
    for start, end in _atoms(text, width, typeface):
        if offset(text, first, end, typeface) > width:
            if last > first:
                lines.append((first, last))
            first = start
        last = end
    return [*lines, (first, last)]


def offset(text: str, start: int, end: int, typeface: Typeface) -> float:
    """Return how far ``end`` is from ``start`` on one line; words are measured one by one, as they are drawn."""
    total, place = 0.0, start
    for run in RUN.finditer(text, start, end):
        total += typeface.advance(text[place : run.start()]) + typeface.advance(run.group())
        place = run.end()
    return total + typeface.advance(text[place:end])


def _atoms(text: str, width: float, typeface: Typeface) -> Iterator[Span]:
    """Yield the spans that are not broken any further at this width."""
    for run in RUN.finditer(text):
        if typeface.advance(run.group()) <= width:
            yield run.span()
            continue
        for start, end in _breakable(run.group(), width, typeface):
            start, end = run.start() + start, run.start() + end
            needed = typeface.advance(text[start:end])
            if needed <= width:
                yield start, end
            elif end - start > _UNBROKEN:
                yield from _characters(text, start, end)
            else:
                raise _Unfit


def _breakable(run: str, width: float, typeface: Typeface) -> Iterator[Span]:
    """Yield the words of a run, each with punctuation that must not begin or end a line, if there is room for it."""
    first = last = 0
    for start, end in spans.words(run):
        bound = _ends(run[last - 1 : last]) or _begins(run[start]) if last else False
        if last and not (bound and typeface.advance(run[first:end]) <= width):
            yield first, last
            first = start
        last = end
    yield first, len(run)


def _begins(character: str) -> bool:
    """Whether a character must not begin a line: closing punctuation, or part of the letter before it."""
    return unicodedata.category(character) in ("Pe", "Pf") or character in _NEVER_FIRST


def _ends(character: str) -> bool:
    """Whether a character must not end a line."""
    return unicodedata.category(character) in ("Ps", "Pi")


def _characters(text: str, start: int, end: int) -> Iterator[Span]:
    for first, last in graphemes(text[start:end]):
        yield start + first, start + last


def _widest(text: str, typeface: Typeface) -> tuple[str, float]:
    words = [text[start:end] for start, end in spans.words(text) if end - start <= _UNBROKEN]
    width, word = max((typeface.advance(word), word) for word in words)
    return word, width


class _Unfit(Exception):
    """A word that may not be broken is longer than the line."""


class TooNarrow(SaliencyError):
    """Error for a width, in points, that something does not fit into."""

    def __init__(self, what: str, needed: float, width: float) -> None:
        self.what, self.needed, self.width = what, needed, width
        super().__init__(
            f"not enough width for {what}: {needed / 72:.2f} in needed, {width / 72:.2f} in available."
        )
