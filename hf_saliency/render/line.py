"""Line: one line of any text, in pieces of one face and one direction, from left to right.

Lengths are those at 100 points.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from matplotlib.textpath import text_to_path

from hf_saliency.render import bidi
from hf_saliency.render.faces import Face
from hf_saliency.render.fallback import MISSING, Fonts, clusters_of, fonts, ignorable
from hf_saliency.render.shaping import directed, drawn, shape
from hf_saliency.render.signs import BIDI_CONTROLS
from hf_saliency.spans import Span

# What stays together on a line if it can: visible characters and the spaces that do not break.
RUN = re.compile(r"(?:\S|[\u00a0\u2007\u202f])+")


@dataclass(frozen=True)
class Piece:
    """Characters ``start`` to ``end`` of a text in one face and one direction.

    Parameters
    ----------
    start, end
        In the text of the line.
    x, width
        Its left end, and how far it moves the pen.
    text
        What is handed to Matplotlib.
    source
        A text that is set as this piece where it stands alone.
    face
        Its font.
    missing
        Characters that no font has.
    """

    start: int
    end: int
    x: float
    width: float
    text: str
    source: str
    face: Face
    missing: frozenset[str]


@dataclass(frozen=True)
class Line:
    """Pieces from left to right, and the left and right of each character.

    Parameters
    ----------
    pieces
        What is drawn.
    edges
        Of each character, in the text's own order.
    order
        Characters from left to right.
    width
        Of the whole.
    """

    pieces: tuple[Piece, ...]
    edges: tuple[tuple[float, float], ...]
    order: tuple[int, ...]
    width: float

    def hanging(self, count: int, room: float, base: int) -> Line:
        """The line with some more spaces at its end, which together are as wide as ``room``."""
        step = room / max(count, 1)
        more = [(self.width + k * step, self.width + (k + 1) * step) for k in range(count)]
        order = [*self.order, *range(len(self.order), len(self.order) + count)]
        if base % 2:
            more = [(-(k + 1) * step, -k * step) for k in range(count)]
            order = [*order[len(self.order) :][::-1], *self.order]
        return Line(self.pieces, (*self.edges, *more), tuple(order), self.width)


def label(text: str, weight: str) -> Line:
    """A text by itself, which runs from the right if its first letter does."""
    return _label(text, fonts(text, weight))


@functools.lru_cache(maxsize=1 << 14)
def _label(text: str, own: Fonts) -> Line:
    base = bidi.base_level(text)
    return _compose(text, (0, len(text)), bidi.levels(text, base), base, own, apart=False)


def line(text: str, span: Span, levels: Sequence[int], base: int, weight: str) -> Line:
    """A line of a paragraph, each word a piece of its own; spaces between them are not drawn.

    Parameters
    ----------
    text
        Of which the line is a part.
    span
        The line's characters.
    levels
        Of the whole text, from :mod:`hf_saliency.render.bidi`.
    base
        Level of the paragraph.
    weight
        ``"normal"`` or ``"bold"``.

    Returns
    -------
    Line
        At 100 points.
    """
    return _compose(text, span, levels, base, fonts(text, weight), apart=True)


def reach(clusters: frozenset[str], weight: str) -> tuple[float, float]:
    """How far the ink of letters goes above and below the baseline."""
    return _reach(clusters, fonts("", weight)) if clusters else (0.0, 0.0)


@functools.lru_cache(maxsize=256)
def _reach(clusters: frozenset[str], own: Fonts) -> tuple[float, float]:
    above = below = 0.0
    for cluster in sorted(clusters):
        for piece in _label(cluster, own).pieces:
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


def _compose(text: str, span: Span, levels: Sequence[int], base: int, own: Fonts, *, apart: bool) -> Line:
    start, end = span
    own_levels = [0] * (end - start)
    if any(levels) or base:
        own_levels = _whole(text[start:end], bidi.line_levels(text, levels, span, base))
    segments = list(_segments(text, span, own_levels, own, apart=apart))
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
            shown = drawn(segment.parts, backwards)
            pieces.append(Piece(first, last, x, shaped.width, shown, source, segment.face, absent))
        x += shaped.width
    return Line(tuple(pieces), tuple(edges), tuple(bidi.visual_order(own_levels)), x)


def _whole(text: str, levels: Sequence[int]) -> list[int]:
    """Levels of a line where every visible character is on one: that of its first which is no control."""
    found: list[int] = []
    for a, b in clusters_of(text):
        own = next((levels[i] for i in range(a, b) if text[i] not in BIDI_CONTROLS), levels[a])
        found += [own] * (b - a)
    return found


def _segments(text: str, span: Span, levels: Sequence[int], own: Fonts, *, apart: bool) -> Iterator[_Segment]:
    start, end = span
    found: list[tuple[int, tuple[str, ...], int, Face, bool]] = []
    face = own.base[0]
    for a, b in clusters_of(text[start:end]):
        cluster = text[start + a : start + b]
        space = RUN.match(cluster) is None
        place = start + a
        for one, parts in _cluster(cluster, own, face):
            found.append((place, parts, levels[a], one, space and apart))
            place += len(parts)
        face = found[-1][3]
    for (level, face, space), group in groupby(found, key=lambda each: each[2:]):
        together = list(group)
        yield _Segment(together[0][0], tuple(p for each in together for p in each[1]), level, face, space)


def _cluster(cluster: str, own: Fonts, before: Face) -> list[tuple[Face, tuple[str, ...]]]:
    """A visible character in stretches of one face, mostly one, with what is drawn for each of its characters."""
    if cluster.isascii() and cluster.isprintable() and cluster != " ":
        return [(own.base[0], tuple(cluster))]
    parts = tuple("" if c in BIDI_CONTROLS or c == "\n" else c for c in cluster)
    if all(ignorable(c) for c in cluster):
        return [(before, parts)]
    if cluster.isspace():
        wide = own.face(cluster)
        if before.covers(cluster) or wide is None:
            return [(before, parts if before.covers(cluster) else (" ",) * len(parts))]
        return [(wide, parts)]
    face = None if _invalid(cluster) else own.face(cluster)
    if face is not None:
        return [(face, parts)]
    return [
        (f, tuple(p for _, p in group)) for f, group in groupby(_apart(parts, own), key=lambda each: each[0])
    ]


def _apart(parts: Sequence[str], own: Fonts) -> Iterator[tuple[Face, str]]:
    """Each character of a cluster that no face has as a whole: in the face of the first if that has it, or its own."""
    blank = own.face(MISSING) or own.base[0]
    main = (None if _invalid(parts[0]) else own.face(parts[0])) or blank
    for part in parts:
        if not part or ignorable(part) or main.covers(part):
            yield main, part
            continue
        other = None if _invalid(part) else own.face(part)
        yield (other, part) if other else (blank, MISSING)


def _invalid(cluster: str) -> bool:
    return any(unicodedata.category(c) == "Cs" for c in cluster)
