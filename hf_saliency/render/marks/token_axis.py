"""TokenAxis: labels of tokens on one line, level or upright, each at the middle of its place."""

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

_LABEL = 9.0  # longest upright label, in sizes of its font
_GAP = 4.0  # points between two level labels
_BELOW = 1.5  # points between labels and the names of texts
_WIDEST = 1.5  # largest gap between labels of different widths, in sizes of their font


@dataclass(frozen=True)
class TokenAxis:
    """Places from left to right with labels below; upright where they are too long to lie.

    Parameters
    ----------
    labels
        In reading order.
    typeface
        The largest that the labels may have.
    left
        Where the first place begins, in points.
    width
        Of all places, in points.
    even
        Whether all places have one width. Else level labels have as much as they need, as in running text.
    breaks
        Columns before which there is a gap: another text begins there.
    names
        What each text is, by the column at which it begins.
    backwards
        Whether the text is read from the right, so that the first place is the rightmost.
    above
        Whether the labels stand above what they name, with the names of texts above them.
    """

    labels: Sequence[str]
    typeface: Typeface
    left: float
    width: float
    even: bool = True
    breaks: tuple[int, ...] = ()
    names: Mapping[int, str] = field(default_factory=dict)
    backwards: bool = False
    above: bool = False

    @cached_property
    def pitch(self) -> float:
        """Width of a place, where all have one."""
        return self._room / len(self.labels)

    @property
    def height(self) -> float:
        """Of the labels and the names of the texts below them, in points."""
        return self._high + (points.scaled(_BELOW) + self._small.line if self._headings else 0.0)

    @cached_property
    def _high(self) -> float:
        """Of the labels."""
        return self._type.line if self._level else max(self._type.advance(label) for label in self._cut)

    @cached_property
    def _small(self) -> Typeface:
        return Typeface(self.typeface.points / SMALLER)

    @cached_property
    def _headings(self) -> list[tuple[float, str]]:
        right = self.left + self.width
        if self.backwards and self.names:
            ends = [sum(self.box(column, 0.0)[::2]) for column in self.names]
            starts = [*ends[1:], self.left]
            placed = zip(ends, starts, self.names.values(), strict=True)
            wide = [(end - self._small.advance(text), start, text) for end, start, text in placed]
            return [(x, text) for x, start, text in wide if text and x >= start]
        return fitting(self.names, lambda column: self.box(column, 0.0)[0], right, self._small)

    @cached_property
    def step(self) -> int:
        """Every how many tokens have a label."""
        return 1 if self._level else max(1, math.ceil(self._type.ink / self.pitch - 1e-9))

    @property
    def note(self) -> str:
        """What the reader is told where labels were left out."""
        return f"every {ordinal(self.step)} token is labelled" if self.step > 1 else ""

    @property
    def _room(self) -> float:
        return self.width - points.scaled(PART) * len(self.breaks)

    def start(self, column: int) -> float:
        """Left end of a token's place, where all have one width."""
        return self.middle(column) - self.pitch / 2

    def middle(self, column: int) -> float:
        """Of a token's place."""
        middle = self._middles[column] + points.scaled(PART) * sum(start <= column for start in self.breaks)
        return 2 * self.left + self.width - middle if self.backwards else middle

    def draw(self, ax: Axes, y: float) -> None:
        """Draw the labels, their upper edge at a distance in points from that of the Axes."""
        face = self._type
        top = y
        if self.above and self._headings:
            y += self._small.line + points.scaled(_BELOW)
        for column in range(0, len(self.labels), self.step):
            label, middle = self._cut[column], self.middle(column)
            if self._level:
                points.write(ax, middle - face.advance(label) / 2, y + face.ascent, label, face)
            else:
                foot = y + (self._high if self.above else face.advance(label))
                points.write(ax, middle + face.capital / 2, foot, label, face, upward=True)
        for x, text in self._headings:
            write_heading(
                ax, x, top if self.above else y + self._high + points.scaled(_BELOW), text, self._small
            )

    def box(self, column: int, y: float) -> Box:
        """Around a label."""
        face, label = self._type, self._cut[column]
        along = face.advance(label)
        if self._level:
            return self.middle(column) - along / 2 - 1.0, y, along + 2.0, face.line
        across = min(self.pitch, face.line)
        return self.middle(column) - across / 2, y - 1.0, across, along + 2.0

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
        """The largest size at which each label has room, or else the smallest."""
        largest = self.typeface.points
        if self._level:
            return self.typeface
        return Typeface(max(min(SMALLEST, largest), min(largest, largest * self.pitch / self.typeface.ink)))

    @cached_property
    def _cut(self) -> list[str]:
        if self._level:
            return list(self.labels)
        return [self._type.elide(label, _LABEL * self._type.points) for label in self.labels]
