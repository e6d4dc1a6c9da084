"""BarScale: how long the bars of a map are, and what is written beside them, whichever way they point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from matplotlib.axes import Axes

from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.render import points
from hf_saliency.render.colors import Colors, decimals, number
from hf_saliency.render.marks.mark import SMALLER, name
from hf_saliency.render.points import Box
from hf_saliency.render.typeset.typeface import Typeface

GAP = 3.0  # points between a label, a bar and a number
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
