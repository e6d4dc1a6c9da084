"""HorizontalBars: a line for each token, with its label and a bar for each target."""

from __future__ import annotations

import dataclasses
from functools import cached_property, partial

from matplotlib.axes import Axes

from hf_saliency.render import points
from hf_saliency.render.marks.bar_scale import GAP, BarScale
from hf_saliency.render.marks.mark import (
    PART,
    Strip,
    answers,
    folded,
    target_name,
    write_heading,
)
from hf_saliency.render.typeset.typeface import TooNarrow

_THICK = 0.74  # share of the height of a line
_SHARE = 0.4  # share of the width for the longest label
_LEAST = 24.0  # smallest width of a field, in points
_BETWEEN = 9.0  # points between two fields


class HorizontalBars(BarScale):
    """Labels at the left, then a field of bars for each target, all on one scale."""

    def strips(self) -> list[Strip]:
        """Return the names of the targets, a line for each token, and the model's answers."""
        if self.field < points.scaled(_LEAST):
            fixed = self.width - len(self.part.targets) * self.field
            raise TooNarrow(
                "readable bars", fixed + len(self.part.targets) * points.scaled(_LEAST), self.width
            )
        line = self.typeface.line
        last = len(self.labels) - 1
        names = self.headings
        body = []
        for i in range(last + 1):
            if i in self.breaks:
                body.append(Strip(points.scaled(PART), self._parting, keep=True))
            if names.get(i):
                body.append(Strip(self.small.line, partial(self._heading, names[i]), keep=True))
            body.append(Strip(line, partial(self._row, i), keep=i in (0, last - 1)))
        strips = [
            Strip(line * max(map(len, self._heads)) + points.scaled(GAP), self._head),
            *body,
            *self._tail(),
        ]
        # A page must neither begin with a strip that follows the last bar nor end with the names of the targets.
        whole = [0, *range(len(body), len(strips) - 1)]
        return [dataclasses.replace(s, keep=s.keep or i in whole) for i, s in enumerate(strips)]

    def _tail(self) -> list[Strip]:
        """Return the axis, the model's answers, and the note on left-out tokens."""
        tail = [Strip(self.small.line + points.scaled(GAP), self._axis)] if self.ticks else []
        count = max(len(lines) for lines in self._answers)
        if count:
            tail.append(Strip(points.scaled(GAP), None))
        tail += [Strip(self.small.line, partial(self._answer, i)) for i in range(count)]
        if self.note:
            tail.append(Strip(self.small.line + points.scaled(GAP), self._note))
        return tail

    @cached_property
    def _answers(self) -> list[list[str]]:
        """Lines of text below the bars of each target."""
        wide = self.field + self._number
        return [
            [line for text in answers(target, self.predictions) for line in folded(text, self.small, wide)]
            for target in self.part.targets
        ]

    @cached_property
    def _heads(self) -> list[list[str]]:
        """Lines of text above the bars of each target."""
        wide = self.field + self._number
        return [
            folded(target_name(target, self.predictions), self.typeface, wide) for target in self.part.targets
        ]

    @cached_property
    def _cut(self) -> list[str]:
        room = _SHARE * self.width if self.labels_inches is None else self.labels_inches * 72
        return [self.typeface.elide(label, room) for label in self.labels]

    @cached_property
    def _left(self) -> float:
        return self.label_width + points.scaled(GAP)

    @cached_property
    def label_width(self) -> float:
        """Room for the labels, in points."""
        if self.labels_inches is not None:
            return self.labels_inches * 72
        return max(self.typeface.advance(label) for label in self._cut)

    @cached_property
    def _number(self) -> float:
        if not self.printed:
            return 0.0
        return max(self.typeface.advance(text) for text in self.texts.flat) + points.scaled(GAP)

    @cached_property
    def field(self) -> float:
        """Width of the bars of one target, without their numbers."""
        count = len(self.part.targets)
        room = (self.width - self._left - (count - 1) * points.scaled(_BETWEEN)) / count - self._number
        return room if self.field_inches is None else min(room, self.field_inches * 72)

    def _x(self, target: int) -> float:
        return self._left + target * (self.field + self._number + points.scaled(_BETWEEN))

    def _head(self, ax: Axes, y: float) -> None:
        most = max(map(len, self._heads))
        for i, lines in enumerate(self._heads):
            for k, text in enumerate(lines, start=most - len(lines)):
                baseline = y + k * self.typeface.line + self.typeface.ascent
                points.write(ax, self._x(i), baseline, text, self.typeface)

    def _row(self, column: int, ax: Axes, y: float) -> None:
        face, label = self.typeface, self._cut[column]
        thick = _THICK * face.line
        top = y + (face.line - thick) / 2
        baseline = y + (face.line + face.capital) / 2
        points.write(ax, self._left - points.scaled(GAP) - face.advance(label), baseline, label, face)
        for i, target in enumerate(self.part.targets):
            x, value = self._x(i), float(self.values[i, column])
            start, end = self.share(value)
            box = (x + start * self.field, top, (end - start) * self.field, thick)
            self.fill(ax, [box], i, [column])
            zero = x + self.below * self.field
            points.rule(ax, (zero, y), (zero, y + face.line))
            if column in target.positions:
                points.outline(ax, (x, y + 0.5, self.field, face.line - 1), dashed=not target.masked)
            if self.printed:
                text = self.texts[i, column]
                right = x + self.field + self._number
                points.write(ax, right - face.advance(text), baseline, text, face)

    def _parting(self, ax: Axes, y: float) -> None:
        """Draw a rule between two texts."""
        points.rule(
            ax, (0.0, y + points.scaled(PART) / 2), (self.width, y + points.scaled(PART) / 2), gid="part"
        )

    def _heading(self, text: str, ax: Axes, y: float) -> None:
        write_heading(ax, 0.0, y, self.small.elide(text, self.width), self.small)

    def _axis(self, ax: Axes, y: float) -> None:
        for i in range(len(self.part.targets)):
            points.rule(ax, (self._x(i), y), (self._x(i) + self.field, y))
            for share, text in self.ticks:
                x, wide = self._x(i) + share * self.field, self.small.advance(text)
                points.rule(ax, (x, y), (x, y + points.scaled(GAP) / 2))
                left = min(max(x - wide / 2, self._x(i)), self._x(i) + self.field - wide)
                points.write(ax, left, y + points.scaled(GAP) + self.small.ascent, text, self.small)

    def _answer(self, number: int, ax: Axes, y: float) -> None:
        for i, lines in enumerate(self._answers):
            if number < len(lines):
                points.write(ax, self._x(i), y + self.small.ascent, lines[number], self.small)

    def _note(self, ax: Axes, y: float) -> None:
        text = self.small.elide(self.note, self.width)
        points.write(ax, 0.0, y + points.scaled(GAP) + self.small.ascent, text, self.small)
