"""Palette: the colours of scores, on paper and on a dark screen, for figures, pages and terminals.

There is one arm of colours for positive scores and one for negative ones. Each runs in equal steps of CIELAB
lightness along a curve in Oklab, from the background colour at zero to the strongest colour on which the text still
has a contrast of 4.5 (WCAG AA). So the text has the same colour in every cell. The two hues can be distinguished
under all three kinds of colour blindness.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Palette:
    """The colours of scores from -1 to 1."""

    positive: tuple[str, ...]  # from zero to one in equal steps, as "#rrggbb"
    negative: tuple[str, ...]  # from zero to minus one; both start at the same colour
    ink: str  # the colour of text on all of these

    @property
    def ground(self) -> str:
        """The colour of zero."""
        return self.positive[0]

    def color(self, value: float) -> str:
        """Return the colour of a score as ``"#rrggbb"``; beyond -1 and 1, the colour of the end."""
        arm = self.negative if value < 0 else self.positive
        place = min(abs(value), 1.0) * (len(arm) - 1)
        first = min(int(place), len(arm) - 2)
        low, high = (_channels(arm[i]) for i in (first, first + 1))
        mixed = (a + (b - a) * (place - first) for a, b in zip(low, high, strict=True))
        return "#" + "".join(f"{math.floor(channel + 0.5):02x}" for channel in mixed)


def _channels(code: str) -> tuple[int, ...]:
    return tuple(int(code[i : i + 2], 16) for i in (1, 3, 5))


# Zero has the colour of paper. The arms end at a lightness of 53, where black text has a contrast of 5.
LIGHT = Palette(
    positive=("#ffffff", "#fedfc0", "#f9bf8f", "#f19d65", "#e67b3d", "#d9560a"),
    negative=("#ffffff", "#d3e7f9", "#a9ceef", "#81b6e4", "#5a9dd7", "#2f84c9"),
    ink="#000000",
)
# Zero has the colour of a dark page. The arms end at a lightness of 48, where white text has a contrast of 4.8.
DARK = Palette(
    positive=("#16181d", "#3a221b", "#5b2d1a", "#7c3817", "#9e4310", "#c04f00"),
    negative=("#16181d", "#17293e", "#193b5c", "#1b4e7c", "#1d629c", "#1f76bd"),
    ink="#ffffff",
)
