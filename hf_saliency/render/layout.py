"""Layout: panels one below another, and the legend that they share, in points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from matplotlib.axes import Axes

from hf_saliency.render import points
from hf_saliency.render.colors import Colors
from hf_saliency.render.legend import Legend
from hf_saliency.render.marks import Mark
from hf_saliency.render.passage import visible
from hf_saliency.render.points import Box
from hf_saliency.render.typeface import Typeface
from hf_saliency.render.wrap import wrap
from hf_saliency.saliency_map import SaliencyMap

_TITLE_GAP = 2.0  # points between a title and what it names
_PANEL_GAP = 9.0
_LEGEND_GAP = 6.0


@dataclass(frozen=True)
class Panel:
    """One map, drawn by a mark, under a title if there is one."""

    saliency_map: SaliencyMap
    mark: Mark
    title: str = ""

    def title_lines(self, width: float) -> list[str]:
        if not self.title:
            return []
        title = "\n".join(visible(line) for line in self.title.split("\n"))
        return [title[start:end] for start, end in wrap(title, width, self.typeface)]

    @cached_property
    def typeface(self) -> Typeface:
        return Typeface("small", weight="bold")


@dataclass(frozen=True)
class Stack:
    """Panels one below another in one colour scale, with its legend under the last.

    Parameters
    ----------
    panels
        From top to bottom.
    colors
        The scale of all of them.
    width
        In points.
    """

    panels: Sequence[Panel]
    colors: Colors
    width: float

    def heights(self) -> list[tuple[float, float]]:
        """Of each panel: the height of its title, and of its mark."""
        found = []
        for panel in self.panels:
            lines = len(panel.title_lines(self.width))
            title = lines * panel.typeface.line + (_TITLE_GAP if lines else 0.0)
            found.append((title, panel.mark.height(panel.saliency_map, self.colors, self.width)))
        return found

    @property
    def height(self) -> float:
        """Height of the whole in points."""
        panels = sum(title + mark for title, mark in self.heights())
        legend = _LEGEND_GAP + Legend(self.colors).height(self.width)
        return panels + _PANEL_GAP * (len(self.panels) - 1) + legend

    def draw(self, place: Callable[[Box], Axes]) -> None:
        """Draw everything; ``place`` makes the Axes for a box in points from the upper left corner."""
        y = 0.0
        for panel, (title, height) in zip(self.panels, self.heights(), strict=True):
            ax = place((0.0, y + title, self.width, height))
            panel.mark.draw(ax, panel.saliency_map, self.colors)
            for i, line in enumerate(panel.title_lines(self.width)):
                bold = panel.typeface
                points.write(ax, 0.0, i * bold.line + bold.ascent - title, line, bold)
            y += title + height + _PANEL_GAP
        legend = Legend(self.colors)
        y += _LEGEND_GAP - _PANEL_GAP
        legend.draw(place((0.0, y, self.width, legend.height(self.width))))
