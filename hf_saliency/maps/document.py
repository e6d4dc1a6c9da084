"""A SaliencyMap as one JSON document: versioned, with a digest, exact to the last bit, without pickle."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from hf_saliency.errors import SaliencyError
from hf_saliency.maps.fields import Prediction, TargetRow
from hf_saliency.maps.spans import Token

if TYPE_CHECKING:
    from hf_saliency.maps.saliency_map import SaliencyMap

Map = TypeVar("Map")
"""`make` in this module is the constructor `SaliencyMap`, handed in so that the map may import this module."""

FORMAT = "hf_saliency.SaliencyMap"
VERSION = 1

# Version 1 of the format was set before these attributes got their names; files keep its keys and their digests.
_KEYS = {"text_index": "text", "class_id": "index"}
_ATTRIBUTES = {key: name for name, key in _KEYS.items()}


def dumps(saliency_map: SaliencyMap) -> str:
    """The map as a JSON document: format, version, SHA-256 of the content, content."""
    return json.dumps(document(saliency_map), ensure_ascii=False, allow_nan=False)


def document(saliency_map: SaliencyMap) -> dict[str, Any]:
    """The same, as JSON values."""
    delta = saliency_map.convergence_delta
    content = {
        **head(saliency_map),
        "dtype": saliency_map.scores.dtype.name,
        "scores": [_json_safe(row) for row in _numbers(saliency_map.scores)],
        "convergence_delta": None if delta is None else _json_safe(_numbers(delta)),
    }
    return {"format": FORMAT, "version": VERSION, "sha256": _digest(content), "map": content}


def head(saliency_map: SaliencyMap) -> dict[str, Any]:
    """All of a map but its arrays, as JSON values; NaN and infinity are the strings that ``float`` reads.

    What later releases added is there only where it says something, so that other files stay what they were.
    """
    found = _json_safe(
        {
            "texts": saliency_map.texts,
            "tokens": [_renamed(dataclasses.asdict(token), _KEYS) for token in saliency_map.tokens],
            "targets": [_target(target) for target in saliency_map.targets],
            "method": saliency_map.method,
            "arguments": saliency_map.arguments,
            "signed": saliency_map.signed,
            "provenance": saliency_map.provenance,
            **({"text_names": saliency_map.text_names} if saliency_map.text_names else {}),
        }
    )
    assert isinstance(found, dict)
    return found


def _target(target: TargetRow) -> dict[str, Any]:
    """A target's fields; its positions only where they are several."""
    fields = dataclasses.asdict(target)
    if len(target.positions) < 2:
        del fields["positions"]
    predictions = [_renamed(prediction, _KEYS) for prediction in fields["predictions"]]
    return _renamed({**fields, "predictions": predictions}, _KEYS)


def _renamed(fields: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in fields.items()}


def loads(document: str, make: Callable[..., Map], source: str = "this document") -> Map:
    """Read :func:`dumps` back; ``source`` names the document in errors."""
    try:
        data = parsed(document)
    except (ValueError, RecursionError) as error:
        raise SaliencyError(f"{source} is damaged or no saliency map: it is not JSON ({error}).") from error
    return from_document(data, make, source)


def parsed(text: str) -> Any:
    """JSON without what it is not meant to have: a key twice, NaN; ValueError or RecursionError otherwise."""
    return json.loads(text.removeprefix("\ufeff"), object_pairs_hook=_unique, parse_constant=_no_constant)


def from_document(data: Any, make: Callable[..., Map], source: str) -> Map:
    """Read :func:`document` back, from anyone: what is not a map, whole and unchanged, is refused."""
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise SaliencyError(f"{source} is no saliency map: it lacks the mark {FORMAT!r}.")
    version = data.get("version")
    if type(version) is not int or version < 1:
        raise SaliencyError(f"{source} is damaged: {version!r} is no version of the format.")
    if version > VERSION:
        raise SaliencyError(
            f"{source} has version {version} of the format, newer than the {VERSION} that this release "
            "reads: upgrade hf-saliency."
        )
    try:
        intact = _digest(data.get("map")) == data.get("sha256")
        found = _from_content(data["map"], make) if intact else None
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise SaliencyError(f"{source} is damaged ({type(error).__name__}: {error}).") from error
    if found is None:
        raise SaliencyError(f"{source} is damaged: its content does not match its SHA-256.")
    return found


def save(saliency_map: SaliencyMap, path: str | Path) -> None:
    """Write :func:`dumps` to a file."""
    try:
        document = dumps(saliency_map).encode()
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise SaliencyError(f"the map holds {half!r}, half a character, which no file can hold.") from error
    write_file(path, document)


def write_file(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file in one step, so that a reader never sees half of it; :class:`SaliencyError` where that fails.

    An existing file keeps its permissions, and a link still points to it. Anything but a regular file, such as a
    pipe, is written directly.
    """
    try:
        mode = _mode(path)
        if mode is None or stat.S_ISREG(mode):
            _replace(os.path.realpath(path), content, mode)
        else:
            Path(path).write_bytes(content)
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        raise SaliencyError(f"cannot write {str(path)!r}: {_reason(error)}.") from error


def load(path: str | Path, make: Callable[..., Map]) -> Map:
    """Read a file that :func:`save` wrote."""
    try:
        document = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SaliencyError(f"{str(path)!r} is damaged or no saliency map: it is not UTF-8 text.") from error
    except (OSError, ValueError) as error:
        raise SaliencyError(f"cannot read {str(path)!r}: {_reason(error)}.") from error
    return loads(document, make, repr(str(path)))


def _mode(path: str | os.PathLike[str]) -> int | None:
    try:
        return os.stat(path).st_mode
    except FileNotFoundError:
        return None


def _replace(path: str, document: bytes, mode: int | None) -> None:
    temporary = os.path.join(os.path.dirname(path), f".{secrets.token_hex(8)}.part")
    try:
        # Exclusive, and with the permissions that any new file gets.
        with open(temporary, "xb") as file:
            if mode is not None:
                os.chmod(temporary, stat.S_IMODE(mode))
            file.write(document)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _from_content(content: dict[str, Any], make: Callable[..., Map]) -> Map:
    delta = content["convergence_delta"]
    tokens = tuple(Token(**_renamed(token, _ATTRIBUTES)) for token in content["tokens"])
    targets = tuple(_read_target(target) for target in content["targets"])
    if content["dtype"] not in ("float32", "float64"):
        raise ValueError(f"{content['dtype']!r} is no dtype of scores")
    scores = np.array(content["scores"], dtype=np.dtype(content["dtype"]))
    return make(
        texts=content["texts"],
        tokens=tokens,
        targets=targets,
        scores=scores.reshape(len(targets), len(tokens)),
        method=content["method"],
        arguments=content["arguments"],
        signed=content["signed"],
        convergence_delta=None if delta is None else np.array(delta, dtype=np.float64),
        provenance=content["provenance"],
        text_names=content.get("text_names", ()),
    )


def _read_target(fields: dict[str, Any]) -> TargetRow:
    predictions = tuple(Prediction(**_renamed(each, _ATTRIBUTES)) for each in fields["predictions"])
    return TargetRow(**_renamed({**fields, "predictions": predictions}, _ATTRIBUTES))


def _numbers(values: np.ndarray) -> Any:
    """Nested lists of Python floats: the shortest decimals that read back to the same float32 or float64."""
    exact = values.astype(np.float64)
    if values.dtype == np.float64:
        return exact.tolist()
    short = values.astype(str).astype(np.float64)
    # A decimal next to the middle of two float32 can end at the wrong one, in two roundings: 7.038531e-26.
    return np.where(short.astype(values.dtype) == values, short, exact).tolist()


def _json_safe(value: Any) -> Any:
    """JSON has no NaN and no infinity: they travel as the strings that ``float`` reads."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, dict):
        return {key: _json_safe(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json_safe(item) for item in value]
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"JSON has no {name}")


def _digest(content: Any) -> str:
    canonical = json.dumps(content, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
