"""Breaking text into lines of a width, at word boundaries."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

from hf_saliency.errors import SaliencyError
from hf_saliency.maps import spans
from hf_saliency.maps.spans import Span
from hf_saliency.render.typeset.graphemes import graphemes
from hf_saliency.render.typeset.line import RUN
from hf_saliency.render.typeset.typeface import Typeface

# Longer words are no dictionary words but addresses, formulas and the like, and may be broken anywhere.
_UNBROKEN = 30

# Of UAX #14 the classes CL, CP, EX, IS, NS and CJ, as far as they are not closing brackets and quotes.
_NEVER_FIRST = frozenset(
    "!,.:;?！，．：；？、。｡､・･ー々〻ヽヾゝゞ゛゜…‥%％‼⁇⁈⁉،؛؟۔।॥๚๛ๆฯ"
    "ぁぃぅぇぉっゃゅょゎゕゖァィゥェォッャュョヮヵヶㇰㇱㇲㇳㇴㇵㇶㇷㇸㇹㇺㇻㇼㇽㇾㇿ\u0e30\u0e32\u0e33\u0e45"
)


def wrap(text: str, width: float, typeface: Typeface) -> list[Span]:
    """Lines of a text, as spans without the spaces at their ends.

    A newline ends a line. A run of visible characters is broken only if it is longer than the line: between
    two of its words (:func:`hf_saliency.maps.spans.words`, so after a hyphen or an ideograph), and inside a word
    only if that has more than 30 characters.

    A width too narrow for the longest word is refused with :class:`TooNarrow`, which knows the least width.
    """
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
    """How far ``end`` lies from ``start`` on one line; words are measured alone, as they are drawn."""
    total, place = 0.0, start
    for run in RUN.finditer(text, start, end):
        total += typeface.advance(text[place : run.start()]) + typeface.advance(run.group())
        place = run.end()
    return total + typeface.advance(text[place:end])


def _atoms(text: str, width: float, typeface: Typeface) -> Iterator[Span]:
    """What is not broken any further at this width."""
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
    """Words of a run, each with the punctuation that must not begin or end a line, if there is room for it."""
    first = last = 0
    for start, end in spans.words(run):
        bound = _ends(run[last - 1 : last]) or _begins(run[start]) if last else False
        if last and not (bound and typeface.advance(run[first:end]) <= width):
            yield first, last
            first = start
        last = end
    yield first, len(run)


def _begins(character: str) -> bool:
    """Whether a character must not begin a line: closing punctuation, and what belongs to the letter before it."""
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
    """A width, in points, that something does not fit into."""

    def __init__(self, what: str, needed: float, width: float) -> None:
        self.what, self.needed, self.width = what, needed, width
        super().__init__(f"{what} needs {needed / 72:.2f} in, but there are only {width / 72:.2f} in.")
