"""Record: what a figure's file says about the maps that it shows, as one line of text.

The line is JSON, compressed and in base64, so that it fits into any format's metadata and is the same on every
run. It may come back from a stranger's file: nothing in it is trusted.
"""

from __future__ import annotations

import base64
import binascii
import functools
import json
import reprlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

from hf_saliency import storage
from hf_saliency.errors import SaliencyError
from hf_saliency.saliency_map import SaliencyMap

FORMAT = "hf_saliency.Record"
VERSION = 1
KEY = "hf_saliency"
"""The name under which PDF, PNG, SVG and HTML files carry the line."""

Provenance = Literal["map", "recipe", "none"]
"""How much a file carries: the maps themselves; how they were made, without text and scores; or nothing."""

_PREFIX = "zlib,base64,"
_LARGEST = 64 * 2**20  # characters of JSON: a map of 2000 x 2000


@dataclass(frozen=True, eq=False)
class Record:
    """What a file carries.

    Parameters
    ----------
    maps
        The maps drawn, in the order of the panels; none where text and scores were left out.
    drawing
        How they were drawn, as JSON values. From a file it is as trustworthy as that file.
    instead
        The recipes of maps that were left out.
    """

    maps: tuple[SaliencyMap, ...]
    drawing: Mapping[str, Any] = field(default_factory=dict)
    instead: tuple[Mapping[str, Any], ...] = ()

    @functools.cached_property
    def recipes(self) -> tuple[Mapping[str, Any], ...]:
        """For each panel how its map was made, as :func:`recipe` says."""
        return self.instead or tuple(recipe(one) for one in self.maps)

    def bare(self) -> Record:
        """The record without texts and scores, and without titles, which may quote the text."""
        drawing = {key: value for key, value in self.drawing.items() if key != "titles"}
        return Record((), drawing, self.recipes)


def recipe(saliency_map: SaliencyMap) -> dict[str, Any]:
    """How a map was made, and a digest to recognise it by, without any part of its text and scores.

    Parameters
    ----------
    saliency_map
        The map.

    Returns
    -------
    dict
        JSON values: ``sha256`` as in the map's own file, ``method``, ``arguments``, ``signed``, ``units``,
        ``shape`` (targets, tokens) and ``provenance``. A string in the arguments that could be a text, such as
        a baseline, is left out.
    """
    document = storage.document(saliency_map)
    content = document["map"]
    return {
        "sha256": document["sha256"],
        "method": content["method"],
        "arguments": {key: _named(value, key) for key, value in content["arguments"].items()},
        "signed": content["signed"],
        "dtype": content["dtype"],
        "units": sorted({target["unit"] for target in content["targets"]}),
        "shape": list(saliency_map.scores.shape),
        "provenance": content["provenance"],
    }


def _named(value: Any, key: str) -> Any:
    """A value of which every string is a name of this library's: words joined by underscores, or a number."""
    if isinstance(value, dict):
        return {name: _named(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [_named(inner, key) for inner in value]
    if not isinstance(value, str) or value in ("inf", "-inf", "nan"):
        return value
    is_name = value.endswith("_embedding") if key == "baseline" else value.isidentifier() and value.islower()
    return value if is_name else "(left out)"


def checked(provenance: str) -> Provenance:
    """The word, if it says how much a file carries."""
    if provenance not in get_args(Provenance):
        raise SaliencyError(f"provenance={provenance!r}: choose 'map', 'recipe' or 'none'.")
    return cast(Provenance, provenance)


def dumps(record: Record, provenance: Provenance = "map") -> str:
    """The record as one line of ASCII; maps too large for it are left out, as ``"recipe"`` does.

    Parameters
    ----------
    record
        What is carried.
    provenance
        ``"map"`` or ``"recipe"``.

    Returns
    -------
    str
        Empty for ``"none"``.
    """
    if provenance == "none":
        return ""
    if provenance == "recipe":
        record = record.bare()
    text = json.dumps(
        {
            "format": FORMAT,
            "version": VERSION,
            "maps": [storage.document(one) for one in record.maps],
            "recipes": list(record.recipes),
            "drawing": dict(record.drawing),
        },
        sort_keys=True,
        separators=(",", ":"),
    )
    if len(text) > _LARGEST and record.maps:
        return dumps(record, "recipe")
    return _PREFIX + base64.b64encode(zlib.compress(text.encode(), 9)).decode()


def loads(line: str, source: str) -> Record:
    """Read :func:`dumps` back, from anyone.

    Parameters
    ----------
    line
        What the file carries.
    source
        The file's name, for errors.

    Returns
    -------
    Record

    Raises
    ------
    SaliencyError
        If the line is damaged, forged or too large.
    """
    try:
        data = storage.parsed(_inflated(line).decode())
    except (ValueError, RecursionError, zlib.error, binascii.Error) as error:
        raise SaliencyError(f"what {source} carries is damaged ({_first_line(error)}).") from error
    if not isinstance(data, dict) or data.get("format") != FORMAT or type(data.get("version")) is not int:
        raise SaliencyError(f"what {source} carries is no record of saliency maps.")
    if data["version"] > VERSION:
        raise SaliencyError(
            f"what {source} carries has version {data['version']} of the format, newer than the {VERSION} that "
            "this release reads: upgrade hf-saliency."
        )
    maps, recipes, drawing = (data.get(key) for key in ("maps", "recipes", "drawing"))
    if not isinstance(maps, list) or not isinstance(recipes, list) or not isinstance(drawing, dict):
        raise SaliencyError(f"what {source} carries is damaged: it lacks maps, recipes or drawing.")
    if maps:  # recipes follow from maps, so that one cannot contradict the other
        return Record(tuple(storage.from_document(one, f"a map in {source}") for one in maps), drawing)
    if not recipes or not all(isinstance(one, dict) for one in recipes):
        raise SaliencyError(f"what {source} carries is damaged: it names no map.")
    return Record((), drawing, tuple(recipes))


def _inflated(line: str) -> bytes:
    if not line.startswith(_PREFIX):
        raise ValueError(f"it starts with {reprlib.repr(line)}")
    packed = base64.b64decode(line.removeprefix(_PREFIX), validate=True)
    inflater = zlib.decompressobj()
    text = inflater.decompress(packed, _LARGEST + 1)
    if len(text) > _LARGEST:
        raise ValueError(f"it holds more than {_LARGEST // 2**20} MiB")
    if not inflater.eof:
        raise ValueError("it ends too early")
    return text


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
