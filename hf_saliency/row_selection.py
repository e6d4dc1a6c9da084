"""Rows of a map by number, slice or word."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING

from hf_saliency import spans
from hf_saliency.errors import SaliencyError

if TYPE_CHECKING:
    from hf_saliency.saliency_map import SaliencyMap


def rows_of(saliency_map: SaliencyMap, item: int | slice | str) -> list[int]:
    """Row numbers, negative ones too, of what :meth:`hf_saliency.SaliencyMap.select` was given."""
    count = len(saliency_map.targets)
    if isinstance(item, slice):
        return list(range(count))[item]
    if isinstance(item, str):
        return _rows_at(saliency_map, item)
    try:
        row = operator.index(item)
    except TypeError as error:
        raise SaliencyError(
            f"select({item!r}): give row numbers, slices or words one by one, as in select(0, -1, 'word')."
        ) from error
    if not -count <= row < count:
        raise SaliencyError(f"there is no target {row}: this map has {count}, counted from 0.")
    return [row]


def _rows_at(saliency_map: SaliencyMap, word: str) -> list[int]:
    """The targets that are read inside a word."""
    columns: set[int] = set()
    for number, text in enumerate(saliency_map.texts):
        own = [(t.start, t.end) if t.text == number else (0, 0) for t in saliency_map.tokens]
        for start, end in spans.occurrences(text, word):
            columns.update(spans.overlapping(own, start, end))
    rows = [i for i, target in enumerate(saliency_map.targets) if not columns.isdisjoint(target.positions)]
    if not rows:
        named = [repr(target.label) for target in saliency_map.targets]
        there = ", ".join(named[:20]) + (", ..." if len(named) > 20 else "")
        raise SaliencyError(f"no target stands at the word {word!r}; the targets are {there or 'none'}.")
    return rows
