"""Numbers as they are printed."""

from __future__ import annotations

import math


def number(value: float) -> str:
    """Three digits, or all before the point, with a true minus sign; ``NaN`` and ``∞`` by name."""
    if math.isnan(value):
        return "NaN"
    text = f"{value:.0f}" if 1000 <= abs(value) < 1e5 else f"{value:.3g}"
    return text.replace("inf", "∞").replace("-", "−")


def decimals(value: float) -> str:
    """Two decimals, with a true minus sign and none before zero."""
    return f"{value:.2f}".replace("-0.00", "0.00").replace("-", "−")


def ordinal(count: int) -> str:
    """``2nd``, ``3rd``, ``11th``."""
    ending = "th" if count // 10 % 10 == 1 else {1: "st", 2: "nd", 3: "rd"}.get(count % 10, "th")
    return f"{count}{ending}"
