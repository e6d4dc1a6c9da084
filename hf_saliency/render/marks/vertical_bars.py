"""VerticalBars: vertical bars in a field for each target, with the labels of the tokens below the last."""

from __future__ import annotations

import dataclasses
from functools import cached_property, partial

import numpy as np
from matplotlib.axes import Axes

from hf_saliency.render import points
from hf_saliency.render.marks.bar_scale import GAP, BarScale
from hf_saliency.render.marks.mark import (
    PART,
    Caption,
    Strip,
    runs_backwards,
    target_items,
    word_labels,
)
from hf_saliency.render.marks.token_axis import TokenAxis
from hf_saliency.render.points import Box
from hf_saliency.render.typeset.typeface import SMALLEST, TooNarrow, Typeface

_HIGH = 4.5  # height of a bar of full length, in lines of text
_THICK = 0.72  # share of its room that a bar fills
_NARROWEST = 2.0  # smallest width of a bar with its gap, in points
_BETWEEN = 6.0  # points between two fields


class VerticalBars(BarScale):
    """A field of bars for each target with its name above, and the labels of the tokens below the last."""

    def strips(self) -> list[Strip]:
        """Return a field for each target, then the labels."""
        self._check()
        strips = []
        for i, caption in enumerate(self._captions):
            if i:
                strips.append(Strip(points.scaled(_BETWEEN), None))
            strips.append(Strip(caption.height + points.scaled(GAP), partial(self._head, i)))
            strips.append(Strip(self._field, partial(self._bars, i)))
        strips.append(Strip(points.scaled(GAP) + self._tokens.height, self._labels))
        if self._note:
            strips.append(Strip(points.scaled(GAP) + self.small.line, self._write_note))
        # The labels below the last field belong to every field: no page may end before them.
        return [dataclasses.replace(strip, keep=i + 1 < len(strips)) for i, strip in enumerate(strips)]

    def _check(self) -> None:
        least = _NARROWEST
        if self.printed:
            smallest = Typeface(min(SMALLEST, self.typeface.points))
            least = max(smallest.advance(text) for text in self.texts.flat) + 1.0
        if self._pitch < least:
            what = "with numbers above them" if self.printed else "that are wide enough to see"
            needed = self._left + least * len(self.labels) + points.scaled(PART) * len(self.breaks)
            raise TooNarrow(f"{len(self.labels)} vertical bars {what}", needed, self.width)

    @cached_property
    def _left(self) -> float:
        """Room for the numbers of the axis."""
        return max((self.small.advance(text) + points.scaled(GAP) for _, text in self.ticks), default=0.0)

    @cached_property
    def _tokens(self) -> TokenAxis:
        return TokenAxis(
            self.labels,
            self.typeface,
            self._left,
            self.width - self._left,
            breaks=self.breaks,
            names=self.headings,
            backwards=runs_backwards(self.part),
            words=word_labels(self.part),
            longest=self.labels_inches,
        )

    @property
    def _pitch(self) -> float:
        return self._tokens.pitch

    @cached_property
    def _captions(self) -> list[Caption]:
        return [
            Caption(target_items(target, self.predictions), self.small, self.width)
            for target in self.part.targets
        ]

    @cached_property
    def _numbers(self) -> Typeface:
        """Typeface of the numbers, as large as the widest one allows."""
        widest = max(Typeface(100.0).advance(text) for text in self.texts.flat) / 100
        return Typeface(min(self.small.points, (self._pitch - 1.0) / widest))

    @cached_property
    def _room(self) -> float:
        """Room for a number at the end of a bar."""
        return self._numbers.line if self.printed else 0.0

    @property
    def _long(self) -> float:
        """Length of a bar at the limit."""
        return _HIGH * self.typeface.line

    @cached_property
    def _up(self) -> float:
        """Distance from the upper edge of a field to zero: room for the longest bar of any field and its number."""
        return max(float(self._lengths.max()), self._long / 4) + self._room

    @cached_property
    def _down(self) -> float:
        return max(-float(self._lengths.min()), self._long / 4) + self._room if self.below else 0.0

    @property
    def _field(self) -> float:
        return self._up + self._down

    @cached_property
    def _lengths(self) -> np.ndarray:
        """Lengths of all bars in points, negative below zero; a score that is not finite has a full bar."""
        values = np.where(np.isfinite(self.values), self.values, self.colors.limit)
        return np.clip(values / self.colors.limit, -1, 1) * self._long

    @cached_property
    def _note(self) -> str:
        return ", ".join(text for text in (self.note, self._tokens.note) if text)

    def _head(self, target: int, ax: Axes, y: float) -> None:
        self._captions[target].draw(ax, 0.0, y - self.small.points / 4)

    def _bars(self, number: int, ax: Axes, y: float) -> None:
        target, values = self.part.targets[number], self.values[number]
        zero = y + self._up
        boxes = [self._box(column, zero, length) for column, length in enumerate(self._lengths[number])]
        self.fill(ax, boxes, number, range(len(boxes)))
        if self.printed:
            for box, value, text in zip(boxes, values, self.texts[number], strict=True):
                self._print(ax, box, text, below=bool(value < 0))
        for column in target.positions:
            left = self._tokens.start(column)
            thin = min(0.8, 0.1 * self._pitch)
            box = (left, y, self._pitch, self._field)
            points.outline(ax, box, linewidth=thin, dashed=not target.masked)
        points.rule(ax, (self._left, zero), (self.width, zero))
        self._axis(ax, zero)

    def _axis(self, ax: Axes, zero: float) -> None:
        """Draw numbers at zero and at the limits that lie inside the field."""
        for value, (_, text) in zip(self._tick_values, self.ticks, strict=True):
            y = zero - value * self._long
            if zero - self._up - 0.1 <= y <= zero + self._down + 0.1:
                points.rule(ax, (self._left - points.scaled(GAP) / 2, y), (self._left, y))
                x = self._left - points.scaled(GAP) - self.small.advance(text)
                points.write(ax, x, y + self.small.capital / 2, text, self.small)

    @property
    def _tick_values(self) -> list[int]:
        return [value for value in (-1, 0, 1) if self.ticks and (value >= 0 or self.below)]

    def _box(self, column: int, zero: float, length: float) -> Box:
        x = self._tokens.start(column) + (1 - _THICK) / 2 * self._pitch
        return x, zero - max(length, 0.0), _THICK * self._pitch, abs(length)

    def _print(self, ax: Axes, box: Box, text: str, *, below: bool) -> None:
        x, top, width, height = box
        face = self._numbers
        baseline = top + height + face.ascent if below else top - face.descent
        points.write(ax, x + (width - face.advance(text)) / 2, baseline, text, face)

    def _labels(self, ax: Axes, y: float) -> None:
        self._tokens.draw(ax, y + points.scaled(GAP))

    def _write_note(self, ax: Axes, y: float) -> None:
        text = self.small.elide(self._note, self.width)
        points.write(ax, 0.0, y + points.scaled(GAP) + self.small.ascent, text, self.small)
