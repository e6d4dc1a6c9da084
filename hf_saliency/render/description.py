"""Description: what a figure shows, in a sentence for those who do not see it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.maps.table import Table
from hf_saliency.maps.wording import method_name
from hf_saliency.render.colors import decimals
from hf_saliency.render.passage import visible

_TARGETS = 3
_STRONGEST = 3
_KINDS = {
    "Highlight": "Text in colour",
    "Matrix": "Heat map",
    "Bars": "Bar chart",
    "Arcs": "Arrows between tokens",
}


def describe_map(saliency_map: SaliencyMap, mark: str) -> str:
    """A map as it is drawn: what kind of figure, which method, and the strongest tokens of the first targets."""
    kind = _KINDS.get(mark, mark)
    count = len(saliency_map.targets)
    plural = "s" * (count != 1)
    head = (
        f"{kind}: {method_name(saliency_map.method)} for {count} target{plural} over "
        f"{len(saliency_map.tokens)} tokens."
    )
    rows = [_strongest(saliency_map, row) for row in range(min(count, _TARGETS))]
    more = f" {count - _TARGETS} more targets are not listed." if count > _TARGETS else ""
    return " ".join([head, *rows]) + more


def _strongest(saliency_map: SaliencyMap, row: int) -> str:
    scores = np.nan_to_num(saliency_map.normalized()[row], posinf=0, neginf=0)
    order = np.argsort(-np.abs(scores), kind="stable")[:_STRONGEST]
    named = [f"“{text(saliency_map.labels[i])}” {decimals(float(scores[i]))}" for i in order if scores[i]]
    label = text(saliency_map.targets[row].label)
    return f"“{label}” depends most on {', '.join(named)}." if named else f"All scores for “{label}” are 0."


def text(label: str) -> str:
    """A label in one line, with signs for characters that cannot be seen."""
    return visible(label.strip() or label)


def describe_table(table: Table, mark: str) -> str:
    """A table as it is drawn: what was measured, and for how many rows."""
    measure = visible(table.measure) or "values"
    groups = len(set(table["group"].tolist())) if "group" in table else 0
    by = f" in {groups} groups" if groups > 1 else ""
    finite = table["value"][np.isfinite(table["value"])]
    span = f", from {decimals(float(finite.min()))} to {decimals(float(finite.max()))}" if finite.size else ""
    return f"{mark} of {measure}: {len(table)} values{by}{span}."


def joined(parts: Sequence[str]) -> str:
    """The descriptions of all panels."""
    if len(parts) == 1:
        return parts[0]
    return " ".join(f"Panel {i}: {part}" for i, part in enumerate(parts, start=1))
