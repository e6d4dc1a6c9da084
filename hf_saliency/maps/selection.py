"""Selection: rows of a map by number, slice or word of the text, and groups of rows to merge."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Sequence
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
    """The rows whose targets are inside a word; if there are none, the targets without a token that have this label."""
    columns: set[int] = set()
    for number, text in enumerate(saliency_map.texts):
        places = spans.Places(
            [(t.start, t.end) if t.text_index == number else (0, 0) for t in saliency_map.tokens]
        )
        for start, end in spans.occurrences(text, word):
            columns.update(places.overlapping(start, end))
    rows = [i for i, target in enumerate(saliency_map.targets) if not columns.isdisjoint(target.positions)]
    rows = rows or [
        i for i, target in enumerate(saliency_map.targets) if not target.positions and target.label == word
    ]
    if not rows:
        labels = [repr(target.label) for target in saliency_map.targets]
        listing = ", ".join(labels[:20]) + (", ..." if len(labels) > 20 else "")
        raise SaliencyError(f"no target is at the word {word!r}; the targets are {listing or 'none'}.")
    return rows


def target_groups(saliency_map: SaliencyMap, by: str | Sequence[str]) -> list[tuple[str, list[int]]]:
    """Return label and row numbers of each group that :meth:`hf_saliency.SaliencyMap.merge_targets` sums."""
    targets = saliency_map.targets
    if isinstance(by, str):
        if by != "entity":
            raise SaliencyError(
                f"by={by!r}: give 'entity', or a list of {len(targets)} labels, one for each target."
            )
        groups = _entity_groups(saliency_map)
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


def _entity_groups(saliency_map: SaliencyMap) -> list[tuple[str, list[int]]]:
    """Groups of neighbouring rows of one entity; every other row is a group alone."""
    targets = saliency_map.targets
    labels = [_token_label(saliency_map, target) for target in targets]
    # A row of several tokens is an entity already; rows with different contrasts are not summed.
    single = [i for i, t in enumerate(targets) if labels[i] and len(t.positions) == 1]
    runs = spans.entities([targets[i].positions[0] for i in single], [labels[i] for i in single])
    groups = [[single[k] for k in run] for run in runs]
    if not groups and targets:
        raise SaliencyError(
            "by='entity' sums the rows of neighbouring tokens that one entity labels, as TokenLabel() gives them, and "
            f"this map has none: its first target is {targets[0].label!r}. Give a list of {len(targets)} labels, one "
            "for each target."
        )
    whole = {i for group in groups for i in group}
    groups += [[i] for i in range(len(targets)) if i not in whole]
    return [(_entity_name(saliency_map, rows, labels), rows) for rows in sorted(groups)]


def _token_label(saliency_map: SaliencyMap, target: TargetRow) -> str:
    """The label of a token: "PER" in "Angela: PER"; empty if the label is the token itself."""
    if target.position is None:
        return ""
    token = saliency_map.tokens[target.position]
    text = saliency_map.texts[token.text_index][token.start : token.end] or token.piece
    for name in (text, f"“{text}”"):
        if target.label.startswith(f"{name}: "):
            return target.label.removeprefix(f"{name}: ")
    return "" if target.label in (text, token.piece) else target.label


def _entity_name(saliency_map: SaliencyMap, rows: Sequence[int], labels: Sequence[str]) -> str:
    targets = [saliency_map.targets[i] for i in rows]
    if len(rows) == 1:
        return targets[0].label
    entity = spans.entity_label(labels[rows[0]])[1]
    if targets[0].label == labels[rows[0]]:  # without the token's text
        return entity
    first, last = (saliency_map.tokens[t.positions[0]] for t in (targets[0], targets[-1]))
    return f"{saliency_map.texts[first.text_index][first.start : last.end]}: {entity}"


def merged_target(targets: Sequence[TargetRow], label: str) -> TargetRow:
    """Merge several targets into one."""
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
