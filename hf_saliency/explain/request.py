"""Request: a target, a method and their options, which explain the rows of any number of texts."""

from __future__ import annotations

import contextlib
import functools
import inspect
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ParamSpec, TypedDict, TypeVar

import torch

from hf_saliency.adapter.encoding import Encoding, read_ahead
from hf_saliency.adapter.exact_ids import with_ids
from hf_saliency.adapter.guards import HeldInterrupts, seeded
from hf_saliency.adapter.text_model import Overflow, TextModel
from hf_saliency.attribution.method import Method
from hf_saliency.attribution.registry import METHODS
from hf_saliency.errors import SaliencyError, check_call, plain
from hf_saliency.explain import memory
from hf_saliency.explain.attribute import BuiltMethod, RowResult
from hf_saliency.explain.batches import batch_overhead, spoiled, sweep
from hf_saliency.explain.precision import Precision, lowered
from hf_saliency.explain.result import saliency_map
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.progress import tqdm
from hf_saliency.score import last_layer
from hf_saliency.score.batch import collate, shape
from hf_saliency.score.padding import ignores_padding, warn_of_mixing
from hf_saliency.score.products import Products
from hf_saliency.score.score import Score
from hf_saliency.targets.default import target_with
from hf_saliency.targets.target import Row, Target

_log = logging.getLogger(__name__)


class CallOptions(TypedDict, total=False):
    """The keyword arguments of a call, which ``Explainer.__call__`` documents."""

    target: Target | str | None
    method: Any
    top_k: int
    overflow: Overflow


Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def call_checked(name: str) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """Return a decorator for a method of the Explainer, ``name`` in errors, that refuses calls that do not fit."""

    def decorate(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        known = frozenset(inspect.signature(function).parameters)

        @functools.wraps(function)
        def checked(*arguments: Parameters.args, **keywords: Parameters.kwargs) -> Result:
            calls = None
            if "method" in known and not known.issuperset(keywords):
                explainer: Any = arguments[0]
                calls = _calls_with(keywords, explainer.text_model)
            check_call(function, arguments, keywords, name, calls)
            return function(*arguments, **keywords)

        return checked

    return decorate


def _calls_with(keywords: Mapping[str, Any], model: TextModel) -> dict[str, str]:
    """Map keywords that belong to a method or a target, not to the explainer, to the calls that take them."""
    calls = {}
    for keyword, value in keywords.items():
        target = target_with(keyword, model)
        methods = [name for name, make in METHODS.items() if keyword in inspect.signature(make).parameters]
        if methods:
            first = "integrated_gradients" if "integrated_gradients" in methods else methods[0]
            calls[keyword] = f"method=hs.{first}({keyword}={value!r:.40})"
        elif target:
            calls[keyword] = f"target=hs.{target}({keyword}={value!r:.40})"
    return calls


@dataclass(frozen=True)
class Job:
    """One text as the model reads it, its rows, and their target."""

    encoding: Encoding
    rows: tuple[Row, ...]
    target: Target

    @property
    def tokens(self) -> int:
        """The number of tokens of all of its rows."""
        return len(self.encoding) * len(self.rows)


def check_contrast(jobs: Sequence[Job]) -> None:
    """Refuse texts if every row subtracts the very score that it explains."""
    if jobs and all(row.against_itself for job in jobs for row in job.rows):
        raise SaliencyError(
            "against= names the very class that is explained, so that the contrast is always zero: pass a different "
            "against=, or omit it."
        )


def encoded(text: Any, target: Target, model: TextModel, overflow: Overflow) -> Encoding:
    """Encode a text, which may come with its token ids, for a target."""
    text = plain(text)
    text_or_ids = text if isinstance(text, str) else with_ids(text, model.tokenizer)
    return target.encode(text_or_ids, model, overflow)


@dataclass(frozen=True)
class Request:
    """A target, a method and their options, checked."""

    model: TextModel
    target: Target
    method: Method
    top_k: int
    overflow: Overflow
    batch_tokens: int
    provenance: Mapping[str, str]
    products: Products | None
    precision: Precision | None = None

    def job(self, text: Any, target: Target | None = None) -> Job:
        """Return a text as the model reads it, with its rows; refuse a text that the target or the model cannot take.

        ``target`` may be another one with the same readout, such as one at another word.
        """
        target = target or self.target
        encoding = encoded(text, target, self.model, self.overflow)
        return Job(encoding, tuple(target.rows(encoding, self.model)), target)

    def jobs(self, texts: Sequence[Any]) -> list[Job]:
        """Return each text of a list as a job; an error names the text that it is about."""
        jobs = []
        with read_ahead(self.model.tokenizer, texts):
            for number, text in enumerate(texts):
                try:
                    jobs.append(self.job(text))
                except SaliencyError as error:
                    raise SaliencyError(f"texts[{number}]: {error}") from error
        return jobs

    def maps(self, jobs: Sequence[Job], *, progress: bool) -> list[SaliencyMap]:
        """Return the map of each text, in order; rows of similar length share a batch, even from different texts."""
        rows = [row for job in jobs for row in job.rows]
        provenance = dict(self.provenance)
        # Autograd cannot save tensors of inference mode.
        fast = contextlib.nullcontext() if self.products is None else self.products.entered()
        with HeldInterrupts(), torch.inference_mode(False), fast:
            if self.precision is None:
                results = self._results(rows, progress)
            else:
                results, deviation = lowered(
                    functools.partial(self._results, progress=progress), rows, self.model
                )
                provenance["precision"] = str(deviation)
        unit_of = functools.cache(lambda parts: self.target.readout(self.model, parts).unit)
        maps, start = [], 0
        for job in jobs:
            end = start + len(job.rows)
            unit = unit_of(len(job.encoding.parts))
            pairs = list(zip(job.rows, results[start:end], strict=True))
            maps.append(
                saliency_map(job.encoding, pairs, job.target, unit, self.method, self.model, provenance)
            )
            start = end
        return maps

    def _results(self, rows: Sequence[Row], progress: bool) -> list[RowResult]:
        """Return the result of each row, in the order of ``rows``."""
        results: dict[int, RowResult] = {}
        # Rows with the same number of sequences share a score; only multiple choice has several such groups.
        groups: dict[tuple[int, int], list[int]] = {}
        for i, row in enumerate(rows):
            groups.setdefault((len(row.encoding.parts), self.model.ends(row.encoding)), []).append(i)
        with tqdm(total=len(rows), unit="target", delay=2, leave=False, disable=not progress) as bar:
            for (parts, _), numbers in groups.items():
                for batch, members in self._batches([rows[i] for i in numbers], parts):
                    results.update(zip((numbers[i] for i in batch), members, strict=True))
                    bar.update(len(batch))
        return [results[i] for i in range(len(rows))]

    def _batches(self, rows: Sequence[Row], parts: int) -> Iterator[tuple[list[int], list[RowResult]]]:
        """Return batches of row numbers and their results, for rows that all have ``parts`` sequences."""
        model, readout = self.model, self.target.readout(self.model, parts)
        score = Score.of(model, rows, readout, self.batch_tokens, self.top_k)
        built = BuiltMethod.of(self.method, score, model, self.target, rows)
        shared = ", rows of one text share its forward pass" if built.shares else ""
        _log.debug(
            "%d targets by %s, up to %d tokens a batch%s",
            len(rows),
            self.method.name,
            self.batch_tokens,
            shared,
        )

        def explain(batch: Sequence[int], budget: int) -> list[RowResult]:
            score.batch_tokens = budget
            _log.debug(
                "a batch of %d targets, %d tokens each", len(batch), max(sum(shapes[i]) for i in batch)
            )
            return built.results(collate(model, [rows[i] for i in batch], readout, score.names), budget)

        # A function that called itself would be a reference cycle, which keeps all rows until Python collects cycles.
        def step(batch: Sequence[int], budget: int) -> list[RowResult]:
            results = explain(batch, budget)
            for i in spoiled(batch, shapes, [result.is_finite for result in results]):
                _log.debug("a row is not finite beside longer rows and is explained alone")
                results[batch.index(i)] = explain([i], budget)[0]
            return results

        shapes = [shape(row, model, readout.layout) for row in rows]
        texts = [id(row.encoding) for row in rows] if built.shares else None
        alone, overhead = self.method.draws(built.attribution), batch_overhead(model)
        lengths, shortage = [sum(each) for each in shapes], None
        pads = _pads(score, model, rows, shapes, self.batch_tokens)
        if sum(lengths) * model.size >= last_layer.WORK:
            score.last_layer = last_layer.tried(score, model, rows, lengths)
        if max(*lengths, self.batch_tokens) >= memory.WORTH:
            shortage = memory.shortage_of(score, model, rows, lengths, texts, self.batch_tokens)
        return sweep(
            shapes,
            self.batch_tokens,
            pads,
            step,
            alone=alone,
            texts=texts,
            overhead=overhead,
            shortage=shortage,
        )


def _pads(
    score: Score, model: TextModel, rows: Sequence[Row], shapes: Sequence[tuple[int, ...]], batch_tokens: int
) -> bool:
    """Whether rows of different shape may share a batch: known for the model's class, or found by trials.

    If a batch has room for two rows, or for a method's copies of one, another trial checks that they do not mix.
    """
    if model.pads is not None:
        return bool(model.pads)
    with seeded(0):
        lengths = [sum(each) for each in shapes]
        shortest = lengths.index(min(lengths))
        if batch_tokens >= 2 * lengths[shortest]:
            warn_of_mixing(score, model, rows[shortest])
        return len(set(shapes)) > 1 and ignores_padding(score, model, rows)
