"""Palette: the colours of scores, on paper and on a dark screen, for figures, pages and terminals alike.

Both arms run in equal steps of CIELAB lightness along a curve in Oklab, from the ground at zero to the strongest
colour on which the ink still has a contrast of 4.5 (WCAG AA), so text never changes its colour from cell to cell.
The two hues stay apart under all three colour blindnesses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Palette:
    """Colours of scores from -1 to 1."""

    positive: tuple[str, ...]  # from zero to one in equal steps, as "#rrggbb"
    negative: tuple[str, ...]  # from zero to minus one; both start at the same colour
    ink: str  # of text on all of them

    @property
    def ground(self) -> str:
        """The colour of zero."""
        return self.positive[0]

    def color(self, value: float) -> str:
        """The colour of a score, ``"#rrggbb"``; beyond -1 and 1 that of the end."""
        arm = self.negative if value < 0 else self.positive
        place = min(abs(value), 1.0) * (len(arm) - 1)
        first = min(int(place), len(arm) - 2)
        low, high = (_channels(arm[i]) for i in (first, first + 1))
        mixed = (a + (b - a) * (place - first) for a, b in zip(low, high, strict=True))
        return "#" + "".join(f"{math.floor(channel + 0.5):02x}" for channel in mixed)


def _channels(code: str) -> tuple[int, ...]:
    return tuple(int(code[i : i + 2], 16) for i in (1, 3, 5))


# Zero is paper, and the arms end at a lightness of 53, where black has a contrast of 5.
LIGHT = Palette(
    positive=("#ffffff", "#fedfc0", "#f9bf8f", "#f19d65", "#e67b3d", "#d9560a"),
    negative=("#ffffff", "#d3e7f9", "#a9ceef", "#81b6e4", "#5a9dd7", "#2f84c9"),
    ink="#000000",
)
# Zero is a dark page, and the arms end at a lightness of 48, where white has a contrast of 4.8.
DARK = Palette(
    positive=("#16181d", "#3a221b", "#5b2d1a", "#7c3817", "#9e4310", "#c04f00"),
    negative=("#16181d", "#17293e", "#193b5c", "#1b4e7c", "#1d629c", "#1f76bd"),
    ink="#ffffff",
)
