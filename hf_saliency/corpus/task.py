"""The task of a corpus: the computation for each text, the same in every process and after every restart."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hf_saliency.corpus.columns import ScoreType, common_of, failure_batch, head_of, map_batch
from hf_saliency.corpus.records import Record
from hf_saliency.errors import SaliencyError
from hf_saliency.explain.explainer import Explainer
from hf_saliency.explain.request import Job, Request
from hf_saliency.explain.stream import windows
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.targets.output import Output
from hf_saliency.targets.target import Target

# The target column fills the first of these fields that the target has: the place, or one of several candidates.
_FILLED = ("where", "answer", "choice", "label")


@dataclass(frozen=True)
class CorpusTask:
    """An explainer and the arguments of its calls; ``target_column`` names the column with the target of each text."""

    explainer: Explainer
    target: Any
    method: Any
    top_k: int
    overflow: Any
    target_column: str | None

    def __post_init__(self) -> None:
        if self.target_column is not None:
            _filled(self._request.target)

    def __getstate__(self) -> dict[str, Any]:  # each process builds its own request
        return {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}

    @property
    def description(self) -> dict[str, Any]:
        """The computation as JSON values; a corpus can be continued only if they are equal."""
        request = self._request
        names = ("model", "class", "revision", "dtype", "quantization", "tokenizer", "weights")
        return {
            **{name: request.provenance[name] for name in names if name in request.provenance},
            "target": _described(request.target),
            "method": request.method.name,
            "arguments": _described(dict(request.method.arguments)),
            "top_k": self.top_k,
            "overflow": self.overflow,
        }

    @property
    def provenance(self) -> dict[str, str]:
        """The provenance of each map: the model and the library versions."""
        return dict(self._request.provenance)

    @property
    def on_gpu(self) -> bool:
        """Whether the model is on a GPU."""
        return any(parameter.is_cuda for parameter in self.explainer.text_model.model.parameters())

    def run(self, block: Sequence[Record]) -> Iterator[list[tuple[Record, SaliencyMap | SaliencyError]]]:
        """Yield lists of records that share batches, each with its map or with the error that its text raises."""
        for results, _ in windows(self._request, iter(block), self._job, len(block)):
            if results:
                yield results

    def _job(self, record: Record) -> Job:
        """Return the job of a text: its rows for the target at the record's place."""
        _check_text(record)
        return self._request.job(record.text, self._target(record.place))

    def _target(self, place: Any) -> Target:
        """Return the target at a place; for None, the target unchanged."""
        target = self._request.target
        if place is None:
            return target
        placed = dataclasses.replace(target, **{_filled(target): place})  # type: ignore[type-var]
        model = self.explainer.text_model
        if placed.readout(model) != target.readout(model):  # only texts with equal readouts share batches
            raise SaliencyError(
                f"{type(target).__name__} at {place!r} reads other logits than the rest of the corpus: write a "
                "separate corpus for this place."
            )
        return placed

    @functools.cached_property
    def _request(self) -> Request:
        return self.explainer.request(self.target, self.method, self.top_k, self.overflow)


def _filled(target: Target) -> str:
    """Return the name of the field that the target column fills."""
    names = {each.name for each in dataclasses.fields(target)}  # type: ignore[arg-type]
    filled = next((name for name in _FILLED if name in names), None)
    if filled is None or isinstance(target, Output):  # the label of an Output is only a title
        raise SaliencyError(
            f"a target column says which word, label, answer or choice is explained in each text, and "
            f"{type(target).__name__} has none of these: leave the column out, or give a target such as "
            "target=hs.MaskedToken()."
        )
    return filled


def _check_text(record: Record) -> None:
    """Refuse a text that cannot be written to a file."""
    try:
        letters = record.text if isinstance(record.text, str) else "".join(map(str, record.text))
        letters.encode()
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise SaliencyError(
            f"the text contains {half!r}, an unpaired surrogate, which cannot be written to a file."
        ) from error
    except TypeError:  # not a text: the explainer raises the error
        pass


def _described(value: Any) -> Any:
    """Convert a value to JSON values, without memory addresses, which differ between processes."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(name): _described(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_described(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
        return {"type": type(value).__name__, **{name: _described(item) for name, item in fields.items()}}
    if callable(value) and hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


@dataclass(frozen=True)
class ColumnTypes:
    """The types of the scores (None: the type of the maps) and of the keys, and the fields of the carried columns."""

    scores: ScoreType | None
    key: str
    carried: tuple[Any, ...]


@dataclass(frozen=True)
class Chunk:
    """Results: record batches of maps, each with its maps' common facts; a batch of failures; the number of texts."""

    maps: tuple[tuple[str, Any], ...]
    failures: Any
    count: int


def chunks(task: CorpusTask, types: ColumnTypes, block: Sequence[Record]) -> Iterator[Chunk]:
    """Explain a block of records; yield finished results before the next batches begin."""
    for results in task.run(block):
        yield _chunk(types, results)


def _chunk(types: ColumnTypes, results: Sequence[tuple[Record, SaliencyMap | SaliencyError]]) -> Chunk:
    """Convert results to record batches: maps by their common facts, and failures."""
    made = [(record, heat) for record, heat in results if isinstance(heat, SaliencyMap)]
    failed = [(record, str(error)) for record, error in results if not isinstance(error, SaliencyMap)]
    batches = []
    # The maps of one request share all facts that a file stores once, except for a precision that was measured.
    for _, group in itertools.groupby(made, key=lambda pair: common_of(pair[1])):
        members = list(group)
        maps = [heat for _, heat in members]
        dtype: Any = types.scores or maps[0].scores.dtype.name
        batch = map_batch([record for record, _ in members], maps, dtype, types.carried, types.key)
        batches.append((head_of(maps[0]), batch))
    failures = None
    if failed:
        failures = failure_batch(
            [record for record, _ in failed], [reason for _, reason in failed], types.carried, types.key
        )
    return Chunk(tuple(batches), failures, len(results))
