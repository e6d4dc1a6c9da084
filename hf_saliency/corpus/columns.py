"""Arrow columns: converts maps to columns, one row per text, and back, bit for bit."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np

from hf_saliency.corpus.records import Record
from hf_saliency.errors import SaliencyError, imported
from hf_saliency.maps.fields import Prediction, TargetRow
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.maps.spans import Token
from hf_saliency.maps.storage import json_safe

ScoreType = Literal["float16", "float32", "float64"]
SCORE_TYPES: tuple[ScoreType, ...] = get_args(ScoreType)

_NUMBERS = {"float16": np.float16, "float32": np.float32, "float64": np.float64}


def arrow(module: str = "pyarrow") -> Any:
    """Import pyarrow, or one of its modules."""
    return imported(module, "Parquet files are written and read by pyarrow", "corpus")


def parquet_bytes(columns: Mapping[str, np.ndarray]) -> bytes:
    """Return columns of equal length as the bytes of a Parquet file."""
    pa, parquet = arrow(), arrow("pyarrow.parquet")
    sink = pa.BufferOutputStream()
    parquet.write_table(pa.table({name: values.tolist() for name, values in columns.items()}), sink)
    return bytes(sink.getvalue())


def map_batch(
    records: Sequence[Record],
    maps: Sequence[SaliencyMap],
    scores: ScoreType,
    carried: Sequence[Any],
    key: str,
) -> Any:
    """Return a record batch of maps; ``carried`` holds the carried columns' fields, ``key`` is the type of the keys."""
    pa = arrow()
    tokens = [token for heat in maps for token in heat.tokens]
    targets = [target for heat in maps for target in heat.targets]
    predictions = [prediction for target in targets for prediction in target.predictions]
    text, count = pa.string(), pa.int32()
    prediction_structs = _structs(
        {
            "label": pa.array([each.label for each in predictions], text),
            "class_id": pa.array([each.class_id for each in predictions], pa.int64()),
            "probability": pa.array([each.probability for each in predictions], pa.float64()),
        }
    )
    target_structs = _structs(
        {
            "label": pa.array([each.label for each in targets], text),
            "position": pa.array([each.position for each in targets], count),
            "positions": pa.array([each.positions for each in targets], pa.list_(count)),
            "score": pa.array([each.score for each in targets], pa.float64()),
            "unit": pa.array([each.unit for each in targets], text),
            "masked": pa.array([each.masked for each in targets], pa.bool_()),
            "against": pa.array([each.against for each in targets], text),
            "class_id": pa.array([each.class_id for each in targets], pa.int64()),
            "probability": pa.array([each.probability for each in targets], pa.float64()),
            "against_probability": pa.array([each.against_probability for each in targets], pa.float64()),
            "predictions": _lists([len(each.predictions) for each in targets], prediction_structs),
        }
    )
    token_structs = _structs(
        {
            "piece": pa.array([each.piece for each in tokens], text),
            "start": pa.array([each.start for each in tokens], count),
            "end": pa.array([each.end for each in tokens], count),
            "text_index": pa.array([each.text_index for each in tokens], count),
            "special": pa.array([each.special for each in tokens], pa.bool_()),
        }
    )
    scales = [_scale(heat.scores) if scores == "float16" else 1.0 for heat in maps]
    flat = [
        (heat.scores / scale).astype(_NUMBERS[scores]).ravel()
        for heat, scale in zip(maps, scales, strict=True)
    ]
    values = pa.array(np.concatenate(flat) if flat else np.zeros(0, _NUMBERS[scores]))
    columns = {
        "key": pa.array([each.key for each in records], pa.type_for_alias(key)),
        "number": pa.array([each.number for each in records], pa.int64()),
        "digest": pa.array([each.digest for each in records], pa.int64()),
        "texts": pa.array([heat.texts for heat in maps], pa.list_(text)),
        "text_names": pa.array([heat.text_names for heat in maps], pa.list_(text)),
        "tokens": _lists([len(heat.tokens) for heat in maps], token_structs),
        "targets": _lists([len(heat.targets) for heat in maps], target_structs),
        "scores": _lists([heat.scores.size for heat in maps], values),
        "scale": pa.array(scales, pa.float64()),
        "convergence_delta": pa.array([heat.convergence_delta for heat in maps], pa.list_(pa.float64())),
        "missed_sums": pa.array([heat.missed_sums for heat in maps], pa.list_(pa.float64())),
    }
    return pa.record_batch({**columns, **_carried(records, carried)})


def failure_batch(records: Sequence[Record], reasons: Sequence[str], carried: Sequence[Any], key: str) -> Any:
    """Return a record batch of texts that could not be explained, with the reasons."""
    pa = arrow()
    columns = {
        "key": pa.array([each.key for each in records], pa.type_for_alias(key)),
        "number": pa.array([each.number for each in records], pa.int64()),
        "digest": pa.array([each.digest for each in records], pa.int64()),
        "text": pa.array([_shown(each.text) for each in records], pa.string()),
        "reason": pa.array([_shown(reason) for reason in reasons], pa.string()),
    }
    return pa.record_batch({**columns, **_carried(records, carried)})


def common_of(heat: SaliencyMap) -> dict[str, Any]:
    """The facts that all maps of a file share: method, arguments, sign, dtype, provenance."""
    return {
        "method": heat.method,
        "arguments": dict(heat.arguments),
        "signed": heat.signed,
        "dtype": heat.scores.dtype.name,
        "provenance": dict(heat.provenance),
    }


def head_of(heat: SaliencyMap) -> str:
    """The facts of ``common_of`` as JSON."""
    return json.dumps(json_safe(common_of(heat)), sort_keys=True)


def maps_of(batch: Any, head: str) -> Iterable[SaliencyMap]:
    """Yield the maps of a record batch."""
    common = json.loads(head)
    dtype = np.dtype(common.pop("dtype"))
    scores = batch.column("scores")
    flat, ends = scores.values.to_numpy(zero_copy_only=False), scores.offsets.to_pylist()
    names = ("texts", "text_names", "tokens", "targets", "scale", "convergence_delta", "missed_sums")
    rows = zip(*(batch.column(name) for name in names), strict=True)
    for i, cells in enumerate(rows):
        row = dict(zip(names, (cell.as_py() for cell in cells), strict=True))
        tokens, targets = row["tokens"], row["targets"]
        values = flat[ends[i] : ends[i + 1]].astype(dtype) * dtype.type(row["scale"])
        yield SaliencyMap(
            texts=tuple(row["texts"]),
            tokens=tuple(Token(**token) for token in tokens),
            targets=tuple(_target(target) for target in targets),
            scores=values.reshape(len(targets), len(tokens)),
            convergence_delta=_array(row["convergence_delta"]),
            text_names=tuple(row["text_names"]),
            missed_sums=_array(row["missed_sums"]),
            **common,
        )


def carried_fields(names: Sequence[str], records: Sequence[Record]) -> list[Any]:
    """Return the fields of the carried columns; their types are those of ``records``, the first records."""
    pa = arrow()
    fields = []
    for number, name in enumerate(names):
        try:
            kind = pa.array([record.carried[number] for record in records]).type
        except (pa.ArrowException, TypeError, UnicodeError) as error:
            raise SaliencyError(
                f"the column {name!r} cannot be carried, since its values differ in type: {error}."
            ) from error
        fields.append(pa.field(name, pa.string() if pa.types.is_null(kind) else kind))
    return fields


def _carried(records: Sequence[Record], fields: Sequence[Any]) -> dict[str, Any]:
    """The carried columns of some records."""
    pa = arrow()
    columns = {}
    for number, each in enumerate(fields):
        values = [record.carried[number] for record in records]
        try:
            columns[each.name] = pa.array(values, each.type)
        except (pa.ArrowException, TypeError, UnicodeError, OverflowError) as error:
            raise SaliencyError(
                f"the values of the column {each.name!r} must be of type {each.type}, like the first ones, but a value "
                f"at texts[{records[0].number}] or later is not ({error}): give values of one type."
            ) from error
    return columns


def _structs(columns: dict[str, Any]) -> Any:
    return arrow().StructArray.from_arrays(list(columns.values()), list(columns))


def _lists(lengths: Sequence[int], values: Any) -> Any:
    pa = arrow()
    ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(ends), values)


def _scale(scores: np.ndarray) -> float:
    """Return a power of two; dividing a map's scores by it brings the largest near 1, as half precision needs."""
    magnitudes = np.abs(scores[np.isfinite(scores)])
    largest = float(magnitudes.max()) if magnitudes.size else 0.0
    return 2.0 ** math.frexp(largest)[1] if largest else 1.0


def _target(fields: dict[str, Any]) -> TargetRow:
    predictions = tuple(Prediction(**each) for each in fields.pop("predictions"))
    return TargetRow(predictions=predictions, **{**fields, "positions": tuple(fields["positions"])})


def _array(values: list[float] | None) -> np.ndarray | None:
    return None if values is None else np.array(values, dtype=np.float64)


def _shown(text: Any) -> str:
    shown = text if isinstance(text, str) else repr(text)
    return shown.encode("utf-8", "backslashreplace").decode()
