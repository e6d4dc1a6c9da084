"""Bars: a bar for each token, for one target or few."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from matplotlib.axes import Axes

from hf_saliency.errors import SaliencyError
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.render import points
from hf_saliency.render.colors import Colors, decimals, number
from hf_saliency.render.marks import mark as headings
from hf_saliency.render.marks.mark import (
    PART,
    SMALLER,
    Caption,
    Strip,
    answers,
    breaks,
    draw_strips,
    folded,
    name,
    shown,
    target_items,
    target_name,
)
from hf_saliency.render.marks.token_axis import TokenAxis
from hf_saliency.render.points import Box
from hf_saliency.render.typeset.typeface import SMALLEST, Typeface
from hf_saliency.render.typeset.wrap import TooNarrow

GAP = 3.0  # points between a label, a bar and a number
THICK = 0.74  # of the height of a line
_EDGE = 0.3  # points


@dataclass(frozen=True, eq=False)
class BarScale:
    """The bars of a map that is drawn at a width.

    Parameters
    ----------
    part
        The map as it is shown.
    colors
        The colour scale.
    width
        In points.
    fontsize
        Of the tokens' labels.
    printed
        Whether numbers stand beside the bars.
    predictions
        How many of the model's answers are shown.
    """

    part: SaliencyMap
    colors: Colors
    width: float
    fontsize: float | str
    printed: bool
    predictions: int

    @cached_property
    def typeface(self) -> Typeface:
        return Typeface(self.fontsize)

    @cached_property
    def values(self) -> np.ndarray:
        return self.colors.values(self.part)

    @cached_property
    def labels(self) -> list[str]:
        return [name(label) for label in self.part.labels]

    @cached_property
    def below(self) -> float:
        """Which share of a bar's field lies below zero: none if nothing is negative."""
        return 0.5 if self.colors.signed and bool((self.values < 0).any()) else 0.0

    def share(self, value: float) -> tuple[float, float]:
        """Where a bar begins and ends, as shares of its field; all of the longer side if not finite."""
        if not np.isfinite(value):
            return self.below, 1.0
        end = self.below + (1 - self.below) * float(np.clip(value / self.colors.limit, -1, 1))
        return min(end, self.below), max(end, self.below)

    @cached_property
    def ticks(self) -> list[tuple[float, str]]:
        """Zero and the limits, as shares of a field, with their numbers; none if every bar has its own."""
        if self.printed:
            return []
        limit = self.colors.limit
        least = [(0.0, number(-limit))] if self.below else []
        return [*least, (self.below, "0"), (1.0, number(limit))]

    @cached_property
    def small(self) -> Typeface:
        return Typeface(self.typeface.points / SMALLER)

    @cached_property
    def texts(self) -> np.ndarray:
        """Numbers to be printed: two decimals, or three digits of large ones."""
        values = np.where(np.isfinite(self.part.scores), self.values, self.part.scores)
        large = self.colors.limit >= 10
        texts = [number(v) if not np.isfinite(v) or large else decimals(v) for v in values.flat]
        return np.array(texts, dtype=object).reshape(values.shape)

    @cached_property
    def note(self) -> str:
        """What the reader is told where tokens or texts were left out."""
        of, zero = (self.part.arguments.get(key) for key in ("strongest_of", "zero_texts"))
        if of:
            return f"the {len(self.labels)} strongest of {of} tokens"
        texts = "1 text is" if zero == 1 else f"{zero} texts are"
        return f"{texts} left out: all scores there are 0" if zero else ""

    def fill(self, ax: Axes, boxes: Sequence[Box], values: np.ndarray) -> None:
        """Bars in their colours, with edges so that pale ones are seen."""
        points.cells(ax, boxes, values, self.colors)
        points.edges(ax, boxes, linewidth=_EDGE)


_SHARE = 0.4  # of the width, for the longest label
_LEAST = 24.0  # points of a field
_BETWEEN = 9.0  # points between two fields


class Rows(BarScale):
    """Labels at the left, then a field of bars for each target, all on one scale."""

    def strips(self) -> list[Strip]:
        """The names of the targets, a line for each token, the model's answers."""
        if self._field < _LEAST:
            fixed = self.width - len(self.part.targets) * self._field
            raise TooNarrow("bars that can be read", fixed + len(self.part.targets) * _LEAST, self.width)
        line = self.typeface.line
        last = len(self.labels) - 1
        names = headings.headings(self.part)
        body = []
        for i in range(last + 1):
            if i in breaks(self.part):
                body.append(Strip(PART, self._parting, keep=True))
            if names.get(i):
                body.append(Strip(self.small.line, partial(self._heading, names[i]), keep=True))
            body.append(Strip(line, partial(self._row, i), keep=i in (0, last - 1)))
        found = [Strip(line * max(map(len, self._heads)) + GAP, self._head), *body, *self._tail()]
        # A page must not begin with what belongs to the last bar, nor end with the names of the targets.
        whole = [0, *range(len(body), len(found) - 1)]
        return [dataclasses.replace(s, keep=s.keep or i in whole) for i, s in enumerate(found)]

    def _tail(self) -> list[Strip]:
        """The axis, the model's answers, and what was left out."""
        tail = [Strip(self.small.line + GAP, self._axis)] if self.ticks else []
        count = max(len(lines) for lines in self._answers)
        if count:
            tail.append(Strip(GAP, None))
        tail += [Strip(self.small.line, partial(self._answer, i)) for i in range(count)]
        if self.note:
            tail.append(Strip(self.small.line + GAP, self._note))
        return tail

    @cached_property
    def _answers(self) -> list[list[str]]:
        """Lines below the bars of each target."""
        wide = self._field + self._number
        return [
            [line for text in answers(target, self.predictions) for line in folded(text, self.small, wide)]
            for target in self.part.targets
        ]

    @cached_property
    def _heads(self) -> list[list[str]]:
        """Lines above the bars of each target."""
        wide = self._field + self._number
        return [folded(target_name(target), self.typeface, wide) for target in self.part.targets]

    @cached_property
    def _cut(self) -> list[str]:
        return [self.typeface.elide(label, _SHARE * self.width) for label in self.labels]

    @cached_property
    def _left(self) -> float:
        return max(self.typeface.advance(label) for label in self._cut) + GAP

    @cached_property
    def _number(self) -> float:
        if not self.printed:
            return 0.0
        return max(self.typeface.advance(text) for text in self.texts.flat) + GAP

    @cached_property
    def _field(self) -> float:
        """Width of the bars of one target, without their numbers."""
        count = len(self.part.targets)
        return (self.width - self._left - (count - 1) * _BETWEEN) / count - self._number

    def _x(self, target: int) -> float:
        return self._left + target * (self._field + self._number + _BETWEEN)

    def _head(self, ax: Axes, y: float) -> None:
        most = max(map(len, self._heads))
        for i, lines in enumerate(self._heads):
            for k, text in enumerate(lines, start=most - len(lines)):
                baseline = y + k * self.typeface.line + self.typeface.ascent
                points.write(ax, self._x(i), baseline, text, self.typeface)

    def _row(self, column: int, ax: Axes, y: float) -> None:
        face, label = self.typeface, self._cut[column]
        thick = THICK * face.line
        top = y + (face.line - thick) / 2
        baseline = y + (face.line + face.capital) / 2
        points.write(ax, self._left - GAP - face.advance(label), baseline, label, face)
        for i, target in enumerate(self.part.targets):
            x, value = self._x(i), float(self.values[i, column])
            start, end = self.share(value)
            box = (x + start * self._field, top, (end - start) * self._field, thick)
            self.fill(ax, [box], self.values[i, [column]])
            zero = x + self.below * self._field
            points.rule(ax, (zero, y), (zero, y + face.line))
            if column in target.positions:
                points.outline(ax, (x, y + 0.5, self._field, face.line - 1), dashed=not target.masked)
            if self.printed:
                text = self.texts[i, column]
                right = x + self._field + self._number
                points.write(ax, right - face.advance(text), baseline, text, face)

    def _parting(self, ax: Axes, y: float) -> None:
        """Between two texts."""
        points.rule(ax, (0.0, y + PART / 2), (self.width, y + PART / 2), gid="part")

    def _heading(self, text: str, ax: Axes, y: float) -> None:
        headings.write(ax, 0.0, y, self.small.elide(text, self.width), self.small)

    def _axis(self, ax: Axes, y: float) -> None:
        for i in range(len(self.part.targets)):
            points.rule(ax, (self._x(i), y), (self._x(i) + self._field, y))
            for share, text in self.ticks:
                x, wide = self._x(i) + share * self._field, self.small.advance(text)
                points.rule(ax, (x, y), (x, y + GAP / 2))
                left = min(max(x - wide / 2, self._x(i)), self._x(i) + self._field - wide)
                points.write(ax, left, y + GAP + self.small.ascent, text, self.small)

    def _answer(self, number: int, ax: Axes, y: float) -> None:
        for i, lines in enumerate(self._answers):
            if number < len(lines):
                points.write(ax, self._x(i), y + self.small.ascent, lines[number], self.small)

    def _note(self, ax: Axes, y: float) -> None:
        text = self.small.elide(self.note, self.width)
        points.write(ax, 0.0, y + GAP + self.small.ascent, text, self.small)


_HIGH = 4.5  # lines of text that a bar of full length is high
_THICK = 0.72  # of the room that a bar has
_NARROWEST = 2.0  # points that a bar and its gap must have
_BETWEEN_FIELDS = 6.0  # points between two fields


class Columns(BarScale):
    """A field of bars for each target with its name above, and the labels of the tokens below the last."""

    def strips(self) -> list[Strip]:
        """A field for each target, then the labels."""
        self._check()
        found = []
        for i, caption in enumerate(self._captions):
            if i:
                found.append(Strip(_BETWEEN_FIELDS, None))
            found.append(Strip(caption.height + GAP, partial(self._head, i)))
            found.append(Strip(self._field, partial(self._bars, i)))
        found.append(Strip(GAP + self._tokens.height, self._labels))
        if self._note:
            found.append(Strip(GAP + self.small.line, self._write_note))
        # The labels below the last field belong to every field: no page may end before them.
        return [dataclasses.replace(strip, keep=i + 1 < len(found)) for i, strip in enumerate(found)]

    def _check(self) -> None:
        least = _NARROWEST
        if self.printed:
            smallest = Typeface(min(SMALLEST, self.typeface.points))
            least = max(smallest.advance(text) for text in self.texts.flat) + 1.0
        if self._pitch < least:
            what = "numbers above them" if self.printed else "room to be seen"
            needed = self._left + least * len(self.labels) + PART * len(breaks(self.part))
            raise TooNarrow(f"{len(self.labels)} standing bars with {what}", needed, self.width)

    @cached_property
    def _left(self) -> float:
        """Room for the numbers of the axis."""
        return max((self.small.advance(text) + GAP for _, text in self.ticks), default=0.0)

    @cached_property
    def _tokens(self) -> TokenAxis:
        return TokenAxis(
            self.labels,
            self.typeface,
            self._left,
            self.width - self._left,
            breaks=breaks(self.part),
            names=headings.headings(self.part),
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
        """As large as the widest number allows."""
        widest = max(Typeface(100.0).advance(text) for text in self.texts.flat) / 100
        return Typeface(min(self.small.points, (self._pitch - 1.0) / widest))

    @cached_property
    def _room(self) -> float:
        """For a number at the end of a bar."""
        return self._numbers.line if self.printed else 0.0

    @property
    def _long(self) -> float:
        """Length of a bar at the limit."""
        return _HIGH * self.typeface.line

    @cached_property
    def _up(self) -> float:
        """From the upper edge of a field to zero: what the longest bar of any field needs, and its number."""
        return max(float(self._lengths.max()), self._long / 4) + self._room

    @cached_property
    def _down(self) -> float:
        return max(-float(self._lengths.min()), self._long / 4) + self._room if self.below else 0.0

    @property
    def _field(self) -> float:
        return self._up + self._down

    @cached_property
    def _lengths(self) -> np.ndarray:
        """Of all bars in points, negative below zero; a full bar where a score is not finite."""
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
        self.fill(ax, boxes, values)
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
        """Numbers at zero and at those limits that a bar comes near."""
        for value, (_, text) in zip(self._tick_values, self.ticks, strict=True):
            y = zero - value * self._long
            if zero - self._up - 0.1 <= y <= zero + self._down + 0.1:
                points.rule(ax, (self._left - GAP / 2, y), (self._left, y))
                x = self._left - GAP - self.small.advance(text)
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
        self._tokens.draw(ax, y + GAP)

    def _write_note(self, ax: Axes, y: float) -> None:
        text = self.small.elide(self._note, self.width)
        points.write(ax, 0.0, y + GAP + self.small.ascent, text, self.small)


@dataclass(frozen=True)
class Bars:
    """A bar for each token in reading order, as long as its score and in its colour.

    The bars of several targets stand side by side, on one scale. A bar of full length is at the limit of the
    colour scale; a score that is not finite is a hatched box. A target's own token has a frame. A text whose scores
    are all exactly zero is left out if no target stands in it (what a choice does not read), and a note says so.

    Parameters
    ----------
    special
        Show special tokens too, under their own names.
    words
        Merge the tokens of a word, as :meth:`hf_saliency.SaliencyMap.words` does.
    top
        Show only so many tokens, those with the largest magnitude (as a share of their row's maximum) for any
        target, still in reading order. Default: all. What a row is divided by comes from these alone.
    vertical
        Let the bars stand, one row of them for each target, instead of lying below one another.
    values
        Print each number beside its bar, or above it.
    predictions
        How many of the model's answers to show, each with its probability.
    fontsize
        Of the tokens, in points or relative to ``rcParams["font.size"]``; what the model answers is a sixth
        smaller.

    Raises
    ------
    SaliencyError
        For a ``top`` that is no whole number from 1. Drawing raises it if the width is too narrow for the bars, or
        only special tokens are left, which are hidden.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> heat = hs.Explainer(*hs.load_demo())("the formal study of grammar is important")
    >>> hs.figure(heat, mark=hs.Bars(top=8), targets="grammar", width=3.25).savefig("figure.pdf")
    """

    special: bool = False
    words: bool = False
    top: int | None = None
    vertical: bool = False
    values: bool = False
    predictions: int = 3
    fontsize: float | str = "small"

    def __post_init__(self) -> None:
        try:
            count = None if self.top is None else operator.index(self.top)
        except TypeError:
            count = 0
        if isinstance(self.top, bool) or (count is not None and count < 1):
            raise SaliencyError(f"Bars(top={self.top!r}): give a number of at least 1, such as Bars(top=10).")
        object.__setattr__(self, "top", count)

    def shown(self, saliency_map: SaliencyMap) -> SaliencyMap:
        """The part of a map that is drawn: without hidden tokens, merged to words and the strongest, if asked."""
        whole = shown(saliency_map, special=self.special, words=self.words)
        part = _telling(whole)
        if self.top is None or self.top >= len(part.tokens):
            return part
        strength = np.abs(np.nan_to_num(part.normalized("row_max"), posinf=0, neginf=0)).max(axis=0)
        strongest = np.argsort(-strength, kind="stable")[: self.top]
        kept = part.part(range(len(part.targets)), sorted(strongest.tolist()))
        return dataclasses.replace(kept, arguments={**whole.arguments, "strongest_of": len(whole.tokens)})

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
            If the width is too narrow for the bars of all targets.
        """
        return sum(strip.height for strip in self.strips(saliency_map, colors, width))

    def draw(self, ax: Axes, saliency_map: SaliencyMap, colors: Colors) -> None:
        """Draw the map into the whole of an Axes, from its upper left corner.

        Parameters
        ----------
        ax
            Its width is that of the bars with their labels; its data limits play no part and stay as they are.
        saliency_map
            The map.
        colors
            The colour scale.

        Raises
        ------
        SaliencyError
            If the Axes are too narrow for the bars of all targets.
        """
        draw_strips(ax, self.strips(saliency_map, colors, points.size(ax)[0]))

    def strips(self, saliency_map: SaliencyMap, colors: Colors, width: float) -> list[Strip]:
        """Header, bars and captions at a width in points; only lying bars may be parted by a page."""
        part = self.shown(saliency_map)
        drawn = Columns if self.vertical else Rows
        return drawn(part, colors, width, self.fontsize, self.values, self.predictions).strips()


def _telling(part: SaliencyMap) -> SaliencyMap:
    """A map without the texts that are zero throughout and hold no target, unless all are."""
    places = {place for target in part.targets for place in target.positions}
    nonzero = set(np.flatnonzero((part.scores != 0).any(axis=0)).tolist())
    every = {token.text for token in part.tokens}
    kept = {part.tokens[column].text for column in places | nonzero}
    if not kept or kept == every:
        return part
    columns = [i for i, token in enumerate(part.tokens) if token.text in kept]
    less = part.part(range(len(part.targets)), columns)
    return dataclasses.replace(less, arguments={**less.arguments, "zero_texts": len(every) - len(kept)})
