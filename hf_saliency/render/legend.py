"""The legend: the colour scale with its limits and its meaning, and what hatching and frames stand for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from matplotlib.axes import Axes

from hf_saliency.render import points
from hf_saliency.render.colors import Colors
from hf_saliency.render.numerals import number
from hf_saliency.render.typeface import Typeface
from hf_saliency.render.wrap import TooNarrow, wrap
from hf_saliency.saliency_map import SaliencyMap

_BAR = 42.0  # points
_STEPS = 64
_GAP = 3.0


@dataclass(frozen=True)
class Legend:
    """One colour scale on one line, or on more where the width is short.

    Parameters
    ----------
    colors
        The scale.
    frames
        What frames there are, as :func:`frames_of` says it.
    fontsize
        In points, or relative to ``rcParams["font.size"]``.
    """

    colors: Colors
    frames: tuple[str, ...] = ()
    fontsize: float | str = "x-small"

    def height(self, width: float) -> float:
        """Height in points at a width in points."""
        lines, keys = self._places(width)
        return (max([len(lines) - 1, *(line for _, line in keys)]) + 1) * self._typeface.line

    def draw(self, ax: Axes) -> None:
        """Draw into the whole of an Axes."""
        typeface = self._typeface
        width, _ = points.size(ax)
        top = (typeface.line - typeface.capital) / 2
        baseline = top + typeface.capital
        self._scale(ax, top, baseline)
        lines, keys = self._places(width)
        for i, line in enumerate(lines):
            points.write(ax, self._indent, baseline + i * typeface.line, line, typeface)
        for text, (x, number_of_line) in zip(self._keys, keys, strict=True):
            down = number_of_line * typeface.line
            self._sign(ax, x, top + down, text)
            points.write(ax, x + self._box + _GAP, baseline + down, text, typeface)

    def _scale(self, ax: Axes, top: float, baseline: float) -> None:
        typeface, colors = self._typeface, self.colors
        points.write(ax, 0.0, baseline, self._least, typeface)
        x = typeface.advance(self._least) + _GAP
        height, step = typeface.capital, _BAR / _STEPS
        values = np.linspace(-colors.limit if colors.signed else 0, colors.limit, _STEPS)
        boxes = [(x + i * step, top, step, height) for i in range(_STEPS)]
        points.cells(ax, boxes, values, colors, joined=True)
        points.outline(ax, (x, top, _BAR, height), linewidth=0.3, gid="legend")
        if colors.signed:
            middle = x + (_BAR - typeface.advance("0")) / 2
            points.write(ax, middle, baseline, "0", typeface, color="black")
        points.write(ax, x + _BAR + _GAP, baseline, number(colors.limit), typeface)

    def _sign(self, ax: Axes, x: float, top: float, text: str) -> None:
        """A small box as it is drawn in the panels: hatched, or with a frame."""
        box = (x, top, self._box, self._typeface.capital)
        if text in self.frames:
            points.cells(ax, [box], np.zeros(1), self.colors)  # a black frame is not seen on a dark page
            inner = (x + 0.4, top + 0.4, self._box - 0.8, self._typeface.capital - 0.8)
            points.outline(ax, inner, linewidth=0.6, gid="legend", dashed=text != MASKED)
        else:
            points.cells(ax, [box], np.array([np.nan]), self.colors)
            points.outline(ax, box, linewidth=0.3, gid="legend")

    @cached_property
    def _typeface(self) -> Typeface:
        return Typeface(self.fontsize)

    @property
    def _box(self) -> float:
        return 2 * self._typeface.capital

    @property
    def _least(self) -> str:
        return number(-self.colors.limit) if self.colors.signed else "0"

    @cached_property
    def _keys(self) -> list[str]:
        missing = [", ".join(self.colors.missing)] if self.colors.missing else []
        return [*missing, *self.frames]

    @property
    def _indent(self) -> float:
        advance = self._typeface.advance
        return advance(self._least) + _BAR + advance(number(self.colors.limit)) + 4.5 * _GAP

    def _places(self, width: float) -> tuple[list[str], list[tuple[float, int]]]:
        """Lines of the label, and where each key stands: after the last line, or below it."""
        label, left = self.colors.label.replace(" = ", "\u00a0=\u00a0"), self._indent
        lines = [label[a:b] for a, b in wrap(label, width - left, self._typeface)]
        x, line = left + self._typeface.advance(lines[-1]), len(lines) - 1
        keys = []
        for text in self._keys:
            wide = self._box + _GAP + self._typeface.advance(text)
            if wide > width:
                raise TooNarrow("the legend", wide, width)
            x += 3 * _GAP
            if x + wide > width:
                x, line = (left if left + wide <= width else 0.0), line + 1
            keys.append((x, line))
            x += wide
        return lines, keys


MASKED = "masked"
TARGET = "target"


def frames_of(maps: Sequence[SaliencyMap]) -> tuple[str, ...]:
    """What the frames in some drawn maps stand for: a target that was masked, or one that was not."""
    masked = {t.masked for one in maps for t in one.targets if t.position is not None}
    return tuple(text for text, kind in ((MASKED, True), (TARGET, False)) if kind in masked)
