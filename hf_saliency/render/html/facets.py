"""Facets: maps of one text in TextualHeatmap's data format, and the data for the page's own layer."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hf_saliency.maps.compare import aligned
from hf_saliency.maps.fields import TargetRow
from hf_saliency.maps.reduction import merged, reduced
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.maps.spans import Span
from hf_saliency.maps.wording import incomplete_words, target_facts, target_name
from hf_saliency.render.colors import Colors, decimals, number
from hf_saliency.render.html.parts import clean, harmless
from hf_saliency.render.passage import Passage, passage

LEVELS = 64  # shades of each arm
_DIGITS = 3  # decimals of a score as a fraction of the scale's limit


def shade(score: float | str) -> str:
    """The CSS class of a score from -1 to 1, or of one that is not a number; the same rule as in page.js."""
    if isinstance(score, str):
        return "missing"
    step = math.floor(min(abs(score), 1.0) * LEVELS + 0.5)
    return f"{'n' if score < 0 and step else 'p'}{step}"


@dataclass(frozen=True, eq=False)
class Facet:
    """One map with its units: separate stretches of the text that a reader can point at."""

    saliency_map: SaliencyMap  # as it is shown, its tokens separate
    title: str
    colors: Colors  # of all facets
    top_k: int  # predictions to list

    @cached_property
    def _passage(self) -> Passage:
        return passage(self.saliency_map)

    @cached_property
    def _columns(self) -> list[int]:
        """The column of each unit, in reading order."""
        spans = self._passage.spans
        return sorted(spans, key=lambda column: (spans[column], column))

    @cached_property
    def pieces(self) -> list[tuple[str, int | None]]:
        """The whole text in order, each piece with its unit or None; the names of texts come before them."""
        pieces: list[tuple[str, int | None]] = []
        names = [
            (start, name) for start, name in zip(self._passage.starts, self._names, strict=False) if name
        ]
        reached = 0

        def gap(end: int) -> None:
            nonlocal reached
            while names and names[0][0] <= end:
                start, name = names.pop(0)
                pieces.append((harmless(self._passage.text[reached:start]), None))
                pieces.append((f"{clean(name)}: ", None))
                reached = start
            pieces.append((harmless(self._passage.text[reached:end]), None))

        for unit, column in enumerate(self._columns):
            start, end = self._passage.spans[column]
            gap(start)
            pieces.append((harmless(self._passage.text[start:end]), unit))
            reached = end
        gap(len(self._passage.text))
        return [piece for piece in pieces if piece[0]]

    @property
    def _names(self) -> tuple[str, ...]:
        return self.saliency_map.text_names

    @cached_property
    def labels(self) -> list[str]:
        """The text of each unit."""
        return [text for text, unit in self.pieces if unit is not None]

    @cached_property
    def _shares(self) -> np.ndarray:
        """The scores of the units for each target, as fractions of the scale's limit; NaN if not finite."""
        values = self.colors.values(self.saliency_map)[:, self._columns]
        return np.round(values.astype(float) / self.colors.limit, _DIGITS)

    @cached_property
    def heat(self) -> list[list[float | str]]:
        """The same fractions for compact JSON: integers where possible, and names of numbers that are not finite."""
        heat: list[list[float | str]] = self._shares.tolist()
        for row, unit in np.argwhere(self._shares == np.rint(self._shares)).tolist():
            heat[row][unit] = int(heat[row][unit])
        for row, unit in np.argwhere(~np.isfinite(self._shares)).tolist():
            heat[row][unit] = number(float(self.saliency_map.scores[row, self._columns[unit]]))
        return heat

    @cached_property
    def _unit_of(self) -> dict[int, int]:
        """The unit of each column."""
        return {column: unit for unit, column in enumerate(self._columns)}

    @cached_property
    def units(self) -> list[int | None]:
        """The unit at which each target is read, or None."""
        return [None if t.position is None else self._unit_of[t.position] for t in self.saliency_map.targets]

    @cached_property
    def _first_rows(self) -> dict[int | None, int]:
        """The first target at each unit."""
        return {unit: row for row, unit in reversed(list(enumerate(self.units)))}

    def target_units(self, row: int) -> list[int]:
        """All units that belong to a target."""
        return sorted(self._unit_of[column] for column in set(self.saliency_map.targets[row].positions))

    def selection(self, row: int) -> dict[str, int | None]:
        """A target as its unit, or as its number among the targets without a unit."""
        free = None if self.units[row] is not None else self.units[:row].count(None)
        return {"unit": self.units[row], "free": free}

    def data(self) -> list[dict[str, Any]]:
        """TextualHeatmap's data: for each unit, the heat of its first target and the predictions there."""
        entries: list[dict[str, Any]] = []
        for text, unit in self.pieces:
            if unit is None:
                entries.append({"token": text, "format": True})
                continue
            row = self._first_rows.get(unit)
            meta = [] if row is None else [label for label, _, _ in self.predictions(row)]
            entries.append({"token": text, "meta": meta, "heat": [] if row is None else self.heat[row]})
        return entries

    def rows(self) -> list[dict[str, Any]]:
        """The facts that do not fit into TextualHeatmap's data; the heat only where :meth:`data` lacks it."""
        rows = []
        for row in range(len(self.units)):
            chosen = self.selection(row)
            more: dict[str, Any] = {
                "label": self.label(row),
                "about": self.about(row),
                "predictions": self.predictions(row),
            }
            if chosen["unit"] is None or self._first_rows[self.units[row]] != row:
                more["heat"] = self.heat[row]
            if len(self.target_units(row)) > 1:
                more["own"] = self.target_units(row)
            rows.append({**chosen, **more})
        return rows

    def label(self, row: int) -> str:
        """The name of a target."""
        return clean(target_name(self.saliency_map.targets[row]))

    def about(self, row: int) -> str:
        """Facts about a target: masked or not, its score, and by how much a completeness check failed."""
        target = self.saliency_map.targets[row]
        parts = target_facts(target, self.top_k), incomplete_words(self.saliency_map, row)
        return ", ".join(part for part in parts if part)

    def score(self, row: int) -> str:
        """The score with its unit, or an empty string if it is not known."""
        return target_facts(dataclasses.replace(self.saliency_map.targets[row], masked=False), self.top_k)

    def predictions(self, row: int) -> list[tuple[str, str, bool]]:
        """Label and probability of each of the model's answers, and whether it is the one explained."""
        target = self.saliency_map.targets[row]
        return [_prediction(target, rank) for rank in range(len(target.predictions[: self.top_k]))]

    def strongest(self, row: int, count: int = 3) -> list[tuple[str, str]]:
        """The units with the largest magnitudes except the target's own, with their scores."""
        sizes = np.abs(np.nan_to_num(self._shares[row], nan=0.0))
        sizes[self.target_units(row)] = 0.0
        limit = self.colors.limit
        written = decimals if limit < 10 else number
        largest = np.argsort(-sizes, kind="stable")[:count].tolist()
        return [(self.labels[i], written(float(self.heat[row][i]) * limit)) for i in largest if sizes[i]]


def _prediction(target: TargetRow, rank: int) -> tuple[str, str, bool]:
    prediction = target.predictions[rank]
    probability = "<0.01" if prediction.probability < 0.005 else decimals(prediction.probability)
    return (
        clean(prediction.label.strip() or prediction.label),
        probability,
        prediction.class_id == target.class_id,
    )


def groups(maps: Sequence[SaliencyMap]) -> list[list[int]]:
    """The indices of the maps of each text, since facets of one text move together."""
    numbers: dict[tuple[str, ...], list[int]] = {}
    for i, heat in enumerate(maps):
        numbers.setdefault(heat.texts, []).append(i)
    return list(numbers.values())


def comparable(maps: Sequence[SaliencyMap]) -> list[SaliencyMap]:
    """Maps of one text with the same columns: unchanged, or over common words if the tokenizers differ."""
    same = all(_places(heat) == _places(maps[0]) for heat in maps)
    return list(maps) if same else aligned(maps)


def _places(heat: SaliencyMap) -> list[tuple[int, int, int, str]]:
    return [(t.text_index, t.start, t.end, t.piece if t.start == t.end else "") for t in heat.tokens]


def settings(identifier: str, facets: Sequence[Facet]) -> Mapping[str, Any]:
    """TextualHeatmap's settings for the facets of one text."""
    return {
        "id": identifier,
        "width": 600,
        "showMeta": True,
        "facetTitles": [clean(facet.title) for facet in facets],
        "rotateFacetTitles": False,
        "wrapAfterTokens": False,
        "interactive": True,
    }


def separate(heat: SaliencyMap) -> SaliencyMap:
    """Merge tokens that share a visible character, so that a reader can point at each token.

    The byte pieces of an emoji are such tokens. As in :meth:`hf_saliency.SaliencyMap.words`, their scores are
    summed, and each keeps its row.
    """
    units: list[tuple[Span, list[int]]] = []
    for column, (start, end) in sorted(passage(heat).spans.items(), key=lambda item: (item[1], item[0])):
        if units and start < units[-1][0][1]:
            (first, last), columns = units.pop()
            units.append(((first, max(last, end)), [*columns, column]))
        else:
            units.append(((start, end), [column]))
    groups = [columns for _, columns in units]
    if all(len(columns) == 1 for columns in groups):
        return heat
    new = {old: i for i, columns in enumerate(groups) for old in columns}
    return dataclasses.replace(
        heat,
        tokens=tuple(merged(heat.texts, [heat.tokens[i] for i in columns]) for columns in groups),
        targets=tuple(target.moved(new) for target in heat.targets),
        scores=reduced(heat.scores, groups, "sum"),
    )
