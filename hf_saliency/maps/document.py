"""Write a SaliencyMap as one JSON document and read it back: versioned, with a digest, exact to the last bit."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from hf_saliency.errors import SaliencyError
from hf_saliency.maps import storage
from hf_saliency.maps.fields import Prediction, TargetRow
from hf_saliency.maps.spans import Token

if TYPE_CHECKING:
    from hf_saliency.maps.saliency_map import SaliencyMap

Map = TypeVar("Map")
"""`make` in this module is the constructor `SaliencyMap`, handed in so that the map may import this module."""

FORMAT = "hf_saliency.SaliencyMap"
VERSION = 1

_PICTURES = (".png", ".pdf", ".svg", ".svgz", ".eps", ".ps", ".pgf", ".jpg", ".tif", ".webp")
_PAGES = (".html", ".htm")
_FIGURES = (b"%pdf", b"\x89png", b"\x1f\x8b", b"<")  # lower case; how files begin that `read_maps` reads

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
        "scores": [storage.json_safe(row) for row in _numbers(saliency_map.scores)],
        "convergence_delta": None if delta is None else storage.json_safe(_numbers(delta)),
    }
    if saliency_map.missed_sums is not None:
        content["missed_sums"] = storage.json_safe(_numbers(saliency_map.missed_sums))
    return storage.envelope(FORMAT, VERSION, "map", content)


def head(saliency_map: SaliencyMap) -> dict[str, Any]:
    """All of a map but its arrays, as JSON values; NaN and infinity are the strings that ``float`` reads.

    What later releases added is there only where it says something, so that other files stay what they were.
    """
    fields = storage.json_safe(
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
    """A target's fields; its positions only where they are several, probabilities only where they are known."""
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
        data = storage.parsed(document)
    except (ValueError, RecursionError) as error:
        raise SaliencyError(f"{source} is damaged or no saliency map: it is not JSON ({error}).") from error
    return from_document(data, make, source)


def from_document(data: Any, make: Callable[..., Map], source: str) -> Map:
    """Read :func:`document` back, from anyone: anything but a map, whole and unchanged, is refused."""
    content = storage.opened(data, FORMAT, VERSION, "map", source, "saliency map")
    try:
        return _from_content(content, make)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise SaliencyError(f"{source} is damaged ({type(error).__name__}: {error}).") from error


def save(saliency_map: SaliencyMap, path: str | os.PathLike[str]) -> None:
    """Write :func:`dumps` to a file, in one step."""
    name = storage.checked_path(path)
    suffix = os.path.splitext(name)[1].lower()
    if suffix in _PICTURES:
        raise SaliencyError(
            f"save({name!r}) writes JSON, not {suffix}: hs.figure(heat).savefig({name!r}) draws the map, and "
            "heat.save('map.json') keeps it."
        )
    if suffix in _PAGES:
        raise SaliencyError(
            f"save({name!r}) writes JSON, which no browser shows: hs.page(heat, {name!r}) writes a page, and "
            "heat.save('map.json') keeps the map."
        )
    storage.write_file(name, storage.encode(dumps(saliency_map)))


def load(path: str | os.PathLike[str], make: Callable[..., Map]) -> Map:
    """Read a file that :func:`save` wrote."""
    name = repr(storage.checked_path(path))
    data = storage.read_file(path, storage.LARGEST_DOCUMENT)
    if data.lstrip()[:5].lower().startswith(_FIGURES):
        raise SaliencyError(
            f"{name} is a figure or a page, not a file of SaliencyMap.save: hs.read_maps({name}) reads its maps."
        )
    try:
        document = data.decode()
    except UnicodeDecodeError as error:
        raise SaliencyError(f"{name} is damaged or no saliency map: it is not UTF-8 text.") from error
    return loads(document, make, name)


def _from_content(content: dict[str, Any], make: Callable[..., Map]) -> Map:
    delta, sums = content["convergence_delta"], content.get("missed_sums")
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
        missed_sums=None if sums is None else np.array(sums, dtype=np.float64),
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
