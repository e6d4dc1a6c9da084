"""Storage: a map as one JSON document, exact to the last bit, and files that are written whole or not at all.

:func:`write_file` writes all maps, tables, figures and pages, so that a full disk, a limit on file sizes or Ctrl-C
leaves the old file intact. Documents have a version and a digest. They are read within bounds and without pickle.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
import json
import math
import os
import secrets
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from hf_saliency.errors import SaliencyError
from hf_saliency.maps.fields import Prediction, TargetRow
from hf_saliency.maps.spans import Token

if TYPE_CHECKING:
    from hf_saliency.maps.saliency_map import SaliencyMap


LARGEST_DOCUMENT = 2**30
"""The largest JSON file that is written or read, in bytes."""

_DEEPEST = 64  # levels of nested lists; a map needs five, and a method's arguments a few more
# Bounds on the values of a document, counted by the characters that begin or separate them. A map has an object for
# each token, target and prediction; its commas separate decimals, or the ten fields of an object.
_BOUNDS = (("{[", 500_000, "lists and objects"), (",", 5_000_000, "values"))


def checked_path(path: object, example: str = "map.json", another: str = "") -> str:
    """Return a path as a string; refuse anything but a string or an ``os.PathLike`` of one.

    ``example`` is the path that the error suggests; ``another`` is its text about further accepted types.
    """
    try:
        name = os.fspath(path)  # type: ignore[call-overload]
    except TypeError:
        name = None
    if not isinstance(name, str):
        raise SaliencyError(
            f"a path is a string or a pathlib.Path{another}, such as {example!r}, not {type(path).__name__}."
        )
    return str(name)


def write_file(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file in one step: readers see the old file or the new one, and an error leaves the old one intact.

    An existing file keeps its permissions, and symbolic links still point to it. Anything but a regular file, such as
    a pipe or ``/dev/stdout``, is written directly. A path that cannot be written raises an error.
    """
    name = checked_path(path)
    try:
        mode = _mode(name)
        if mode is None or stat.S_ISREG(mode):
            _replace(os.path.realpath(name), data, mode)
        else:
            Path(name).write_bytes(data)
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        raise SaliencyError(f"cannot write {name!r}: {_reason(error)}.") from error


def _mode(path: str) -> int | None:
    try:
        return os.stat(path).st_mode
    except FileNotFoundError:
        return None


def _replace(path: str, data: bytes, mode: int | None) -> None:
    temporary = os.path.join(os.path.dirname(path), f".{secrets.token_hex(8)}.part")
    try:
        # Fails if the name exists; the permissions are those of any new file.
        with open(temporary, "xb") as file:
            if mode is not None:
                os.chmod(temporary, stat.S_IMODE(mode))
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def read_file(path: str | os.PathLike[str], largest: int) -> bytes:
    """Read a file of at most ``largest`` bytes."""
    name = checked_path(path)
    try:
        with open(name, "rb") as file:
            # Python allocates all the bytes that it is asked to read, so a small file is read by its own size.
            chunks = [file.read(min(largest, os.fstat(file.fileno()).st_size) + 1)]
            while chunks[-1] and (left := largest + 1 - sum(map(len, chunks))):  # a pipe has no size
                chunks.append(file.read(min(left, 2**20)))
        data = b"".join(chunks)
    except (OSError, ValueError) as error:
        raise SaliencyError(f"cannot read {name!r}: {_reason(error)}.") from error
    if len(data) > largest:
        raise SaliencyError(f"{name!r} is larger than {largest // 2**20} MiB, more than is read here.")
    return data


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _check_depth(content: Any) -> None:
    """Raise ValueError if lists and objects are nested too deeply."""
    # The depth that Python's own parser and encoder accept depends on its version.
    layer, depth = [content], 0
    while layer := [value for outer in layer for value in _inside(outer)]:
        depth += 1
        if depth > _DEEPEST:
            raise ValueError(f"lists and objects are nested more than {_DEEPEST} deep")


def _inside(value: Any) -> list[Any]:
    """The lists and dictionaries that a list or dictionary holds."""
    values = (
        value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
    )
    return [inner for inner in values if isinstance(inner, (Mapping, list, tuple))]


def encode(document: str) -> bytes:
    """Encode a document as UTF-8; refuse one that is too large for a file."""
    try:
        data = document.encode()
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise SaliencyError(
            f"the data contains {half!r}, an unpaired surrogate, which cannot be saved as UTF-8."
        ) from error
    if len(data) > LARGEST_DOCUMENT:
        raise SaliencyError(
            f"this needs {len(data) >> 20} MiB of JSON, more than the {LARGEST_DOCUMENT >> 20} MiB of one file: "
            "save fewer targets, such as heat.select(slice(0, 100)).save(path)."
        )
    if excess := _excess(document):
        raise SaliencyError(
            f"this holds {excess}, more than one file of JSON can have: save fewer targets, such as "
            "heat.select(slice(0, 100)).save(path), or of a table fewer rows."
        )
    return data


def _excess(text: str) -> str:
    """Name the values that JSON text has too many of; counted without parsing, so strings count too."""
    for marks, most, noun in _BOUNDS:
        if sum(map(text.count, marks)) > most:
            return f"more than {most:,} {noun}"
    return ""


def parsed(text: str) -> Any:
    """Parse JSON; raise ValueError or RecursionError for bad JSON, repeated keys, NaN or too many values."""
    # Counted before parsing: a few kilobytes can unpack to gigabytes of empty dictionaries.
    if excess := _excess(text):
        raise ValueError(f"it holds {excess}")
    return json.loads(text.removeprefix("\ufeff"), object_pairs_hook=_unique, parse_constant=_no_constant)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a key occurs twice")
    return fields


def _no_constant(name: str) -> Any:
    raise ValueError(f"JSON has no {name}")


_READERS = {
    "hf_saliency.Corpus": "hs.read_corpus, which is given its folder,",
    "hf_saliency.SaliencyMap": "hs.SaliencyMap.load",
    "hf_saliency.Table": "hs.Table.load",
}


def envelope(format: str, version: int, name: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """Wrap content with its format, version and SHA-256."""
    return {"format": format, "version": version, "sha256": digest(content), name: content}


def opened(data: Any, format: str, version: int, name: str, source: str, noun: str) -> Any:
    """Return the content of an untrusted :func:`envelope`; refuse one that is damaged or too new."""
    if not isinstance(data, dict) or data.get("format") != format:
        other = data.get("format") if isinstance(data, dict) else None
        reader = _READERS.get(other if isinstance(other, str) else "")
        hint = f"{reader} reads it" if reader else f"it lacks the mark {format!r}"
        raise SaliencyError(f"{source} is not a {noun}: {hint}.")
    number = data.get("version")
    if type(number) is not int or number < 1:
        raise SaliencyError(f"{source} is damaged: {number!r} is not a version of the format.")
    if number > version:
        raise SaliencyError(
            f"{source} has version {number} of the format, newer than the {version} that this release reads: "
            "upgrade hf-saliency."
        )
    try:
        _check_depth(data.get(name))
        intact = digest(data.get(name)) == data.get("sha256")
    except (TypeError, ValueError, RecursionError) as error:
        raise SaliencyError(f"{source} is damaged ({type(error).__name__}: {error}).") from error
    if not intact:
        raise SaliencyError(f"{source} is damaged: its content does not match its SHA-256.")
    return data.get(name)


def digest(content: Any) -> str:
    """SHA-256 of JSON values, independent of the order of keys and of white space."""
    canonical = json.dumps(content, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def json_safe(value: Any) -> Any:
    """Replace NaN and infinity, which JSON lacks, by the strings that ``float`` reads."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, dict):
        return {key: json_safe(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_safe(item) for item in value]
    return value


Map = TypeVar("Map")
"""Return type of `make`, the constructor `SaliencyMap`: an argument, so that `SaliencyMap` can import this module."""

FORMAT = "hf_saliency.SaliencyMap"
VERSION = 2
_DECIMAL, _PACKED = 1, 2  # versions with scores as decimals, and as the bytes of their numbers
_MOST_DECIMALS = 10_000  # scores that are written as readable decimals; more scores are written as bytes

_PICTURES = (".png", ".pdf", ".svg", ".svgz", ".eps", ".ps", ".pgf", ".jpg", ".tif", ".webp")
_PAGES = (".html", ".htm")
_FRAMES = (".csv", ".tsv", ".parquet", ".xlsx")
_ARRAYS = (".npy", ".npz", ".pt")
_PICKLES = (".pickle", ".pkl")
# First bytes, in lower case, of the files that `read_maps` reads.
_FIGURES = (b"%pdf", b"\x89png", b"\x1f\x8b", b"<")

# Version 1 of the format is older than these attribute names; files keep its keys, so that their digests stay valid.
_KEYS = {"text_index": "text", "class_id": "index"}
_ATTRIBUTES = {key: name for name, key in _KEYS.items()}


def dumps(saliency_map: SaliencyMap) -> str:
    """Write the map as a JSON document: format, version, SHA-256 of the content, content."""
    return json.dumps(document(saliency_map), ensure_ascii=False, allow_nan=False)


def document(saliency_map: SaliencyMap) -> dict[str, Any]:
    """The same, as JSON values."""
    delta, scores = saliency_map.convergence_delta, saliency_map.scores
    packed = scores.size > _MOST_DECIMALS
    content = {
        **head(saliency_map),
        "dtype": scores.dtype.name,
        "scores": _packed(scores) if packed else [json_safe(row) for row in _numbers(scores)],
        "convergence_delta": None if delta is None else json_safe(_numbers(delta)),
    }
    if saliency_map.missed_sums is not None:
        content["missed_sums"] = json_safe(_numbers(saliency_map.missed_sums))
    return envelope(FORMAT, _PACKED if packed else _DECIMAL, "map", content)


def head(saliency_map: SaliencyMap) -> dict[str, Any]:
    """All fields of a map except its arrays, as JSON values; NaN and infinity are the strings that ``float`` reads.

    Fields that later releases added are left out if they are empty, so that other files keep their digests.
    """
    fields = json_safe(
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
    assert isinstance(fields, dict)
    return fields


def _target(target: TargetRow) -> dict[str, Any]:
    """A target's fields; positions only if there are several, probabilities only if they are known."""
    fields = dataclasses.asdict(target)
    if len(target.positions) < 2:
        del fields["positions"]
    for name in ("probability", "against_probability"):
        if fields[name] is None:
            del fields[name]
    predictions = [_renamed(prediction, _KEYS) for prediction in fields["predictions"]]
    return _renamed({**fields, "predictions": predictions}, _KEYS)


def _renamed(fields: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in fields.items()}


def loads(document: str, make: Callable[..., Map], source: str = "this document") -> Map:
    """Read :func:`dumps` back; ``source`` names the document in errors."""
    try:
        data = parsed(document)
    except (ValueError, RecursionError) as error:
        raise SaliencyError(
            f"{source} is damaged or not a saliency map: it is not JSON ({error})."
        ) from error
    return from_document(data, make, source)


def from_document(data: Any, make: Callable[..., Map], source: str) -> Map:
    """Read an untrusted :func:`document` back; refuse anything but a complete and unchanged map."""
    content = opened(data, FORMAT, VERSION, "map", source, "saliency map")
    try:
        return _from_content(content, make)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise SaliencyError(f"{source} is damaged ({type(error).__name__}: {error}).") from error


def check_table_suffix(name: str) -> None:
    """Refuse to save a table under a file name of another format than JSON."""
    check_suffix(
        name,
        "table",
        {
            (*_PICTURES, *_PAGES): "hs.figure(table, mark).savefig('figure.pdf') draws it",
            (*_FRAMES, *_ARRAYS, ".tex"): "table.to_dataframe() gives its columns for pandas to write",
            _PICKLES: "pickle.dump(table, file) pickles it",
        },
    )


def check_suffix(name: str, noun: str, ways: Mapping[tuple[str, ...], str]) -> None:
    """Refuse a file name of another format than JSON; the error suggests the call in ``ways`` for that format."""
    suffix = os.path.splitext(name)[1].lower()
    for suffixes, way in ways.items():
        if suffix in suffixes:
            example = "map" if noun == "heat" else noun
            raise SaliencyError(
                f"save({name!r}) writes JSON, not {suffix}: {way}, and {noun}.save('{example}.json') keeps all of it."
            )


def save(saliency_map: SaliencyMap, path: str | os.PathLike[str]) -> None:
    """Write :func:`dumps` to a file, in one step."""
    name = checked_path(path)
    check_suffix(
        name,
        "heat",
        {
            _PICTURES: f"hs.figure(heat).savefig({name!r}) draws the map",
            _PAGES: f"hs.page(heat, {name!r}) writes a page",
            _FRAMES: "heat.to_dataframe() gives the scores for pandas to write",
            _ARRAYS: "heat.scores is the array",
            _PICKLES: "pickle.dump(heat, file) pickles it",
            (".tex",): "hs.to_latex(heat) gives its text",
        },
    )
    write_file(name, encode(dumps(saliency_map)))


def load(path: str | os.PathLike[str], make: Callable[..., Map]) -> Map:
    """Read a file that :func:`save` wrote."""
    return loaded(read_file(path, LARGEST_DOCUMENT), make, repr(checked_path(path)))


def loaded(data: bytes, make: Callable[..., Map], name: str) -> Map:
    """Read the bytes of such a file; ``name`` is its name in errors."""
    if data.lstrip()[:5].lower().startswith(_FIGURES):
        raise SaliencyError(
            f"{name} is a figure or a page, not a file of SaliencyMap.save: hs.read_maps({name}) reads its maps."
        )
    try:
        document = data.decode()
    except UnicodeDecodeError as error:
        raise SaliencyError(f"{name} is damaged or not a saliency map: it is not UTF-8 text.") from error
    return loads(document, make, name)


def _from_content(content: dict[str, Any], make: Callable[..., Map]) -> Map:
    delta, sums = content["convergence_delta"], content.get("missed_sums")
    tokens = tuple(Token(**_renamed(token, _ATTRIBUTES)) for token in content["tokens"])
    targets = tuple(_read_target(target) for target in content["targets"])
    if content["dtype"] not in ("float32", "float64"):
        raise ValueError(f"{content['dtype']!r} is not a dtype of scores")
    dtype = np.dtype(content["dtype"])
    scores = content["scores"]
    scores = _unpacked(scores, dtype) if isinstance(scores, str) else np.array(scores, dtype=dtype)
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
        missed_sums=None if sums is None else np.array(sums, dtype=np.float64),
    )


def _read_target(fields: dict[str, Any]) -> TargetRow:
    predictions = tuple(Prediction(**_renamed(each, _ATTRIBUTES)) for each in fields["predictions"])
    return TargetRow(**_renamed({**fields, "predictions": predictions}, _ATTRIBUTES))


def _packed(values: np.ndarray) -> str:
    """The numbers row by row, each with its lowest byte first, in base64."""
    return base64.b64encode(values.astype(values.dtype.newbyteorder("<")).tobytes()).decode()


def _unpacked(text: str, dtype: np.dtype[Any]) -> np.ndarray:
    """Read :func:`_packed` back; ValueError if it is damaged."""
    stored = np.frombuffer(base64.b64decode(text, validate=True), dtype=dtype.newbyteorder("<"))
    return stored.astype(dtype)


def _numbers(values: np.ndarray) -> Any:
    """Nested lists of Python floats: the shortest decimals that read back to the same float32 or float64."""
    exact = values.astype(np.float64)
    if values.dtype == np.float64:
        return exact.tolist()
    short = values.astype(str).astype(np.float64)
    # Near the middle of two float32, a decimal such as 7.038531e-26 can round twice and end at the wrong one.
    return np.where(short.astype(values.dtype) == values, short, exact).tolist()
