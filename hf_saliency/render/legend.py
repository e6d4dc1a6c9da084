"""The legend under all panels: the colour scale with its limits, its meaning, and what a hatched cell is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from matplotlib.axes import Axes

from hf_saliency.render import points
from hf_saliency.render.colors import Colors
from hf_saliency.render.numerals import number
from hf_saliency.render.typeface import Typeface
from hf_saliency.render.wrap import wrap

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
    fontsize
        In points, or relative to ``rcParams["font.size"]``.
    """

    colors: Colors
    fontsize: float | str = "x-small"

    def height(self, width: float) -> float:
        """Height in points at a width in points."""
        return len(self._lines(width)) * self._typeface.line

    def draw(self, ax: Axes) -> None:
        """Draw into the whole of an Axes."""
        typeface, colors = self._typeface, self.colors
        width, _ = points.size(ax)
        top = (typeface.line - typeface.capital) / 2
        baseline = top + typeface.capital
        x = 0.0
        points.write(ax, x, baseline, self._least, typeface)
        x += typeface.advance(self._least) + _GAP
        self._bar(ax, x, top)
        if colors.signed:
            middle = x + (_BAR - typeface.advance("0")) / 2
            points.write(ax, middle, baseline, "0", typeface, color="black")
        x += _BAR + _GAP
        points.write(ax, x, baseline, number(colors.limit), typeface)
        if colors.missing:
            x += typeface.advance(number(colors.limit)) + 3 * _GAP
            self._swatch(ax, x, top)
            points.write(ax, x + self._box + _GAP, baseline, self._missing, typeface)
        for i, line in enumerate(self._lines(width)):
            points.write(ax, self._indent, baseline + i * typeface.line, line, typeface)

    def _bar(self, ax: Axes, x: float, top: float) -> None:
        height, step = self._typeface.capital, _BAR / _STEPS
        values = np.linspace(-self.colors.limit if self.colors.signed else 0, self.colors.limit, _STEPS)
        boxes = [(x + i * step, top, step, height) for i in range(_STEPS)]
        points.cells(ax, boxes, values, self.colors, joined=True)
        points.outline(ax, (x, top, _BAR, height), linewidth=0.3, gid="legend")

    def _swatch(self, ax: Axes, x: float, top: float) -> None:
        box = (x, top, self._box, self._typeface.capital)
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

    @property
    def _missing(self) -> str:
        return ", ".join(self.colors.missing)

    @property
    def _indent(self) -> float:
        advance = self._typeface.advance
        width = advance(self._least) + _BAR + advance(number(self.colors.limit)) + 4.5 * _GAP
        if self.colors.missing:
            width += self._box + advance(self._missing) + 4 * _GAP
        return width

    def _lines(self, width: float) -> list[str]:
        label = self.colors.label
        return [label[a:b] for a, b in wrap(label, width - self._indent, self._typeface)]
