"""Panels: from a user's maps or tables, marks and scales to the content of each panel."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol, cast, runtime_checkable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap

from hf_saliency.errors import SaliencyError, integer, one_of, shown
from hf_saliency.maps import compare
from hf_saliency.maps.reduction import Columns, Normalization
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.maps.table import Table
from hf_saliency.maps.wording import counted, incomplete_note, method_name
from hf_saliency.render import points
from hf_saliency.render.colors import Colors, decimals, palette_for
from hf_saliency.render.layout import AnyPanel, Panel, Place
from hf_saliency.render.marks import Agreements, Curves, Dots, Highlight, Mark, Matrix, Profile, Ranking
from hf_saliency.render.passage import excerpt, visible
from hf_saliency.render.points import Box
from hf_saliency.render.settings import length
from hf_saliency.render.typeset.typeface import Typeface, wrap

Which = int | slice | str | Sequence[int | slice | str]
Scale = Literal["shared", "separate"]
Limit = float | SaliencyMap | Sequence[SaliencyMap]

_FEW = 6  # up to this many targets, the default mark is a block of text for each


@dataclass(frozen=True)
class Scales:
    """How scores become colours, as :func:`hf_saliency.figure` documents the arguments."""

    normalize: Normalization = "row_max"
    scale: Scale = "shared"
    limit: Limit | None = None
    cmap: str | Colormap | None = None
    underline: bool = False
    columns: Columns = "all"

    def __post_init__(self) -> None:
        one_of(self.scale, ("shared", "separate"), "scale")
        if integer(self.columns) is not None:
            raise SaliencyError(
                f"columns={self.columns!r} selects the tokens that count; for panels side by side, "
                f"pass ncols={self.columns!r}."
            )

    def colors(self, shown: Sequence[SaliencyMap], marks: Sequence[Mark], ground: Any) -> list[Colors]:
        """One scale for all maps, or one for each."""
        groups = [[each] for each in shown] if self.scale == "separate" else [list(shown)]
        limit = self._limit(marks[0])
        scales = [
            Colors.of(
                group,
                self.normalize,
                limit=limit,
                palette=palette_for(ground, self.cmap, signed=any(each.signed for each in group)),
                underline=self.underline,
                columns=self.columns,
            )
            for group in groups
        ]
        return scales if self.scale == "separate" else scales * len(shown)

    def _limit(self, mark: Mark) -> float | None:
        if self.limit is None:
            return None
        if isinstance(self.limit, (SaliencyMap, list, tuple)):
            maps = [mark.shown(each) for each in as_list(self.limit)]
            return Colors.of(maps, self.normalize, columns=self.columns).limit
        return length(self.limit, "limit")


def panels_of(
    maps: Any,
    mark: Any,
    *,
    targets: Which | None = None,
    title: str | Sequence[str] | None = None,
    scales: Scales,
    ground: Any,
    agreement: bool = False,
    around: int | None = None,
) -> list[Panel]:
    """The panels of a figure, as :func:`hf_saliency.figure` documents the arguments."""
    chosen = selected(maps, targets)
    marks = _marks(mark, chosen)
    shown = [panel_mark.shown(each) for panel_mark, each in zip(marks, chosen, strict=True)]
    counts = [len(each.tokens) for each in shown]
    if around is not None:
        shown = [excerpt(each, around) for each in shown]
    titles = _titles(title, chosen)
    notes = [_trimmed(each, count) for each, count in zip(shown, counts, strict=True)]
    notes = [_joined(note, incomplete_note(each)) for note, each in zip(notes, shown, strict=True)]
    if agreement:
        notes = _compared(chosen, [name or "the first" for name in titles], notes)
    colors = scales.colors(shown, marks, ground)
    return [
        Panel(*parts, legend=scales.scale == "separate")
        for parts in zip(shown, marks, colors, titles, notes, strict=True)
    ]


def selected(maps: Any, targets: Which | None) -> list[SaliencyMap]:
    """The maps with the targets to draw and all of their tokens."""
    return [_select(each, targets) for each in as_list(maps)]


def as_list(maps: Any) -> list[SaliencyMap]:
    """One map or several as a list."""
    listed = [maps] if isinstance(maps, SaliencyMap) else maps
    several = isinstance(listed, (list, tuple))
    if several and listed and all(isinstance(each, SaliencyMap) for each in listed):
        return list(listed)
    value = f"{type(maps).__name__} {reprlib.repr(maps)}"
    raise SaliencyError(
        f"figure() draws a SaliencyMap or a list of them, not the {value}: "
        "figure(Explainer(model, tokenizer)(text))."
    )


def _select(saliency_map: SaliencyMap, targets: Which | None) -> SaliencyMap:
    if not saliency_map.targets:
        raise SaliencyError("this map has no target, so there is nothing to draw: explain at least one.")
    if targets is None:
        return saliency_map
    several = isinstance(targets, (list, tuple, range, np.ndarray))
    rows = cast(Sequence[int], targets) if several else [cast(int, targets)]
    return saliency_map.select(*rows)


def default_marks(maps: Sequence[SaliencyMap]) -> list[Mark]:
    """The default marks: running text for few targets, a matrix for many."""
    few = max(len(each.targets) for each in maps) <= _FEW
    return [Highlight() if few else Matrix()] * len(maps)


def _marks(mark: Any, maps: Sequence[SaliencyMap]) -> list[Mark]:
    if mark is None:
        return default_marks(maps)
    marks = list(mark) if isinstance(mark, (list, tuple)) else [mark] * len(maps)
    for each in marks:
        if isinstance(each, SaliencyMap):
            raise SaliencyError(
                "the mark is a SaliencyMap: pass several maps as a list, figure([heat, another])."
            )
        if isinstance(each, type) or not isinstance(each, Mark):
            raise SaliencyError(
                f"mark={shown(each)} is not a mark: choose Highlight(), Matrix(), Bars() or Arcs(), as in "
                "figure(..., mark=Matrix())."
            )
    if len(marks) != len(maps):
        raise SaliencyError(f"{len(marks)} marks for {len(maps)} maps: give one for all, or one for each.")
    return marks


def _titles(title: Any, maps: Sequence[SaliencyMap]) -> list[str]:
    if title is None:
        return distinct_names(maps)
    titles = list(title) if isinstance(title, (list, tuple)) else [title]
    for each in titles:
        if not isinstance(each, str):
            raise SaliencyError(f"title={title!r}: a title is a string, not {type(each).__name__}.")
    if len(titles) != len(maps):
        raise SaliencyError(
            f"{len(titles)} titles for {len(maps)} maps: give one for each, title={['...'] * len(maps)}."
        )
    return titles


def distinct_names(maps: Sequence[SaliencyMap]) -> list[str]:
    """Names for maps from the methods, models or arguments in which they differ; empty if only the texts differ."""
    methods = [method_name(each.method) for each in maps]
    # Captum's class may occur next to the method of the same name.
    if len(set(methods)) < len({each.method for each in maps}):
        methods = [each.method for each in maps]
    models = [str(each.provenance.get("model", "")).rstrip("/").rsplit("/", 1)[-1] for each in maps]
    parts: list[list[str]] = [names for names in (methods, models) if len(set(names)) > 1]
    names = (
        [", ".join(filter(None, each)) for each in zip(*parts, strict=True)] if parts else [""] * len(maps)
    )
    return [
        ", ".join(filter(None, [name, _differing(i, maps)])) if names.count(name) > 1 else name
        for i, name in enumerate(names)
    ]


def _differing(index: int, maps: Sequence[SaliencyMap]) -> str:
    """The arguments of a map that differ from those of another map of the same texts and method."""
    heat = maps[index]
    rivals = [other for other in maps if other.texts == heat.texts and other.method == heat.method]
    keys = [
        key for key, value in heat.arguments.items() if any(r.arguments.get(key) != value for r in rivals)
    ]
    return ", ".join(f"{key} {heat.arguments[key]}".replace("_", " ") for key in keys)


def _trimmed(saliency_map: SaliencyMap, count: int) -> str:
    kept = len(saliency_map.tokens)
    plural = "s" * (len(saliency_map.targets) > 1)
    return f"{kept} of {count} tokens, around the target{plural}" if kept < count else ""


def _compared(maps: Sequence[SaliencyMap], titles: Sequence[str], notes: Sequence[str]) -> list[str]:
    """The notes, with a line for each map but the first that states how well it agrees with the first."""
    if len(maps) < 2:
        raise SaliencyError(
            "agreement=True compares maps, but there is only one: figure([one, other], agreement=True)."
        )
    lines = [f"{compare.agreement(maps[0], each)} with {titles[0]}" for each in maps[1:]]
    return [notes[0], *(_joined(line, note) for line, note in zip(lines, notes[1:], strict=True))]


def _joined(first: str, second: str) -> str:
    return "\n".join(filter(None, (first, second)))


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
    """One table, drawn by a mark, with a title above it if there is one."""

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
        """Height of everything below the table: 0."""
        return 0.0

    def draw(self, place: Place, box: Box, head: float) -> Axes:
        """Draw everything into a box, the table in separate Axes at a distance ``head`` from the box's upper edge."""
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
    """The panels of some tables; if no mark is given, the columns determine it."""
    marks = list(mark) if isinstance(mark, (list, tuple)) else [mark] * len(tables)
    titles = [""] * len(tables) if title is None else [title] if isinstance(title, str) else list(title)
    if len(marks) != len(tables) or len(titles) != len(tables):
        raise SaliencyError(
            f"give one mark and one title for each of the {len(tables)} tables, not {len(marks)} and {len(titles)}."
        )
    chosen = [_default(table) if each is None else each for each, table in zip(marks, tables, strict=True)]
    for each in chosen:
        if isinstance(each, type) or not isinstance(each, TableMark) or hasattr(each, "shown"):
            raise SaliencyError(
                f"mark={each!r} cannot draw a table: choose Ranking(), Profile(), Agreements(), Curves() or Dots()."
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


# How many targets a description names, and how many tokens of each.
_TARGETS = 3
_STRONGEST = 3
_KINDS = {
    "Highlight": "Text in colour",
    "Matrix": "Heat map",
    "Bars": "Bar chart",
    "Arcs": "Arrows between tokens",
}


def describe_map(saliency_map: SaliencyMap, mark: str) -> str:
    """Describe a map as drawn: the kind of figure, the method, and the strongest tokens of the first targets."""
    kind = _KINDS.get(mark, mark)
    count = len(saliency_map.targets)
    head = (
        f"{kind}: {method_name(saliency_map.method)} for {counted(count, 'target')} over "
        f"{counted(len(saliency_map.tokens), 'token')}."
    )
    rows = [_strongest(saliency_map, row) for row in range(min(count, _TARGETS))]
    left = count - _TARGETS
    more = f" {counted(left, 'more target')} {'is' if left == 1 else 'are'} not listed." if left > 0 else ""
    return " ".join([head, *rows]) + more


def _strongest(saliency_map: SaliencyMap, row: int) -> str:
    scores = np.nan_to_num(saliency_map.normalized()[row], posinf=0, neginf=0)
    order = np.argsort(-np.abs(scores), kind="stable")[:_STRONGEST]
    named = [f"“{_plain(saliency_map.labels[i])}” {decimals(float(scores[i]))}" for i in order if scores[i]]
    label = _plain(saliency_map.targets[row].label)
    return f"“{label}” depends most on {', '.join(named)}." if named else f"All scores for “{label}” are 0."


def _plain(label: str) -> str:
    """A label in one line, with signs for invisible characters."""
    return visible(label.strip() or label)


def _described_table(table: Table, mark: str) -> str:
    """Describe a table as drawn: the measure, the number of values and their range."""
    measure = visible(table.measure) or "values"
    groups = len(set(table["group"].tolist())) if "group" in table else 0
    by = f" in {groups} groups" if groups > 1 else ""
    finite = table["value"][np.isfinite(table["value"])]
    span = f", from {decimals(float(finite.min()))} to {decimals(float(finite.max()))}" if finite.size else ""
    return f"{mark} of {measure}: {len(table)} values{by}{span}."


def description(panels: Sequence[AnyPanel]) -> str:
    """Describe each panel of a figure in words, for readers who cannot see it."""
    parts = [_described(panel) for panel in panels]
    if len(parts) == 1:
        return parts[0]
    return " ".join(f"Panel {i}: {part}" for i, part in enumerate(parts, start=1))


def _described(panel: AnyPanel) -> str:
    if isinstance(panel, TablePanel):
        return _described_table(panel.table, type(panel.mark).__name__)
    assert isinstance(panel, Panel)
    return describe_map(panel.mark.shown(panel.saliency_map), type(panel.mark).__name__)
