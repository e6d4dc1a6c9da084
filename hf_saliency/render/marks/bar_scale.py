"""BarScale: the lengths of a map's bars and the numbers next to them, for horizontal and vertical bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from matplotlib.axes import Axes

from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.render import points
from hf_saliency.render.colors import Colors, number, text_color
from hf_saliency.render.marks.mark import SMALLER, breaks, name, text_headings
from hf_saliency.render.points import Box
from hf_saliency.render.typeset.typeface import Typeface

GAP = 3.0  # points between a label, a bar and a number
_EDGE = 0.3  # points


@dataclass(frozen=True, eq=False)
class BarScale:
    """The bars of the drawn part of a map, at a width in points."""

    part: SaliencyMap
    colors: Colors
    width: float
    fontsize: float | str  # of the tokens' labels
    printed: bool  # numbers are printed next to the bars
    predictions: int  # how many of the model's answers are shown
    labels_inches: float | None = None  # room for the tokens' labels; None for as much as they need
    field_inches: float | None = None  # maximum width of a target's bars; None for no limit
    in_order: bool = True  # tokens are in the order of the text, so that texts can be separated

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
    def breaks(self) -> tuple[int, ...]:
        """The tokens at which another text begins."""
        return breaks(self.part) if self.in_order else ()

    @cached_property
    def headings(self) -> dict[int, str]:
        """Map the token at which each text begins to the text's name."""
        return text_headings(self.part) if self.in_order else {}

    @cached_property
    def below(self) -> float:
        """Share of a bar's field that lies below zero; 0 if no panel of the scale has a negative score."""
        return 0.5 if self.colors.negative else 0.0

    def share(self, value: float) -> tuple[float, float]:
        """Return where a bar begins and ends, as shares of its field; the whole positive side if not finite."""
        if not np.isfinite(value):
            return self.below, 1.0
        end = self.below + (1 - self.below) * float(np.clip(value / self.colors.limit, -1, 1))
        return min(end, self.below), max(end, self.below)

    @cached_property
    def ticks(self) -> list[tuple[float, str]]:
        """Zero and the limits, as shares of a field, with their numbers; none if every bar has its number printed."""
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
        """Numbers next to the bars."""
        return self.colors.printed(self.part)

    @cached_property
    def note(self) -> str:
        """Note on tokens and texts that were left out, and on a power of ten that printed numbers omit."""
        of, zero = (self.part.arguments.get(key) for key in ("strongest_of", "zero_texts"))
        texts = "1 text is" if zero == 1 else f"{zero} texts are"
        notes = [
            f"the {len(self.labels)} strongest of {of} tokens" if of else "",
            f"{texts} left out: all scores there are 0" if zero and not of else "",
            self.colors.power_note if self.printed else "",
        ]
        return ", ".join(filter(None, notes))

    def fill(self, ax: Axes, boxes: Sequence[Box], row: int, columns: Sequence[int]) -> None:
        """Draw bars in their colours, with edges so that pale ones are visible."""
        tokens = [(row, column) for column in columns]
        points.cells(ax, boxes, self.values[row, list(columns)], self.colors, tokens=tokens, apart=True)
        points.edges(ax, boxes, color=text_color(), linewidth=_EDGE)
