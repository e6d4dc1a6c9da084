"""The rows of any number of texts through one method, batch after batch."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator, Sequence

from hf_saliency.adapter.text_model import TextModel
from hf_saliency.attribution.method import Method
from hf_saliency.attribution.vocabulary import Vocabulary
from hf_saliency.explain.attribute import RowResult, attribute_batch
from hf_saliency.explain.batches import batch_overhead, sweep
from hf_saliency.explain.random_state import seeded
from hf_saliency.explain.sharing import shares
from hf_saliency.progress import tqdm
from hf_saliency.score.batch import collate, names, shape
from hf_saliency.score.padding import ignores_padding
from hf_saliency.score.score import Score
from hf_saliency.targets.readout import READOUT_TENSORS, Readout
from hf_saliency.targets.target import Row, Target

_log = logging.getLogger(__name__)


def explain_rows(
    model: TextModel,
    target: Target,
    method: Method,
    rows: Sequence[Row],
    *,
    top_k: int,
    batch_tokens: int,
    progress: bool,
) -> list[RowResult]:
    """The result of each row, in the order of ``rows``, with ``top_k`` predictions each."""
    results: dict[int, RowResult] = {}
    # Rows with equally many sequences share a score; only multiple choice has several such groups.
    groups: dict[tuple[int, int], list[int]] = {}
    for i, row in enumerate(rows):
        groups.setdefault((len(row.encoding.parts), model.ends(row.encoding)), []).append(i)
    with tqdm(total=len(rows), unit="target", delay=2, leave=False, disable=not progress) as bar:
        for (parts, _), numbers in groups.items():
            members = [rows[i] for i in numbers]
            for batch, done in _explain_group(model, target, method, members, parts, top_k, batch_tokens):
                results.update(zip((numbers[i] for i in batch), done, strict=True))
                bar.update(len(batch))
    return [results[i] for i in range(len(rows))]


def _explain_group(
    model: TextModel,
    target: Target,
    method: Method,
    rows: Sequence[Row],
    parts: int,
    top_k: int,
    batch_tokens: int,
) -> Iterator[tuple[list[int], list[RowResult]]]:
    """Batches of row numbers and their results, for rows of as many sequences as each other."""
    readout = target.readout(model, parts)
    score = score_of(model, rows, readout, batch_tokens, top_k)
    attribution = method.build(score, [Vocabulary(stream.module) for stream in score.streams])
    share = shares(attribution, method, score, rows)
    shared = ", rows of one text share its forward pass" if share else ""
    _log.debug("%d targets by %s, up to %d tokens a batch%s", len(rows), method.name, batch_tokens, shared)
    encode_like = functools.partial(target.encode_like, model=model)

    def step(batch: Sequence[int], budget: int) -> list[RowResult]:
        score.batch_tokens = budget
        _log.debug("a batch of %d targets, %d tokens each", len(batch), max(sum(shapes[i]) for i in batch))
        inputs = collate(model, [rows[i] for i in batch], readout, score.names)
        results = attribute_batch(attribution, method, score, model, inputs, budget, encode_like, share=share)
        if len({shapes[i] for i in batch}) > 1:
            # Beside longer rows a finite row may become NaN: where a window of attention holds padding alone.
            for number, i in enumerate(batch):
                if not results[number].is_finite:
                    _log.debug("a row is not finite beside longer rows and is explained alone")
                    results[number] = step([i], budget)[0]
        return results

    shapes = [shape(row, model, readout.layout) for row in rows]
    texts = [id(row.encoding) for row in rows] if share else None
    pads = _pads(score, model, rows, shapes)
    alone, overhead = method.draws(attribution), batch_overhead(model)
    return sweep(shapes, batch_tokens, pads, step, alone=alone, texts=texts, overhead=overhead)


def _pads(score: Score, model: TextModel, rows: Sequence[Row], shapes: Sequence[tuple[int, ...]]) -> bool:
    """Whether rows of different shape may share a batch: known of the model's class, or tried out."""
    if model.pads is not None or len(set(shapes)) == 1:
        return bool(model.pads)
    order = sorted(range(len(rows)), key=lambda i: sum(shapes[i]))
    with seeded(0):
        return ignores_padding(score, model, rows[order[0]], rows[order[-1]])


def score_of(
    model: TextModel, rows: Sequence[Row], readout: Readout, batch_tokens: int, top_k: int = 1
) -> Score:
    """The explained score of rows of as many sequences as each other, as a function of embeddings."""
    row_names = names(model, rows, readout)
    return Score(
        model.model,
        readout.layout.streams(model.streams),
        row_names,
        readout,
        model_inputs=[name for name in row_names if name not in READOUT_TENSORS],
        constants=model.inputs,
        top_k=top_k,
        batch_tokens=batch_tokens,
    )
