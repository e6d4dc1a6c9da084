"""Tables as panels: what a figure does where a Table is drawn instead of a map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

from matplotlib.axes import Axes

from hf_saliency.errors import SaliencyError
from hf_saliency.maps.table import Table
from hf_saliency.render import points
from hf_saliency.render.layout import Place
from hf_saliency.render.marks import Agreements, Curves, Dots, Profile, Ranking
from hf_saliency.render.passage import visible
from hf_saliency.render.points import Box
from hf_saliency.render.typeset.typeface import Typeface
from hf_saliency.render.typeset.wrap import wrap

_TITLE_GAP = 2.0  # points, for 10-point type


@runtime_checkable
class TableMark(Protocol):
    """A frozen dataclass of options that draws a Table; anyone may write one."""

    def height(self, table: Table, width: float) -> float:
        """Height in points that drawing the table takes at a width in points."""

    def draw(self, ax: Axes, table: Table) -> None:
        """Draw the table into the whole of an Axes."""


@dataclass(frozen=True)
class TablePanel:
    """One table, drawn by a mark, with a title above it.

    Parameters
    ----------
    table
        What is drawn.
    mark
        Draws it.
    title
        Stands above it, if there is one.
    """

    table: Table
    mark: TableMark
    title: str = ""
    legend: bool = True  # a table explains itself: the panels share no legend

    def head(self, width: float) -> float:
        """Height of the title."""
        lines = len(self._lines(width))
        return lines * self._bold.line + (points.scaled(_TITLE_GAP) if lines else 0.0)

    def body(self, width: float) -> float:
        """Height of the table itself."""
        return self.mark.height(self.table, width)

    def foot(self, width: float) -> float:
        """Height of what stands below: nothing."""
        return 0.0

    def draw(self, place: Place, box: Box, head: float) -> Axes:
        """Draw everything into a box, the table at a distance ``head`` from its upper edge, into Axes of its own."""
        x, y, width, _ = box
        ax = place((x, y + head, width, self.body(width)))
        self.mark.draw(ax, self.table)
        for i, line in enumerate(self._lines(width)):
            baseline = i * self._bold.line + self._bold.ascent - self.head(width)
            points.write(ax, 0.0, baseline, line, self._bold)
        return ax

    @cached_property
    def _bold(self) -> Typeface:
        return Typeface("small", weight="bold")

    def _lines(self, width: float) -> list[str]:
        shown = "\n".join(visible(line) for line in self.title.split("\n")) if self.title else ""
        return [shown[a:b] for a, b in wrap(shown, width, self._bold)] if shown else []


def as_tables(maps: Any) -> list[Table] | None:
    """One table or several as a list; None for anything else."""
    listed = [maps] if isinstance(maps, Table) else maps
    several = isinstance(listed, (list, tuple)) and bool(listed)
    return list(listed) if several and all(isinstance(each, Table) for each in listed) else None


def table_panels(tables: Sequence[Table], mark: Any, title: Any) -> list[TablePanel]:
    """The panels of some tables; a mark that is not named follows from the columns."""
    marks = list(mark) if isinstance(mark, (list, tuple)) else [mark] * len(tables)
    titles = [""] * len(tables) if title is None else [title] if isinstance(title, str) else list(title)
    if len(marks) != len(tables) or len(titles) != len(tables):
        raise SaliencyError(
            f"{len(tables)} tables need as many marks and titles: there are {len(marks)} and {len(titles)}."
        )
    chosen = [_default(table) if each is None else each for each, table in zip(marks, tables, strict=True)]
    for each in chosen:
        if isinstance(each, type) or not isinstance(each, TableMark) or hasattr(each, "shown"):
            raise SaliencyError(
                f"mark={each!r} draws no table: choose Ranking(), Profile(), Agreements(), Curves() or Dots()."
            )
    return [TablePanel(*parts) for parts in zip(tables, chosen, titles, strict=True)]


def _default(table: Table) -> TableMark:
    kinds: list[tuple[str, TableMark]] = [
        ("first", Agreements()),
        ("position", Profile()),
        ("x", Curves()),
        ("label", Dots() if "group" in table else Ranking()),
    ]
    for column, mark in kinds:
        if column in table:
            return mark
    raise SaliencyError(
        f"no mark draws a table of the columns {', '.join(map(repr, table.columns))}: "
        "the docstring of hf_saliency.Table lists the columns for each mark."
    )
