"""Which rows of a map a number, a slice or a word of the text names, and which rows belong together."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from hf_saliency.errors import SaliencyError
from hf_saliency.maps import spans
from hf_saliency.maps.fields import TargetRow

if TYPE_CHECKING:
    from hf_saliency.maps.saliency_map import SaliencyMap


def rows_of(saliency_map: SaliencyMap, item: int | slice | str) -> list[int]:
    """The numbers of the rows that one argument of :meth:`hf_saliency.SaliencyMap.select` names."""
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
    """The targets that are read inside a word; if there are none, labels of the text of that name."""
    columns: set[int] = set()
    for number, text in enumerate(saliency_map.texts):
        places = [(t.start, t.end) if t.text_index == number else (0, 0) for t in saliency_map.tokens]
        for start, end in spans.occurrences(text, word):
            columns.update(spans.overlapping(places, start, end))
    rows = [i for i, target in enumerate(saliency_map.targets) if not columns.isdisjoint(target.positions)]
    rows = rows or [
        i for i, target in enumerate(saliency_map.targets) if not target.positions and target.label == word
    ]
    if not rows:
        labels = [repr(target.label) for target in saliency_map.targets]
        listing = ", ".join(labels[:20]) + (", ..." if len(labels) > 20 else "")
        raise SaliencyError(f"no target stands at the word {word!r}; the targets are {listing or 'none'}.")
    return rows


def target_groups(targets: Sequence[TargetRow], by: str | Sequence[str]) -> list[tuple[str, list[int]]]:
    """Label and row numbers of each group of targets that :meth:`hf_saliency.SaliencyMap.merge_targets` sums."""
    if isinstance(by, str):
        if by != "entity":
            raise SaliencyError(
                f"by={by!r}: give 'entity', or a list of {len(targets)} labels, one for each target."
            )
        runs = groupby(range(len(targets)), key=lambda i: targets[i].label)
        groups = [(label, list(rows)) for label, rows in runs]
    else:
        labels = list(by)
        if len(labels) != len(targets) or not all(isinstance(label, str) for label in labels):
            raise SaliencyError(
                f"by={by!r}: give one label, a string, for each of the {len(targets)} targets."
            )
        groups = [
            (label, [i for i, other in enumerate(labels) if other == label])
            for label in dict.fromkeys(labels)
        ]
    if not groups:
        raise SaliencyError("this map has no targets to merge.")
    for label, rows in groups:
        units = {targets[i].unit for i in rows}
        if len(units) > 1:
            raise SaliencyError(
                f"the targets of {label!r} have different units, {sorted(units)}: they have no sum."
            )
    return groups


def merged_target(targets: Sequence[TargetRow], label: str) -> TargetRow:
    """The target that stands for several."""
    if len(targets) == 1:
        return dataclasses.replace(targets[0], label=label)
    positions = tuple(sorted({place for target in targets for place in target.positions}))
    contrasts = {target.against for target in targets}
    return TargetRow(
        label=label,
        position=positions[0] if positions else None,
        score=sum(target.score for target in targets),
        unit=targets[0].unit,
        masked=all(target.masked for target in targets),
        against=contrasts.pop() if len(contrasts) == 1 else None,
        positions=positions,
    )
