"""Highlight: the text itself, every token on its own colour."""

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

PAD = 0.8  # points by which a box reaches beyond the word that it ends with
Run = tuple[
    float, float, str, tuple[int, ...] | None, bool
]  # x, baseline, text, columns beneath, sign or not
_SIGN = 0.75  # size of a sign for white space, as a share of the text's

_FEW = 500  # boxes up to which each is an artist of its own; more are grouped by colour, which is faster
_LEADING = 1.18  # distance of baselines, as a multiple of the height of a box


@dataclass(frozen=True, eq=False)
class TextLayout:
    """Lines in points from the upper left corner of the first; the same for every target of a map."""

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
        """Characters of tokens that are nothing but spaces; at the end of a line, too, they have a box."""
        text, spans = self._passage.text, self._passage.spans.values()
        return {c for start, end in spans if text[start:end].isspace() for c in range(start, end)}

    @cached_property
    def _columns(self) -> dict[int, list[int]]:
        """The columns of the tokens that cover each character; no entry where none does."""
        columns: dict[int, list[int]] = {}
        for column, (start, end) in self._passage.spans.items():
            for c in range(start, end):
                columns.setdefault(c, []).append(column)
        return columns

    def _hanging(self, number: int) -> int:
        """How many spaces follow the last letter of a line, up to the last that has a box."""
        end = self._lines[number][1]
        stop = self._lines[number + 1][0] if number + 1 < len(self._lines) else len(self._passage.text)
        gap = range(end, next((c for c in range(end, stop) if self._passage.text[c] == "\n"), stop))
        return max((c + 1 - end for c in gap if c in self._blank), default=0)

    @property
    def height(self) -> float:
        return self._top(len(self._lines) - 1) + self._box_height

    @property
    def count(self) -> int:
        """How many lines there are."""
        return len(self._lines)

    @cached_property
    def pitch(self) -> float:
        """Distance of two baselines."""
        return self._box_height * _LEADING

    @cached_property
    def _box_height(self) -> float:
        return self.typeface.line

    def line_of(self, top: float) -> int:
        """The line whose boxes have this upper edge."""
        return round(top / self.pitch)

    def _top(self, line: int) -> float:
        return self.pitch * line

    @cached_property
    def _set(self) -> list[tuple[Line, float]]:
        """Each line in the order in which it is read, and its left end; one that is read from the right ends there."""
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
        """Whether the last line is read from the right."""
        return self.runs_backwards(len(self._lines) - 1)

    def runs_backwards(self, line: int) -> bool:
        """Whether a line is read from the right."""
        return self._directions[1][self._lines[line][0]] % 2 == 1

    @cached_property
    def first_lines(self) -> list[int]:
        """The line that each text begins with."""
        firsts = [first for first, _ in self._lines]
        return [bisect.bisect_left(firsts, start) for start in self._passage.starts]

    @cached_property
    def _directions(self) -> tuple[list[int], list[int]]:
        """The level of each character and of its paragraph, and of the end of the text."""
        text = self._passage.text
        ends = [i for i, c in enumerate(text) if c == "\n"] + [len(text)]
        levels: list[int] = []
        bases: list[int] = []
        for start, end in zip([0, *(end + 1 for end in ends)], ends, strict=False):
            bases += [bidi.base_level(text[start:end])] * (end - start + 1)
            levels += [*bidi.levels(text[start:end], bases[-1]), bases[-1]]
        return levels, bases

    def runs(self) -> Iterator[Run]:
        """Visible characters up to the next space, as (x, baseline, text, columns beneath, sign or not).

        Each is drawn as one piece if it is in one font and runs one way, so that its kerning and its joined
        letters hold. The columns are None where not all of it stands on colours.
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
                    if sign:  # smaller than its place, in the middle of it
                        x += (1 - _SIGN) / 2 * (right - x)
                    yield x, baseline, self._passage.text[start:end], columns, sign

    def _parts(self, start: int, end: int) -> Iterator[tuple[int, int, bool]]:
        """Stretches of letters and of signs for white space."""
        while start < end:
            sign = start in self._passage.white_space
            stop = next((c for c in range(start, end) if (c in self._passage.white_space) != sign), end)
            yield start, stop, sign
            start = stop

    @cached_property
    def boxes(self) -> list[tuple[Box, int]]:
        """The box of each token on each line that it stands on, with the token's column."""
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
        """Boxes of some characters of a line: one, or more where the direction changes between them."""
        (placed, shift), (first, _) = self._set[number], self._lines[number]
        for a, b in self._stretches(number, start - first, end - first):
            if all(self._passage.text[first + i] in BIDI_CONTROLS for i in placed.order[a:b]):
                continue  # a control may stand apart from its sign, and takes no room
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
        """Where some characters of a line stand in its order from left to right."""
        order = self._set[number][0].order
        if order[start:end] == tuple(range(start, end)):  # as nearly everywhere
            return [(start, end)]
        inside = [start <= i < end for i in order]
        borders = [
            i for i in range(len(inside) + 1) if (i and inside[i - 1]) != (i < len(inside) and inside[i])
        ]
        return list(zip(borders[::2], borders[1::2], strict=True))

    def _open(self, number: int, place: int) -> bool:
        """Whether there is neither a letter nor a box at a place from the left of a line."""
        (placed, _), (first, _) = self._set[number], self._lines[number]
        if not 0 <= place < len(placed.order):
            return True
        character = first + placed.order[place]
        return self._passage.text[character].isspace() and character not in self._columns

    def _segments(self) -> Iterator[tuple[int, int, list[int]]]:
        """Stretches of characters that the same tokens cover."""
        borders = sorted({border for span in self._passage.spans.values() for border in span})
        for start, end in pairwise(borders):
            if start in self._columns:
                yield start, end, sorted(self._columns[start])

    def frames(self, columns: Sequence[int]) -> list[Box]:
        """The boxes of some tokens, made one where they touch on a line or only a space lies between them."""
        joined: list[Box] = []
        boxes = [box for box, column in self.boxes if column in columns]
        for x, y, width, height in sorted(boxes, key=lambda box: (box[1], box[0])):
            if joined and joined[-1][1] == y and x - sum(joined[-1][::2]) < self.typeface.advance(" "):
                before = joined.pop()
                x, width = before[0], x + width - before[0]
            joined.append((x, y, width, height))
        return joined


_GAP = 6.0  # points between two blocks
_PART = 2.0  # points above the heading of another text


@dataclass(frozen=True)
class Highlight(ChecksCall):
    """The text in running lines with each token on its colour, one block for each target.

    The target's own token has a frame, and the model's best answers stand below the block. Texts that belong
    together have their names above them in the first block, where the map knows these.
    Lines break between words; text that no token covers stands on no colour. Tokens that share characters
    share their box, side by side.

    Parameters
    ----------
    special
        Show special tokens too, under their own names.
    words
        Merge the tokens of a word, as :meth:`hf_saliency.SaliencyMap.words` does.
    predictions
        How many of the model's answers to show, each with its probability.
    fontsize
        Of the text, in points or relative to ``rcParams["font.size"]``; the line below is a sixth smaller.
    white_space
        Show tokens that are nothing but white space, such as line breaks.

    Raises
    ------
    SaliencyError
        Drawing raises it if the width is too narrow for the longest word, or only special tokens are left, which
        are hidden.

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
        """The part of a map that is drawn: without hidden tokens, merged to words if asked."""
        return shown(saliency_map, special=self.special, words=self.words, white_space=self.white_space)

    def height(self, saliency_map: SaliencyMap, colors: Colors, width: float) -> float:
        """How much room drawing takes.

        Parameters
        ----------
        saliency_map
            The map.
        colors
            The colour scale.
        width
            In points.

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
        """Draw the map into the whole of an Axes, from its upper left corner.

        Parameters
        ----------
        ax
            Its width is the width of the lines; its data limits play no part and stay as they are.
        saliency_map
            The map.
        colors
            The colour scale.

        Raises
        ------
        SaliencyError
            If the Axes are too narrow for the longest word.
        """
        draw_strips(ax, self.strips(saliency_map, colors, points.size(ax)[0]))

    def strips(self, saliency_map: SaliencyMap, colors: Colors, width: float) -> list[Strip]:
        """The lines, each with what hangs on it, at a width in points; a caption stays with its last line."""
        typeface = Typeface(self.fontsize)
        # Laid out for the height, and drawn from the same lines; the key's map is kept, so that its id stays its own.
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
    """One line of a text with what stands on it, measured from the upper edge of the text's first line."""

    text: TextLayout
    top: float
    boxes: list[tuple[Box, int]]
    runs: list[Run]
    heading: str
    backwards: bool
    apart: bool

    def head(self, ax: Axes, y: float, *, gap: float, typeface: Typeface) -> None:
        """What the text is that begins with this line."""
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
    """What stands below a block: nothing where the frame has said it all."""
    silent = target.masked and target.position is not None and target.against is None
    return (
        [] if silent and not target.predictions[:count] else target_items(target, count, backwards=backwards)
    )
