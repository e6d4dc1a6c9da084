"""Panels from what a user gave: maps, marks, titles and scales, checked."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from typing import Any, Literal, cast

import numpy as np

from hf_saliency.comparison import agreement as compared
from hf_saliency.errors import SaliencyError
from hf_saliency.render.colors import Colors, method_name
from hf_saliency.render.excerpt import excerpt
from hf_saliency.render.layout import Panel
from hf_saliency.render.marks import Highlight, Mark, Matrix
from hf_saliency.saliency_map import Normalization, SaliencyMap

Which = int | slice | str | Sequence[int | slice | str]
Scale = Literal["shared", "own"]

_FEW = 6  # up to so many targets, the default mark is a block of text for each


def panels_of(
    maps: SaliencyMap | Sequence[SaliencyMap],
    mark: Mark | Sequence[Mark] | None,
    *,
    targets: Which | None,
    title: str | Sequence[str] | None,
    normalize: Normalization,
    scale: Scale,
    agreement: bool,
    around: int | None,
) -> list[Panel]:
    """The panels of a figure, as :func:`hf_saliency.figure` documents the arguments."""
    chosen = [_select(one, targets) for one in as_list(maps)]
    marks = _marks(mark, chosen)
    shown = [drawn_by.shown(one) for drawn_by, one in zip(marks, chosen, strict=True)]
    whole = [len(one.tokens) for one in shown]
    if around is not None:
        shown = [excerpt(one, around) for one in shown]
    titles = _titles(title, chosen)
    notes = [_trimmed(one, count) for one, count in zip(shown, whole, strict=True)]
    if agreement:
        notes = _compared(chosen, titles, notes)
    return [
        Panel(*parts, legend=scale == "own")
        for parts in zip(shown, marks, _colors(shown, normalize, scale), titles, notes, strict=True)
    ]


def as_list(maps: Any) -> list[SaliencyMap]:
    """One map or several as a list."""
    found = [maps] if isinstance(maps, SaliencyMap) else maps
    several = isinstance(found, (list, tuple))
    if several and found and all(isinstance(one, SaliencyMap) for one in found):
        return list(found)
    given = f"{type(maps).__name__} {reprlib.repr(maps)}"
    raise SaliencyError(
        f"figure() draws a SaliencyMap or a list of them, not the {given}: "
        "figure(Explainer(model, tokenizer)(text))."
    )


def _select(one: SaliencyMap, targets: Which | None) -> SaliencyMap:
    if not one.targets:
        raise SaliencyError("this map has no target, so there is nothing to draw: explain at least one.")
    if targets is None:
        return one
    several = isinstance(targets, (list, tuple, range, np.ndarray))
    return one.select(*cast(Sequence[int], targets)) if several else one.select(cast(int, targets))


def _marks(mark: Any, maps: Sequence[SaliencyMap]) -> list[Mark]:
    if mark is None:
        mark = Highlight() if max(len(one.targets) for one in maps) <= _FEW else Matrix()
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
        return [method_name(one.method) if len(maps) > 1 else "" for one in maps]
    titles = list(title) if isinstance(title, (list, tuple)) else [title]
    for each in titles:
        if not isinstance(each, str):
            raise SaliencyError(f"title={title!r}: a title is a string, not {type(each).__name__}.")
    if len(titles) != len(maps):
        raise SaliencyError(
            f"{len(titles)} titles for {len(maps)} maps: give one for each, title={['...'] * len(maps)}."
        )
    return titles


def _colors(shown: Sequence[SaliencyMap], normalize: Normalization, scale: Scale) -> list[Colors]:
    if scale not in ("shared", "own"):
        raise SaliencyError(f"scale={scale!r}: choose 'shared' (one for all panels) or 'own' (one for each).")
    if scale == "own":
        return [Colors.of([one], normalize) for one in shown]
    return [Colors.of(shown, normalize)] * len(shown)


def _trimmed(one: SaliencyMap, whole: int) -> str:
    kept = len(one.tokens)
    return (
        f"{kept} of {whole} tokens, around the target{'s' * (len(one.targets) > 1)}" if kept < whole else ""
    )


def _compared(maps: Sequence[SaliencyMap], titles: Sequence[str], notes: Sequence[str]) -> list[str]:
    """The notes, with a line for each map but the first on how far it agrees with that."""
    if len(maps) < 2:
        raise SaliencyError(
            "agreement=True compares maps, but there is only one: figure([one, other], agreement=True)."
        )
    lines = [f"{compared(maps[0], one)} with {titles[0]}" for one in maps[1:]]
    return [notes[0], *("\n".join(filter(None, pair)) for pair in zip(lines, notes[1:], strict=True))]
