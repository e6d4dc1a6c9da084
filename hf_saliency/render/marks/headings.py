"""Headings: what the texts of a map are, in small grey type where each begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from matplotlib.axes import Axes

from hf_saliency.render import points
from hf_saliency.render.marks.mark import breaks, name
from hf_saliency.render.typeface import Typeface
from hf_saliency.saliency_map import SaliencyMap

_GAP = 4.0  # points between two headings


def heading(saliency_map: SaliencyMap, number: int) -> str:
    """The name of a text; empty where it has none."""
    return name(saliency_map.text_names[number]) if saliency_map.text_names else ""


def headings(part: SaliencyMap) -> dict[int, str]:
    """The name of each text by the column at which it begins; nothing where no text has a name."""
    if not any(part.text_names):
        return {}
    return {column: heading(part, part.tokens[column].text) for column in (0, *breaks(part))}


def fitting(
    names: Mapping[int, str], start: Callable[[int], float], right: float, typeface: Typeface
) -> list[tuple[float, str]]:
    """Names on one line, each at the left end of its column; one that is wider than its text is left out.

    Parameters
    ----------
    names
        As :func:`headings` gives them.
    start
        Where a column begins, in points.
    right
        Where the last one ends.
    typeface
        Of the names.

    Returns
    -------
    list of (float, str)
    """
    places = [start(column) for column in names]
    ends = [*(place - _GAP for place in places), right][1:]
    found = zip(places, ends, names.values(), strict=True)
    return [(x, text) for x, end, text in found if text and x + typeface.advance(text) <= end]


def write(ax: Axes, x: float, y: float, text: str, typeface: Typeface) -> None:
    """Write a heading, its upper left corner at a point."""
    points.write(ax, x, y + typeface.ascent, text, typeface, color=points.muted())
