"""A chunk: results as the record batches of a corpus."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hf_saliency.corpus.columns import ScoreType, common_of, failure_batch, head_of, map_batch
from hf_saliency.corpus.records import Record
from hf_saliency.corpus.task import Task
from hf_saliency.errors import SaliencyError
from hf_saliency.maps.saliency_map import SaliencyMap


@dataclass(frozen=True)
class Layout:
    """How the columns of a corpus are typed.

    Parameters
    ----------
    scores
        The type of the scores; None for that of the maps.
    key
        The type of the keys, ``"int64"`` or ``"string"``.
    carried
        The fields of the carried columns.
    """

    scores: ScoreType | None
    key: str
    carried: tuple[Any, ...]


@dataclass(frozen=True)
class Chunk:
    """Maps as record batches, each with what its maps have in common; failures as another; how many texts these are."""

    maps: tuple[tuple[str, Any], ...]
    failures: Any
    count: int


def chunks(task: Task, layout: Layout, block: Sequence[Record]) -> Iterator[Chunk]:
    """Explain a block of records; what is done comes before the next batches begin."""
    for results in task.run(block):
        yield _chunk(layout, results)


def _chunk(layout: Layout, results: Sequence[tuple[Record, SaliencyMap | SaliencyError]]) -> Chunk:
    """Maps as record batches, failures as another."""
    made = [(record, heat) for record, heat in results if isinstance(heat, SaliencyMap)]
    failed = [(record, str(error)) for record, error in results if not isinstance(error, SaliencyMap)]
    batches = []
    # Maps of one request differ in nothing that a file says once, but for a precision that was measured.
    for _, group in itertools.groupby(made, key=lambda pair: common_of(pair[1])):
        members = list(group)
        maps = [heat for _, heat in members]
        dtype: Any = layout.scores or maps[0].scores.dtype.name
        batch = map_batch([record for record, _ in members], maps, dtype, layout.carried, layout.key)
        batches.append((head_of(maps[0]), batch))
    failures = None
    if failed:
        failures = failure_batch(
            [record for record, _ in failed], [reason for _, reason in failed], layout.carried, layout.key
        )
    return Chunk(tuple(batches), failures, len(results))
