"""Read and write files safely: whole or not at all, within bounds, JSON without pickle.

Maps, tables, figures and pages all write through :func:`write_file`, so that a full disk, a limit on file sizes or
Ctrl-C leaves the old file as it was.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hf_saliency.errors import SaliencyError

LARGEST_DOCUMENT = 2**30
"""Bytes of a JSON file; larger ones are neither written nor read."""

_DEEPEST = 64  # lists within lists; a map needs five, and a method's arguments a few more
_MOST_OBJECTS = 500_000  # lists and dictionaries; a map has one for each token, target and prediction


def checked_path(path: object) -> str:
    """A path as a string; anything but a string or an ``os.PathLike`` of one is refused."""
    try:
        name = os.fspath(path)  # type: ignore[call-overload]
    except TypeError:
        name = None
    if not isinstance(name, str):
        raise SaliencyError(
            f"a path is a string or a pathlib.Path, not {type(path).__name__}: 'map.json', say."
        )
    return str(name)


def write_file(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file in one step: readers see the old file or the new one, and after an error the old one is there.

    An existing file keeps its permissions, and a link still points to it afterwards. Anything but a regular file,
    such as a pipe or ``/dev/stdout``, is written directly.

    Parameters
    ----------
    path
        Where to write.
    data
        The whole content.

    Raises
    ------
    SaliencyError
        If the path cannot be written: no such folder, no permission, no space left.
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
        # Exclusive, and with the permissions that any new file gets.
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
    """The content of a file of at most ``largest`` bytes."""
    name = checked_path(path)
    try:
        with open(name, "rb") as file:
            data = file.read(largest + 1)
    except (OSError, ValueError) as error:
        raise SaliencyError(f"cannot read {name!r}: {_reason(error)}.") from error
    if len(data) > largest:
        raise SaliencyError(f"{name!r} is larger than {largest // 2**20} MiB, more than this package writes.")
    return data


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _check_depth(content: Any) -> None:
    """ValueError if lists and objects are nested too deep."""
    # How deep Python's own parser and encoder go depends on its version.
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
    """UTF-8 of a document that fits into a file."""
    try:
        data = document.encode()
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise SaliencyError(f"the map holds {half!r}, half a character, which no file can hold.") from error
    if len(data) > LARGEST_DOCUMENT:
        raise SaliencyError(
            f"this needs {len(data) >> 20} MiB of JSON, more than the {LARGEST_DOCUMENT >> 20} MiB of one file: "
            "save fewer targets, such as heat.select(slice(0, 100)).save(path)."
        )
    return data


def parsed(text: str) -> Any:
    """JSON without repeated keys and NaN; ValueError or RecursionError for anything else, or for too many objects."""
    # Counted before parsing: a few kilobytes can unpack to gigabytes of empty dictionaries.
    if text.count("{") + text.count("[") > _MOST_OBJECTS:
        raise ValueError(f"it holds more than {_MOST_OBJECTS} lists and objects")
    return json.loads(text.removeprefix("\ufeff"), object_pairs_hook=_unique, parse_constant=_no_constant)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a key occurs twice")
    return fields


def _no_constant(name: str) -> Any:
    raise ValueError(f"JSON has no {name}")


def envelope(format: str, version: int, name: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """Content with its format, version and SHA-256."""
    return {"format": format, "version": version, "sha256": digest(content), name: content}


def opened(data: Any, format: str, version: int, name: str, source: str, noun: str) -> Any:
    """The content of an :func:`envelope` from anyone; one that is damaged or too new is refused."""
    if not isinstance(data, dict) or data.get("format") != format:
        raise SaliencyError(f"{source} is no {noun}: it lacks the mark {format!r}.")
    number = data.get("version")
    if type(number) is not int or number < 1:
        raise SaliencyError(f"{source} is damaged: {number!r} is no version of the format.")
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
    """SHA-256 of JSON values, whatever their order and white space."""
    canonical = json.dumps(content, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def json_safe(value: Any) -> Any:
    """The value with NaN and infinity, which JSON does not have, as the strings that ``float`` reads."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, dict):
        return {key: json_safe(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_safe(item) for item in value]
    return value
