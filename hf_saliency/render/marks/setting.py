"""Setting: a map's text in lines of a width, and the box of each token in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from hf_saliency.render.colors import INK
from hf_saliency.render.passage import Passage, passage
from hf_saliency.render.points import Box
from hf_saliency.render.typeface import Typeface
from hf_saliency.render.wrap import RUN, offset, wrap
from hf_saliency.saliency_map import SaliencyMap
from hf_saliency.spans import Span

PAD = 0.8  # points by which a box reaches beyond the word that it ends with
_LEADING = 1.18  # distance of baselines, as a multiple of the height of a box


@dataclass(frozen=True, eq=False)
class Setting:
    """Lines in points from the upper left corner of the first; the same for every target.

    Parameters
    ----------
    saliency_map
        As it is shown.
    typeface
        Of the text.
    width
        In points.
    """

    saliency_map: SaliencyMap
    typeface: Typeface
    width: float

    @cached_property
    def _passage(self) -> Passage:
        return passage(self.saliency_map)

    @cached_property
    def _lines(self) -> list[Span]:
        return wrap(self._passage.text, self.width - 2 * PAD, self.typeface)

    @property
    def height(self) -> float:
        return self._top(len(self._lines) - 1) + self.typeface.line

    @property
    def count(self) -> int:
        """How many lines there are."""
        return len(self._lines)

    @property
    def pitch(self) -> float:
        """Distance of two baselines."""
        return self.typeface.line * _LEADING

    def line_of(self, top: float) -> int:
        """The line whose boxes have this upper edge."""
        return round(top / self.pitch)

    def _top(self, line: int) -> float:
        return self.pitch * line

    def _x(self, line: int, character: int) -> float:
        return PAD + offset(self._passage.text, self._lines[line][0], character, self.typeface)

    def runs(self) -> Iterator[tuple[float, float, str, str | None]]:
        """Visible characters up to the next space, as (x, baseline, text, ink).

        Each is drawn as one piece, so that the font's own kerning holds inside it. The ink is None, the
        figure's own, where not all of it stands on colours.
        """
        text = self._passage.text
        covered = {c for start, end in self._passage.spans.values() for c in range(start, end)}
        for i, (first, last) in enumerate(self._lines):
            for run in RUN.finditer(text, first, last):
                ink = INK if covered.issuperset(range(*run.span())) else None
                yield self._x(i, run.start()), self._top(i) + self.typeface.ascent, run.group(), ink

    @cached_property
    def boxes(self) -> list[tuple[Box, int]]:
        """The box of each token on each line that it stands on, with the token's column."""
        return [
            box
            for start, end, columns in self._segments()
            for line, (first, last) in enumerate(self._lines)
            if max(start, first) < min(end, last)
            for box in self._shared(line, max(start, first), min(end, last), columns)
        ]

    def _shared(self, line: int, start: int, end: int, columns: list[int]) -> Iterator[tuple[Box, int]]:
        text, (first, last) = self._passage.text, self._lines[line]
        left, right = self._x(line, start), self._x(line, end)
        if start == first or text[start - 1].isspace():
            left -= PAD
        if end == last or text[end].isspace():
            right += PAD
        share = (right - left) / len(columns)
        for k, column in enumerate(columns):
            yield (left + k * share, self._top(line), share, self.typeface.line), column

    def _segments(self) -> Iterator[tuple[int, int, list[int]]]:
        """Stretches of characters that the same tokens cover."""
        spans = self._passage.spans
        borders = sorted({border for span in spans.values() for border in span})
        for start, end in pairwise(borders):
            columns = sorted(c for c, (a, b) in spans.items() if a <= start and end <= b)
            if columns:
                yield start, end, columns

    def frames(self, column: int | None) -> list[Box]:
        """The boxes of one token, made one where they touch on a line."""
        joined: list[Box] = []
        own = [box for box, each in self.boxes if each == column]
        for x, y, width, height in sorted(own, key=lambda box: (box[1], box[0])):
            if joined and joined[-1][1] == y and abs(sum(joined[-1][::2]) - x) < 1e-6:
                before = joined.pop()
                x, width = before[0], before[2] + width
            joined.append((x, y, width, height))
        return joined
