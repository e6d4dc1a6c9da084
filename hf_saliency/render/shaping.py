"""Shaping: where the letters of one piece of text end up, as Matplotlib draws it.

Matplotlib 3.11 shapes text with HarfBuzz (through libraqm): Arabic letters join, Indic conjuncts and ligatures
form, marks find their place. Where each letter went is told only by ``FT2Font._layout``, which Matplotlib's own
backends draw from; it is not public, and used nowhere but here. Earlier versions draw one glyph for each
character; there, letters stand unjoined, in the right order.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

from matplotlib.ft2font import FT2Font, LoadFlags
from matplotlib.textpath import text_to_path

from hf_saliency.render import bidi
from hf_saliency.render.bidi_rules import mirrored
from hf_saliency.render.faces import Face
from hf_saliency.render.signs import BIDI_CONTROLS

SHAPES = hasattr(FT2Font, "_layout")
_SIZE = 100.0
_LEFT_TO_RIGHT, _RIGHT_TO_LEFT = "\u202d", "\u202e"
_MARK, _END = "\u200f", "\u202c"


@dataclass(frozen=True)
class Shaped:
    """One piece of text in one face and one direction, at 100 points.

    Parameters
    ----------
    edges
        Left and right of each part that was given; parts that became one glyph share it in equal shares.
    width
        How far the piece moves the pen.
    """

    edges: tuple[tuple[float, float], ...]
    width: float


def directed(text: str, right_to_left: bool) -> str:
    """The text with what makes it run as a whole one way where it stands alone, invisible itself."""
    if not SHAPES:
        return text
    parity = int(right_to_left)
    base = bidi.base_level(text)
    if not any((level - parity) % 2 for level in bidi.levels(text, base)):
        return text
    if right_to_left and not any((level - 1) % 2 for level in bidi.levels(_MARK + text, 1)):
        return _MARK + text
    return (_RIGHT_TO_LEFT if right_to_left else _LEFT_TO_RIGHT) + text + _END


def drawn(parts: Sequence[str], right_to_left: bool) -> str:
    """What Matplotlib is given for a piece."""
    if SHAPES or not right_to_left:
        return directed("".join(parts), right_to_left)
    return "".join(mirrored(part) for part in reversed(parts))


@functools.lru_cache(maxsize=1 << 15)
def shape(parts: tuple[str, ...], face: Face, right_to_left: bool) -> Shaped:
    """Lay out a piece; ``parts`` are its characters, or what is drawn for each."""
    text = "".join(parts)
    if not text:
        return Shaped(((0.0, 0.0),) * len(parts), 0.0)
    if not SHAPES:
        return _unshaped(parts, face, right_to_left)
    clusters, width = _clusters(text, face, right_to_left)
    borders = list(accumulate(map(len, parts), initial=0))
    edges = []
    for start, end in pairwise(borders):
        lefts, rights = (
            zip(*(clusters[i] for i in range(start, end)), strict=True) if end > start else ((), ())
        )
        before = clusters[start - 1] if start else ((width, width) if right_to_left else (0.0, 0.0))
        here = before[0] if right_to_left else before[1]
        edges.append((min(lefts, default=here), max(rights, default=here)))
    return Shaped(tuple(edges), width)


def _clusters(text: str, face: Face, right_to_left: bool) -> tuple[list[tuple[float, float]], float]:
    """Left and right of each character; the width."""
    # A space of known place, at the end at which a piece ends on the right, shows where the pen comes to rest.
    stop = "\u00a0" if face.covers("\u00a0") else " "
    whole = stop + text if right_to_left else text + stop
    font: Any = face.font
    items = font._layout(directed(whole, right_to_left), LoadFlags.NO_HINTING)
    glyphs = [(item.x, "".join(c for c in item.char if c not in BIDI_CONTROLS)) for item in items]
    found = _places(whole, [g for g in (glyphs[::-1] if right_to_left else glyphs) if g[1]])
    width = max((left for first, last, left in found if whole[first:last] == stop), default=0.0)
    visual = found[::-1] if right_to_left else found
    # A mark may be placed before its letter, and before the piece; boxes stay inside and in order.
    lefts = [*accumulate((min(max(left, 0.0), width) for _, _, left in visual), max), width]
    edges = [(0.0, 0.0)] * len(whole)
    for (first, last, _), left, right in zip(visual, lefts, lefts[1:], strict=False):
        share = (max(right, left) - left) / (last - first)
        for k in range(first, last):
            place = last - 1 - k if right_to_left else k - first
            edges[k] = (left + place * share, left + (place + 1) * share)
    return (edges[len(stop) :] if right_to_left else edges[: len(text)]), width


def _places(text: str, logical: Sequence[tuple[float, str]]) -> list[tuple[int, int, float]]:
    """Clusters of a text, as (start, end, left); glyphs come in the text's own order.

    A glyph knows the characters of its cluster, but not where they stand: glyphs in a row with the same
    characters are one cluster, or as many as the text repeats these characters.
    """
    found: list[tuple[int, int, float]] = []
    place, i = 0, 0
    while i < len(logical):
        characters = logical[i][1]
        same = i
        while same < len(logical) and logical[same][1] == characters:
            same += 1
        step = max(1, len(characters))
        repeats = 1
        while repeats < same - i and text.startswith(characters, place + repeats * step):
            repeats += 1
        glyphs = [x for x, _ in logical[i:same]]
        each = len(glyphs) / repeats
        for k in range(repeats):
            own = glyphs[round(k * each) : round((k + 1) * each)]
            found.append((place, place + step, min(own)))
            place += step
        i = same
    return found


def _unshaped(parts: tuple[str, ...], face: Face, right_to_left: bool) -> Shaped:
    """Without HarfBuzz: one glyph after another, with kerning."""
    ordered = [mirrored(part) for part in reversed(parts)] if right_to_left else list(parts)
    properties = face.properties(_SIZE)

    def pen(text: str) -> float:
        # Only ink is measured, so the text stands between two bars whose own width is then taken off.
        wide = text_to_path.get_text_width_height_descent(f"|{text}|", properties, ismath=False)[0]
        bars = text_to_path.get_text_width_height_descent("||", properties, ismath=False)[0]
        return float(wide - bars)

    stops = [pen("".join(ordered[:i])) for i in range(len(ordered) + 1)]
    edges = [(a, max(a, b)) for a, b in pairwise(stops)]
    return Shaped(tuple(edges[::-1] if right_to_left else edges), stops[-1])
