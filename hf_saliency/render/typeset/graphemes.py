"""Graphemes: visible characters, which no box, line or ellipsis may cut.

The rules are Unicode's (UAX #29), as the ``regex`` package has them: a letter with its marks, an emoji with all that
joins and colours it, a flag, a Hangul syllable, an Indic conjunct.
"""

from __future__ import annotations

import bisect
import functools

import regex

from hf_saliency.maps.spans import Span
from hf_saliency.render.typeset.invisible import unseen

_GRAPHEME = regex.compile(r"\X")


def graphemes(text: str) -> list[Span]:
    """The visible characters of a text, in order."""
    return [match.span() for match in _GRAPHEME.finditer(text)]


def whole_graphemes(text: str, start: int, end: int) -> Span:
    """A span, grown until it cuts no visible character."""
    borders = _borders(text)
    return borders[bisect.bisect_right(borders, start) - 1], borders[bisect.bisect_left(borders, end)]


@functools.lru_cache(maxsize=64)
def _borders(text: str) -> list[int]:
    """Where a text may be cut: between visible characters, and around those for which a sign stands."""
    borders = {0, len(text), *(start for start, _ in graphemes(text))}
    for place in range(len(text)):
        if unseen(text, place):
            borders |= {place, place + 1}
    return sorted(borders)
