"""TokenAxis: labels of tokens on one line, horizontal or vertical, each centred on its place."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from matplotlib.axes import Axes

from hf_saliency.render import points
from hf_saliency.render.colors import ordinal
from hf_saliency.render.marks.mark import PART, SMALLER, fitting, write_heading
from hf_saliency.render.points import Box
from hf_saliency.render.typeset.typeface import SMALLEST, Typeface

_LABEL = 9.0  # longest vertical label, in sizes of its font
_GAP = 4.0  # points between two horizontal labels
_BELOW = 1.5  # points between labels and the names of texts
_WIDEST = 1.5  # largest gap between labels of different widths, in sizes of their font


def words_note(words: int, labelled: int) -> str:
    """Return a note that labels name words, and how many are left out; empty if there are no words."""
    if not words:
        return ""
    missing = words - labelled
    return f"labels name words, {missing} of {words} are left out" if missing else "labels name words"


@dataclass(frozen=True)
class TokenAxis:
    """Places from left to right with labels below; labels that are too long to be horizontal are vertical."""

    labels: Sequence[str]
    typeface: Typeface  # the largest for the labels
    left: float  # where the first place begins, in points
    width: float  # of all places, in points
    # All places have the same width; otherwise horizontal labels take as much as they need, as in running text.
    even: bool = True
    breaks: tuple[int, ...] = ()  # columns with a gap before them: another text begins there
    names: Mapping[int, str] = field(default_factory=dict)  # of the texts, by the column at which each begins
    backwards: bool = False  # the text is read from the right: the first place is the rightmost
    above: bool = False  # the labels are above the drawing, with the names of texts above them
    # The columns and the label of each word, used if the labels of all tokens have no room.
    words: Sequence[tuple[range, str]] = ()
    longest: float | None = None  # maximum length of a vertical label in inches; None for nine font sizes

    @cached_property
    def pitch(self) -> float:
        """Width of a place, if all places have the same."""
        return self._room / len(self.labels)

    @property
    def height(self) -> float:
        """Height of the labels and the names of the texts, in points."""
        return self._high + (points.scaled(_BELOW) + self._small.line if self._headings else 0.0)

    @cached_property
    def _high(self) -> float:
        return self._type.line if self._level else max(self._type.advance(label) for _, label in self._placed)

    @cached_property
    def _small(self) -> Typeface:
        return Typeface(self.typeface.points / SMALLER)

    @cached_property
    def _headings(self) -> list[tuple[float, str]]:
        right = self.left + self.width
        if self.backwards and self.names:
            ends = [self._edge(column) for column in self.names]
            starts = [*ends[1:], self.left]
            placed = zip(ends, starts, self.names.values(), strict=True)
            wide = [(end - self._small.advance(text), start, text) for end, start, text in placed]
            return [(x, text) for x, start, text in wide if text and x >= start]
        return fitting(self.names, self._edge, right, self._small)

    def _edge(self, column: int) -> float:
        """Return where the label of a column begins, or its place if it has no label."""
        box = self.box(column, 0.0)
        if box is None:
            return self.middle(column) + (self.pitch / 2 if self.backwards else -self.pitch / 2)
        return box[0] + box[2] if self.backwards else box[0]

    @cached_property
    def _step(self) -> int:
        """Number of tokens from one label to the next, if words have no labels."""
        return 1 if self._level else max(1, math.ceil(self._type.ink / self.pitch - 1e-9))

    @cached_property
    def _placed(self) -> list[tuple[range, str]]:
        """Columns and label of each token, or of each word if the labels of tokens have no room."""
        if self._step == 1 or not self.words:
            return [(range(i, i + 1), self._cut[i]) for i in range(0, len(self.labels), self._step)]
        placed: list[tuple[range, str]] = []
        for columns, label in self.words:
            last = placed[-1][0] if placed else None
            if last is None or abs(self._center(columns) - self._center(last)) >= self._type.ink - 1e-9:
                placed.append((columns, self._elided(label)))
        return placed

    @property
    def note(self) -> str:
        """Note for the reader if labels name words or were left out."""
        if self._step == 1:
            return ""
        return (
            words_note(len(self.words), len(self._placed)) or f"every {ordinal(self._step)} token is labelled"
        )

    @property
    def _room(self) -> float:
        return self.width - points.scaled(PART) * len(self.breaks)

    def start(self, column: int) -> float:
        """Left end of a token's place, if all places have the same width."""
        return self.middle(column) - self.pitch / 2

    def middle(self, column: int) -> float:
        """Middle of a token's place."""
        middle = self._middles[column] + points.scaled(PART) * sum(start <= column for start in self.breaks)
        return 2 * self.left + self.width - middle if self.backwards else middle

    def draw(self, ax: Axes, y: float) -> None:
        """Draw the labels, with their upper edge ``y`` points below that of the Axes."""
        face = self._type
        top = y
        if self.above and self._headings:
            y += self._small.line + points.scaled(_BELOW)
        for columns, label in self._placed:
            middle = self._center(columns)
            if self._level:
                points.write(ax, middle - face.advance(label) / 2, y + face.ascent, label, face)
            else:
                foot = y + (self._high if self.above else face.advance(label))
                points.write(ax, middle + face.capital / 2, foot, label, face, upward=True)
        for x, text in self._headings:
            write_heading(
                ax, x, top if self.above else y + self._high + points.scaled(_BELOW), text, self._small
            )

    def _center(self, columns: range) -> float:
        return (self.middle(columns[0]) + self.middle(columns[-1])) / 2

    def box(self, column: int, y: float) -> Box | None:
        """Return the box around the label that names a token; None if it has no label."""
        face = self._type
        named = next(((columns, label) for columns, label in self._placed if column in columns), None)
        if named is None:
            return None
        along, middle = face.advance(named[1]), self._center(named[0])
        if self._level:
            return middle - along / 2 - 1.0, y, along + 2.0, face.line
        across = min(self.pitch, face.line) if len(named[0]) == 1 else face.line
        return middle - across / 2, y - 1.0, across, along + 2.0

    @cached_property
    def _middles(self) -> list[float]:
        if self.even or not self._level:
            return [self.left + (column + 0.5) * self.pitch for column in range(len(self.labels))]
        widths = [self._type.advance(label) for label in self.labels]
        spare = (self._room - sum(widths)) / len(widths)
        gap = min(spare, _WIDEST * self._type.points)
        ends = itertools.accumulate(width + gap for width in widths)
        return [self.left + end - (width + gap) / 2 for end, width in zip(ends, widths, strict=True)]

    @cached_property
    def _level(self) -> bool:
        widths = [self.typeface.advance(label) for label in self.labels]
        needed = max(widths) * len(widths) if self.even else sum(widths)
        return needed + points.scaled(_GAP) * len(widths) <= self._room

    @cached_property
    def _type(self) -> Typeface:
        """Typeface at the largest size at which each label has room, otherwise at the smallest."""
        largest = self.typeface.points
        if self._level:
            return self.typeface
        return Typeface(max(min(SMALLEST, largest), min(largest, largest * self.pitch / self.typeface.ink)))

    @cached_property
    def _cut(self) -> list[str]:
        if self._level:
            return list(self.labels)
        return [self._elided(label) for label in self.labels]

    def _elided(self, label: str) -> str:
        room = _LABEL * self._type.points if self.longest is None else self.longest * 72
        return self._type.elide(label, room)
