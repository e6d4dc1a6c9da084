"""Line: one line of any text, in pieces of one face and one direction, from left to right.

Lengths are measured at 100 points.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise
from typing import Any

from matplotlib.ft2font import LoadFlags
from matplotlib.textpath import text_to_path

from hf_saliency.maps.spans import Span
from hf_saliency.render.typeset import bidi
from hf_saliency.render.typeset.characters import BIDI_CONTROLS, graphemes
from hf_saliency.render.typeset.fonts import MISSING, Face, Fonts, fonts, ignorable, once

_SIZE = 100.0
_LEFT_TO_RIGHT, _RIGHT_TO_LEFT = "\u202d", "\u202e"
_MARK, _END = "\u200f", "\u202c"


@dataclass(frozen=True)
class Shaped:
    """One piece of text in one face and one direction, at 100 points."""

    # Left and right edge of each part of the text; parts that became one glyph divide it equally.
    edges: tuple[tuple[float, float], ...]
    width: float  # how far the piece moves the pen


def directed(text: str, right_to_left: bool) -> str:
    """Return the text with invisible controls that make all of it run in one direction when it is drawn alone."""
    parity = int(right_to_left)
    base = bidi.base_level(text)
    if not any((level - parity) % 2 for level in bidi.levels(text, base)):
        return text
    if right_to_left and not any((level - 1) % 2 for level in bidi.levels(_MARK + text, 1)):
        return _MARK + text
    return (_RIGHT_TO_LEFT if right_to_left else _LEFT_TO_RIGHT) + text + _END


@functools.lru_cache(maxsize=1 << 15)
def shape(parts: tuple[str, ...], face: Face, right_to_left: bool) -> Shaped:
    """Lay out a piece; ``parts`` are its characters, or the text drawn for each."""
    text = "".join(parts)
    if not text:
        return Shaped(((0.0, 0.0),) * len(parts), 0.0)
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
    """Return the left and right edge of each character, and the width."""
    # A space added at the right end of the piece shows by its place where the pen comes to rest.
    stop = "\u00a0" if face.covers("\u00a0") else " "
    whole = stop + text if right_to_left else text + stop
    font: Any = face.font
    items = font._layout(directed(whole, right_to_left), LoadFlags.NO_HINTING)
    glyphs = [(item.x, "".join(c for c in item.char if c not in BIDI_CONTROLS)) for item in items]
    places = _places(whole, [g for g in (glyphs[::-1] if right_to_left else glyphs) if g[1]])
    width = max((left for first, last, left in places if whole[first:last] == stop), default=0.0)
    visual = places[::-1] if right_to_left else places
    # A mark may be placed to the left of its letter, or of the whole piece; boxes stay inside and in order.
    lefts = [*accumulate((min(max(left, 0.0), width) for _, _, left in visual), max), width]
    edges = [(0.0, 0.0)] * len(whole)
    for (first, last, _), left, right in zip(visual, lefts, lefts[1:], strict=False):
        share = (max(right, left) - left) / (last - first)
        for k in range(first, last):
            place = last - 1 - k if right_to_left else k - first
            edges[k] = (left + place * share, left + (place + 1) * share)
    return (edges[len(stop) :] if right_to_left else edges[: len(text)]), width


def _places(text: str, logical: Sequence[tuple[float, str]]) -> list[tuple[int, int, float]]:
    """Return the clusters of a text, as (start, end, left); glyphs are in the order of the text.

    A glyph knows the characters of its cluster, but not their positions. Consecutive glyphs with the same
    characters are one cluster, or one for each time that the text repeats these characters.
    """
    clusters: list[tuple[int, int, float]] = []
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
        share = len(glyphs) / repeats
        for k in range(repeats):
            lefts = glyphs[round(k * share) : round((k + 1) * share)]
            clusters.append((place, place + step, min(lefts)))
            place += step
        i = same
    return clusters


# Text that stays together on a line if possible: visible characters and no-break spaces.
RUN = re.compile(r"(?:\S|[\u00a0\u2007\u202f])+")


@dataclass(frozen=True)
class Piece:
    """Characters ``start`` to ``end`` of a line's text in one face and one direction."""

    start: int
    end: int
    x: float  # left end
    width: float  # how far the piece moves the pen
    text: str  # for Matplotlib
    source: str  # text that is laid out as this piece when drawn alone
    face: Face
    missing: frozenset[str]  # characters that no font has


@dataclass(frozen=True)
class Line:
    """Pieces from left to right, and the left and right edge of each character."""

    pieces: tuple[Piece, ...]
    edges: tuple[tuple[float, float], ...]  # of each character, in the order of the text
    order: tuple[int, ...]  # of the characters from left to right
    width: float  # of the whole

    def hanging(self, count: int, room: float, base: int) -> Line:
        """Return the line with ``count`` more spaces at its end, which together are ``room`` wide."""
        step = room / max(count, 1)
        more = [(self.width + k * step, self.width + (k + 1) * step) for k in range(count)]
        order = [*self.order, *range(len(self.order), len(self.order) + count)]
        if base % 2:
            more = [(-(k + 1) * step, -k * step) for k in range(count)]
            order = [*order[len(self.order) :][::-1], *self.order]
        return Line(self.pieces, (*self.edges, *more), tuple(order), self.width)


def label(text: str, weight: str) -> Line:
    """Return the layout of a text by itself; it runs from right to left if its first letter does."""
    return once((text, weight), lambda: _label(text, fonts(text, weight)))


@functools.lru_cache(maxsize=1 << 14)
def _label(text: str, faces: Fonts) -> Line:
    base = bidi.base_level(text)
    return _compose(text, (0, len(text)), bidi.levels(text, base), base, faces, apart=False)


def line(text: str, span: Span, levels: Sequence[int], base: int, weight: str) -> Line:
    """Return a line of a paragraph at 100 points; each word is a separate piece, and spaces between are not drawn.

    ``levels`` are those of the whole text, from :mod:`hf_saliency.render.typeset.bidi`; ``base`` is the paragraph's.
    """
    return _compose(text, span, levels, base, fonts(text, weight), apart=True)


def reach(clusters: frozenset[str], weight: str) -> tuple[float, float]:
    """Return how far the ink of letters extends above and below the baseline."""
    return _reach(clusters, fonts("", weight)) if clusters else (0.0, 0.0)


@functools.lru_cache(maxsize=256)
def _reach(clusters: frozenset[str], faces: Fonts) -> tuple[float, float]:
    above = below = 0.0
    for cluster in sorted(clusters):
        for piece in _label(cluster, faces).pieces:
            properties = piece.face.properties(100)
            _, height, descent = text_to_path.get_text_width_height_descent(
                piece.text, properties, ismath=False
            )
            above, below = max(above, height - descent), max(below, descent)
    return float(above), float(below)


@dataclass(frozen=True)
class _Segment:
    start: int
    parts: tuple[str, ...]
    level: int
    face: Face
    space: bool


def _compose(text: str, span: Span, levels: Sequence[int], base: int, faces: Fonts, *, apart: bool) -> Line:
    start, end = span
    line_levels = [0] * (end - start)
    if any(levels) or base:
        line_levels = _whole(text[start:end], bidi.line_levels(text, levels, span, base))
    segments = list(_segments(text, span, line_levels, faces, apart=apart))
    edges = [(0.0, 0.0)] * (end - start)
    pieces, x = [], 0.0
    for number in bidi.visual_order([segment.level for segment in segments]):
        segment = segments[number]
        backwards = segment.level % 2 == 1
        shaped = shape(segment.parts, segment.face, backwards)
        first, last = segment.start, segment.start + len(segment.parts)
        edges[first - start : last - start] = [(x + a, x + b) for a, b in shaped.edges]
        if not segment.space:
            source = directed("".join(c for c in text[first:last] if c not in BIDI_CONTROLS), backwards)
            absent = frozenset(
                c for c, p in zip(text[first:last], segment.parts, strict=True) if p == MISSING != c
            )
            shown = directed("".join(segment.parts), backwards)
            pieces.append(Piece(first, last, x, shaped.width, shown, source, segment.face, absent))
        x += shaped.width
    return Line(tuple(pieces), tuple(edges), tuple(bidi.visual_order(line_levels)), x)


def _whole(text: str, levels: Sequence[int]) -> list[int]:
    """Return one level for each visible character of a line: that of its first part that is not a control."""
    line_levels: list[int] = []
    for a, b in graphemes(text):
        level = next((levels[i] for i in range(a, b) if text[i] not in BIDI_CONTROLS), levels[a])
        line_levels += [level] * (b - a)
    return line_levels


def _segments(
    text: str, span: Span, levels: Sequence[int], faces: Fonts, *, apart: bool
) -> Iterator[_Segment]:
    start, end = span
    characters: list[tuple[int, tuple[str, ...], int, Face, bool]] = []
    face = faces.base[0]
    for a, b in graphemes(text[start:end]):
        cluster = text[start + a : start + b]
        space = RUN.match(cluster) is None
        place = start + a
        for source, parts in _cluster(cluster, faces, face):
            characters.append((place, parts, levels[a], source, space and apart))
            place += len(parts)
        face = characters[-1][3]
    for (level, face, space), group in groupby(characters, key=lambda each: each[2:]):
        members = list(group)
        yield _Segment(members[0][0], tuple(p for each in members for p in each[1]), level, face, space)


def _cluster(cluster: str, faces: Fonts, before: Face) -> list[tuple[Face, tuple[str, ...]]]:
    """Split a visible character into stretches of one face, usually one, with the text drawn for each of its parts."""
    if cluster.isascii() and cluster.isprintable() and cluster != " ":
        return [(faces.base[0], tuple(cluster))]
    parts = tuple("" if c in BIDI_CONTROLS or c == "\n" else c for c in cluster)
    if all(ignorable(c) for c in cluster):
        return [(before, parts)]
    if cluster.isspace():
        wide = faces.face(cluster)
        if before.covers(cluster) or wide is None:
            return [(before, parts if before.covers(cluster) else (" ",) * len(parts))]
        return [(wide, parts)]
    face = None if _invalid(cluster) else faces.face(cluster)
    if face is not None:
        return [(face, parts)]
    return [
        (f, tuple(p for _, p in group))
        for f, group in groupby(_apart(parts, faces), key=lambda each: each[0])
    ]


def _apart(parts: Sequence[str], faces: Fonts) -> Iterator[tuple[Face, str]]:
    """Yield a face and a text for each character of a cluster that no face covers; prefer the first one's face."""
    blank = faces.face(MISSING) or faces.base[0]
    main = (None if _invalid(parts[0]) else faces.face(parts[0])) or blank
    for part in parts:
        if not part or ignorable(part) or main.covers(part):
            yield main, part
            continue
        other = None if _invalid(part) else faces.face(part)
        yield (other, part) if other else (blank, MISSING)


def _invalid(cluster: str) -> bool:
    return any(unicodedata.category(c) == "Cs" for c in cluster)
