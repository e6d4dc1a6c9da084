"""Tables for other programs: the predictions of a map, and its scores."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hf_saliency.maps.fields import TargetRow
    from hf_saliency.maps.saliency_map import SaliencyMap


def predictions_table(saliency_map: SaliencyMap) -> str:
    """A tab-separated table with one line for each target; probabilities lie between 0 and 1."""
    most = max((len(target.predictions) for target in saliency_map.targets), default=0)
    heads = [f"{name}_{rank}" for rank in range(1, most + 1) for name in ("prediction", "probability")]
    head = ["position", "target", saliency_map.targets[0].unit, "probability", "rank", *heads]
    return _table([head, *map(_answers, saliency_map.targets)], "excel-tab")


def _answers(target: TargetRow) -> list[Any]:
    ids = [answer.class_id for answer in target.predictions]
    rank = ids.index(target.class_id) + 1 if target.class_id in ids else ""
    answers = [cell for answer in target.predictions for cell in (answer.label, f"{answer.probability:.6g}")]
    chance = "" if target.probability is None else f"{target.probability:.6g}"
    return [target.position, target.label, f"{target.score:.6g}", chance, rank, *answers]


def scores_table(maps: Sequence[SaliencyMap]) -> str:
    """A comma-separated table with one line for each score: a long table, as data frames like it."""
    head = (
        "map method target position label against unit target_score probability against_probability "
        "token token_text text start end special score"
    )
    lines: list[Sequence[Any]] = [head.split()]
    for number, heat in enumerate(maps):
        for row, target in enumerate(heat.targets):
            known = [number, heat.method, row, target.position, target.label, target.against, target.unit]
            for column, (token, label) in enumerate(zip(heat.tokens, heat.labels, strict=True)):
                place = [token.text_index, token.start, token.end, int(token.special)]
                chances = [target.probability, target.against_probability]
                score = [column, label, *place, float(heat.scores[row, column])]
                lines.append([*known, float(target.score), *chances, *score])
    return _table(lines, "excel")


def _table(lines: Iterable[Sequence[Any]], dialect: str) -> str:
    file = io.StringIO()
    csv.writer(file, dialect, lineterminator="\n").writerows(lines)
    return file.getvalue()
