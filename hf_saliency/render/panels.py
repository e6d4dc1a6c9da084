"""Panels: from the maps, the marks and the scales that a user gives to what stands in each panel of a figure."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
from matplotlib.colors import Colormap

from hf_saliency.errors import SaliencyError, integer, one_of
from hf_saliency.maps import compare
from hf_saliency.maps.reduction import Columns, Normalization
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.maps.wording import incomplete_note, method_name
from hf_saliency.render.colormaps import palette_for
from hf_saliency.render.colors import Colors
from hf_saliency.render.layout import Panel
from hf_saliency.render.marks import Highlight, Mark, Matrix
from hf_saliency.render.passage import excerpt
from hf_saliency.render.venues import length

Which = int | slice | str | Sequence[int | slice | str]
Scale = Literal["shared", "separate"]
Limit = float | SaliencyMap | Sequence[SaliencyMap]

_FEW = 6  # up to so many targets, the default mark is a block of text for each


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
                f"columns={self.columns!r} names the tokens that count; panels side by side are ncols={self.columns!r}."
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
    """The maps with the targets that are drawn, and all of their tokens."""
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
    """Running text for few targets, and a matrix for many."""
    few = max(len(each.targets) for each in maps) <= _FEW
    return [Highlight() if few else Matrix()] * len(maps)


def _marks(mark: Any, maps: Sequence[SaliencyMap]) -> list[Mark]:
    if mark is None:
        return default_marks(maps)
    marks = list(mark) if isinstance(mark, (list, tuple)) else [mark] * len(maps)
    for each in marks:
        if isinstance(each, type) or not isinstance(each, Mark):
            raise SaliencyError(
                f"mark={each!r} is not a mark: choose Highlight(), Matrix(), Bars() or Arcs(), as in "
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
    """What tells maps apart: their method, their model, the arguments; nothing where only the texts differ."""
    methods = [method_name(each.method) for each in maps]
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
    """The arguments of a map that are others in a map of the same texts and method."""
    own = maps[index]
    rivals = [each for each in maps if each.texts == own.texts and each.method == own.method]
    keys = [key for key, value in own.arguments.items() if any(r.arguments.get(key) != value for r in rivals)]
    return ", ".join(f"{key.replace('_', ' ')} {own.arguments[key]}" for key in keys)


def _trimmed(saliency_map: SaliencyMap, count: int) -> str:
    kept = len(saliency_map.tokens)
    plural = "s" * (len(saliency_map.targets) > 1)
    return f"{kept} of {count} tokens, around the target{plural}" if kept < count else ""


def _compared(maps: Sequence[SaliencyMap], titles: Sequence[str], notes: Sequence[str]) -> list[str]:
    """The notes, with a line for each map but the first on how far it agrees with the first."""
    if len(maps) < 2:
        raise SaliencyError(
            "agreement=True compares maps, but there is only one: figure([one, other], agreement=True)."
        )
    lines = [f"{compare.agreement(maps[0], each)} with {titles[0]}" for each in maps[1:]]
    return [notes[0], *(_joined(line, note) for line, note in zip(lines, notes[1:], strict=True))]


def _joined(first: str, second: str) -> str:
    return "\n".join(filter(None, (first, second)))
