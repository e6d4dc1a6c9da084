"""Highlight: the text itself, with each token on a background in its colour."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes

from hf_saliency.errors import ChecksCall
from hf_saliency.maps.fields import TargetRow
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.maps.spans import Span
from hf_saliency.render import points
from hf_saliency.render.colors import Colors, muted
from hf_saliency.render.marks.mark import (
    SMALLER,
    Caption,
    Strip,
    draw_strips,
    shown,
    target_items,
    text_heading,
    write_heading,
)
from hf_saliency.render.passage import Passage, passage
from hf_saliency.render.points import Box
from hf_saliency.render.typeset import bidi
from hf_saliency.render.typeset.characters import BIDI_CONTROLS
from hf_saliency.render.typeset.fonts import once
from hf_saliency.render.typeset.line import Line, line
from hf_saliency.render.typeset.typeface import Typeface, wrap

PAD = 0.8  # points by which a box extends into an empty place next to it
Run = tuple[
    float, float, str, tuple[int, ...] | None, bool
]  # x, baseline, text, columns beneath, sign or not
_SIGN = 0.75  # size of a sign for white space, as a share of the text's size

_FEW = 500  # most boxes that are drawn as separate artists; more are grouped by colour, which is faster
_LEADING = 1.18  # distance of baselines, as a multiple of the height of a box


@dataclass(frozen=True, eq=False)
class TextLayout:
    """Lines of a text, in points from the upper left corner of the first; the same for every target of a map."""

    saliency_map: SaliencyMap
    typeface: Typeface
    width: float

    @cached_property
    def _passage(self) -> Passage:
        return passage(self.saliency_map)

    @cached_property
    def _lines(self) -> list[Span]:
        room = self.typeface.advance(" ") if self._blank else 0.0
        return wrap(self._passage.text, self.width - 2 * points.scaled(PAD) - room, self.typeface)

    @cached_property
    def _blank(self) -> set[int]:
        """Characters of tokens that are only spaces; they have a box even at the end of a line."""
        text, spans = self._passage.text, self._passage.spans.values()
        return {c for start, end in spans if text[start:end].isspace() for c in range(start, end)}

    @cached_property
    def _columns(self) -> dict[int, list[int]]:
        """The columns of the tokens that cover each character; no entry for a character that no token covers."""
        columns: dict[int, list[int]] = {}
        for column, (start, end) in self._passage.spans.items():
            for c in range(start, end):
                columns.setdefault(c, []).append(column)
        return columns

    def _hanging(self, number: int) -> int:
        """Count the spaces after the last letter of a line, up to the last one with a box."""
        end = self._lines[number][1]
        stop = self._lines[number + 1][0] if number + 1 < len(self._lines) else len(self._passage.text)
        gap = range(end, next((c for c in range(end, stop) if self._passage.text[c] == "\n"), stop))
        return max((c + 1 - end for c in gap if c in self._blank), default=0)

    @property
    def height(self) -> float:
        return self._top(len(self._lines) - 1) + self._box_height

    @property
    def count(self) -> int:
        """Number of lines."""
        return len(self._lines)

    @cached_property
    def pitch(self) -> float:
        """Distance between two baselines."""
        return self._box_height * _LEADING

    @cached_property
    def _box_height(self) -> float:
        return self.typeface.line

    def line_of(self, top: float) -> int:
        """Return the number of the line whose boxes have this upper edge."""
        return round(top / self.pitch)

    def _top(self, line: int) -> float:
        return self.pitch * line

    @cached_property
    def _set(self) -> list[tuple[Line, float]]:
        """Each line with its left end; lines that are read from right to left are aligned right."""
        levels, bases = self._directions
        lines = []
        for i, span in enumerate(self._lines):
            base = bases[span[0]]
            placed = line(self._passage.text, span, levels, base, self.typeface.weight)
            spare = self.width - 2 * points.scaled(PAD) - self.typeface.scale * placed.width
            placed = placed.hanging(self._hanging(i), self.typeface.advance(" ") / self.typeface.scale, base)
            lines.append((placed, points.scaled(PAD) + (spare if base % 2 else 0.0)))
        return lines

    @property
    def backwards(self) -> bool:
        """Whether the last line is read from right to left."""
        return self.runs_backwards(len(self._lines) - 1)

    def runs_backwards(self, line: int) -> bool:
        """Whether a line is read from right to left."""
        return self._directions[1][self._lines[line][0]] % 2 == 1

    @cached_property
    def first_lines(self) -> list[int]:
        """The number of the first line of each text."""
        firsts = [first for first, _ in self._lines]
        return [bisect.bisect_left(firsts, start) for start in self._passage.starts]

    @cached_property
    def _directions(self) -> tuple[list[int], list[int]]:
        """The bidi levels of each character and of its paragraph, with one more entry for the end of the text."""
        text = self._passage.text
        ends = [i for i, c in enumerate(text) if c == "\n"] + [len(text)]
        levels: list[int] = []
        bases: list[int] = []
        for start, end in zip([0, *(end + 1 for end in ends)], ends, strict=False):
            bases += [bidi.base_level(text[start:end])] * (end - start + 1)
            levels += [*bidi.levels(text[start:end], bases[-1]), bases[-1]]
        return levels, bases

    def runs(self) -> Iterator[Run]:
        """Yield runs of visible characters between spaces, as (x, baseline, text, columns beneath, sign or not).

        A run in one font and one direction is drawn as one piece, which keeps its kerning and its joined letters.
        The columns are None if some of the run has no coloured background.
        """
        ascent = self.typeface.ascent
        for i, (line_, left) in enumerate(self._set):
            for piece in line_.pieces:
                under = [self._columns.get(c) for c in range(piece.start, piece.end)]
                columns = None if None in under else tuple({i for each in under for i in each or ()})
                baseline = self._top(i) + ascent
                if self._passage.white_space.isdisjoint(range(piece.start, piece.end)):
                    yield left + self.typeface.scale * piece.x, baseline, piece.source, columns, False
                    continue
                first = self._lines[i][0]
                for start, end, sign in self._parts(piece.start, piece.end):
                    x = left + self.typeface.scale * line_.edges[start - first][0]
                    right = left + self.typeface.scale * line_.edges[end - 1 - first][1]
                    if sign:  # smaller than its place, and centred in it
                        x += (1 - _SIGN) / 2 * (right - x)
                    yield x, baseline, self._passage.text[start:end], columns, sign

    def _parts(self, start: int, end: int) -> Iterator[tuple[int, int, bool]]:
        """Yield stretches of letters and of signs for white space, as (start, end, sign or not)."""
        while start < end:
            sign = start in self._passage.white_space
            stop = next((c for c in range(start, end) if (c in self._passage.white_space) != sign), end)
            yield start, stop, sign
            start = stop

    @cached_property
    def boxes(self) -> list[tuple[Box, int]]:
        """The box of each token on each of its lines, with the token's column."""
        firsts = [first for first, _ in self._lines]
        ends = [last + self._hanging(line) for line, (_, last) in enumerate(self._lines)]
        return [
            box
            for start, end, columns in self._segments()
            for line in range(bisect.bisect_right(ends, start), bisect.bisect_left(firsts, end))
            if firsts[line] < ends[line]
            for box in self._shared(line, max(start, firsts[line]), min(end, ends[line]), columns)
        ]

    def _shared(self, number: int, start: int, end: int, columns: list[int]) -> Iterator[tuple[Box, int]]:
        """Yield the boxes of some characters of a line: one, or more if the direction changes between them."""
        (placed, shift), (first, _) = self._set[number], self._lines[number]
        for a, b in self._stretches(number, start - first, end - first):
            if all(self._passage.text[first + i] in BIDI_CONTROLS for i in placed.order[a:b]):
                continue  # a control may be apart from its sign, and has no width
            edges = [placed.edges[i] for i in placed.order[a:b]]
            left = shift + self.typeface.scale * min(edge[0] for edge in edges)
            right = shift + self.typeface.scale * max(edge[1] for edge in edges)
            left -= points.scaled(PAD) * self._open(number, a - 1)
            right += points.scaled(PAD) * self._open(number, b)
            backwards = placed.order[a] > placed.order[b - 1]
            share = (right - left) / len(columns)
            for k, column in enumerate(columns[::-1] if backwards else columns):
                yield (left + k * share, self._top(number), share, self._box_height), column

    def _stretches(self, number: int, start: int, end: int) -> list[tuple[int, int]]:
        """Return where some characters of a line are in its order from left to right, as (start, end)."""
        order = self._set[number][0].order
        if order[start:end] == tuple(range(start, end)):  # the usual case
            return [(start, end)]
        inside = [start <= i < end for i in order]
        borders = [
            i for i in range(len(inside) + 1) if (i and inside[i - 1]) != (i < len(inside) and inside[i])
        ]
        return list(zip(borders[::2], borders[1::2], strict=True))

    def _open(self, number: int, place: int) -> bool:
        """Whether a place on a line, counted from the left, has neither a letter nor a box."""
        (placed, _), (first, _) = self._set[number], self._lines[number]
        if not 0 <= place < len(placed.order):
            return True
        character = first + placed.order[place]
        return self._passage.text[character].isspace() and character not in self._columns

    def _segments(self) -> Iterator[tuple[int, int, list[int]]]:
        """Yield stretches of characters that are covered by the same tokens."""
        borders = sorted({border for span in self._passage.spans.values() for border in span})
        for start, end in pairwise(borders):
            if start in self._columns:
                yield start, end, sorted(self._columns[start])

    def frames(self, columns: Sequence[int]) -> list[Box]:
        """Return the boxes of some tokens, joined on each line if they touch or have only a space between them."""
        joined: list[Box] = []
        boxes = [box for box, column in self.boxes if column in columns]
        for x, y, width, height in sorted(boxes, key=lambda box: (box[1], box[0])):
            if joined and joined[-1][1] == y and x - sum(joined[-1][::2]) < self.typeface.advance(" "):
                before = joined.pop()
                x, width = before[0], x + width - before[0]
            joined.append((x, y, width, height))
        return joined


_GAP = 6.0  # points between two blocks
_PART = 2.0  # points above the heading of a further text


@dataclass(frozen=True)
class Highlight(ChecksCall):
    """The running text with each token on a background in its colour, one block for each target.

    The target's own token has a frame, and the model's best answers are below the block. If the map names its
    texts, the first block shows each name above its text. Lines break between words. Text that no token covers
    has no background. Tokens that share characters divide their box, side by side.

    Parameters
    ----------
    special
        Show special tokens too, under their own names.
    words
        Merge the tokens of a word, as :meth:`hf_saliency.SaliencyMap.words` does.
    predictions
        How many of the model's answers to show, each with its probability.
    fontsize
        Size of the text, in points or relative to ``rcParams["font.size"]``; the answers are a sixth smaller.
    white_space
        Show tokens that are only white space, such as line breaks.

    Raises
    ------
    SaliencyError
        Drawing raises it if the width is too narrow for the longest word, or if only special tokens are left,
        since these are hidden.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> heat = hs.Explainer(*hs.load_demo())("the formal study of grammar is important")
    >>> hs.figure(heat, mark=hs.Highlight(predictions=1), targets="grammar").savefig("figure.pdf")
    """

    special: bool = False
    words: bool = False
    predictions: int = 3
    fontsize: float | str = "small"
    white_space: bool = True

    def shown(self, saliency_map: SaliencyMap) -> SaliencyMap:
        """Return the part of a map that is drawn: without hidden tokens, and merged to words if requested."""
        return shown(saliency_map, special=self.special, words=self.words, white_space=self.white_space)

    def height(self, saliency_map: SaliencyMap, colors: Colors, width: float) -> float:
        """Return the height that the drawing needs.

        Parameters
        ----------
        saliency_map
            The map.
        colors
            The colour scale.
        width
            Width in points.

        Returns
        -------
        float
            Height in points.

        Raises
        ------
        SaliencyError
            If the width is too narrow for the longest word.
        """
        return sum(strip.height for strip in self.strips(saliency_map, colors, width))

    def draw(self, ax: Axes, saliency_map: SaliencyMap, colors: Colors) -> None:
        """Draw the map over the whole of an Axes, from its upper left corner.

        Parameters
        ----------
        ax
            The Axes. Its width is the width of the lines; its data limits are neither used nor changed.
        saliency_map
            The map.
        colors
            The colour scale.

        Raises
        ------
        SaliencyError
            If the Axes is too narrow for the longest word.
        """
        draw_strips(ax, self.strips(saliency_map, colors, points.size(ax)[0]))

    def strips(self, saliency_map: SaliencyMap, colors: Colors, width: float) -> list[Strip]:
        """Return the lines with their boxes and frames, at a width in points; a caption stays with the last line."""
        typeface = Typeface(self.fontsize)
        # The lines are laid out once for the height and the drawing. The map is kept with them, so that its id, which
        # is in the key, is not used again for another map.
        _, part, lines = once(
            (self, id(saliency_map), typeface.points, round(width, 6)),
            lambda: (saliency_map, *self._lay_out(saliency_map, typeface, width)),
        )
        values = colors.values(part)
        strips: list[Strip] = []
        for row, target in enumerate(part.targets):
            if row:
                strips.append(Strip(points.scaled(_GAP), None))
            strips += self._block(lines, row, target, values[row], colors)
        return strips

    def _lay_out(
        self, saliency_map: SaliencyMap, typeface: Typeface, width: float
    ) -> tuple[SaliencyMap, list[_Line]]:
        part = self.shown(saliency_map)
        return part, _lines(TextLayout(part, typeface, width))

    def _block(
        self, lines: list[_Line], row: int, target: TargetRow, values: np.ndarray, colors: Colors
    ) -> Iterator[Strip]:
        text = lines[0].text
        below = Caption(
            _items(target, self.predictions, backwards=text.backwards),
            Typeface(text.typeface.points / SMALLER),
            text.width - 2 * points.scaled(PAD),
            backwards=text.backwards,
        )
        for i, part in enumerate(lines):
            if part.heading and row == 0:  # the texts are the same for every target
                gap = points.scaled(_PART) if i else 0.0
                yield Strip(
                    gap + below.typeface.line, partial(part.head, gap=gap, typeface=below.typeface), keep=True
                )
            left = len(lines) - i
            height = text.pitch if left > 1 else text.typeface.line
            draw = partial(part.draw, row=row, target=target, values=values, colors=colors)
            yield Strip(height, draw, keep=bool(below.items) and left <= 2)
        if below.items:
            yield Strip(below.height, lambda ax, y: below.draw(ax, points.scaled(PAD), y))


@dataclass(frozen=True)
class _Line:
    """One line of a text with its boxes and runs, measured from the upper edge of the text's first line."""

    text: TextLayout
    top: float
    boxes: list[tuple[Box, int]]
    runs: list[Run]
    heading: str
    backwards: bool
    apart: bool

    def head(self, ax: Axes, y: float, *, gap: float, typeface: Typeface) -> None:
        """Write the name of the text that begins with this line."""
        room = self.text.width - 2 * points.scaled(PAD)
        text = typeface.elide(self.heading, room)
        spare = room - typeface.advance(text) if self.backwards else 0.0
        write_heading(ax, points.scaled(PAD) + spare, y + gap, text, typeface)

    def draw(
        self, ax: Axes, y: float, *, row: int, target: TargetRow, values: np.ndarray, colors: Colors
    ) -> None:
        y -= self.top
        boxes = [(x, y + top, width, height) for (x, top, width, height), _ in self.boxes]
        columns = [column for _, column in self.boxes]
        tokens = [(row, column) for column in columns]
        points.cells(ax, boxes, values[columns], colors, tokens=tokens, apart=self.apart)
        stroke = colors.ink_on(values[list(target.positions)])
        for x, top, width, height in self.text.frames(target.positions):
            if top == self.top:
                points.outline(ax, (x, y + top, width, height), color=stroke, dashed=not target.masked)
        small = Typeface(self.text.typeface.points * _SIGN)
        for x, baseline, run, beneath, sign in self.runs:
            ink = None if beneath is None else colors.ink_on(values[list(beneath)])
            if sign and beneath is not None and colors.faint(values[list(beneath)]):
                ink = muted()
            points.write(ax, x, y + baseline, run, small if sign else self.text.typeface, color=ink)


def _lines(text: TextLayout) -> list[_Line]:
    apart = text.saliency_map.scores.size <= _FEW
    boxes: list[list[tuple[Box, int]]] = [[] for _ in range(text.count)]
    runs: list[list[Run]] = [[] for _ in range(text.count)]
    for box, column in text.boxes:
        boxes[text.line_of(box[1])].append((box, column))
    ascent = text.typeface.ascent
    for run in text.runs():
        runs[text.line_of(run[1] - ascent)].append(run)
    names = {first: text_heading(text.saliency_map, i) for i, first in enumerate(text.first_lines)}
    return [
        _Line(text, i * text.pitch, boxes[i], runs[i], names.get(i, ""), text.runs_backwards(i), apart)
        for i in range(text.count)
    ]


def _items(target: TargetRow, count: int, *, backwards: bool) -> list[str]:
    """Return the items below a block; none if the frame already shows everything."""
    silent = target.masked and target.position is not None and target.against is None
    return (
        [] if silent and not target.predictions[:count] else target_items(target, count, backwards=backwards)
    )
