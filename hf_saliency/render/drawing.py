"""Drawing: the arguments of a figure as JSON values in its file, and how to read them back from any file."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast, get_args

from hf_saliency.errors import SaliencyError, one_of
from hf_saliency.maps.reduction import Columns, Normalization
from hf_saliency.render import marks
from hf_saliency.render.layout import Panel
from hf_saliency.render.marks import Mark
from hf_saliency.render.settings import VENUES, installed_family


def drawing(
    panels: Sequence[Panel], normalize: Normalization, width: float | str, **settings: Any
) -> dict[str, Any]:
    """The arguments of :func:`hf_saliency.figure` as JSON values, with the marks' names if all are this package's."""
    kept = {"width": width, "titles": [panel.title for panel in panels], "normalize": normalize, **settings}
    marks = [_record(panel.mark) for panel in panels]
    return kept if None in marks else {**kept, "marks": marks}


def _record(mark: Mark) -> dict[str, Any] | None:
    if known().get(type(mark).__name__) is not type(mark):
        return None
    options = {f.name: getattr(mark, f.name) for f in dataclasses.fields(cast(Any, mark))}
    plain = all(value is None or isinstance(value, (bool, int, float, str)) for value in options.values())
    return {"name": type(mark).__name__, "options": options} if plain else None


def known() -> dict[str, type[Mark]]:
    """The marks of this package by name."""
    kinds: dict[str, Any] = {name: getattr(marks, name) for name in marks.__all__}
    return {name: kind for name, kind in kinds.items() if _has_defaults(kind) and issubclass(kind, Mark)}


def _has_defaults(kind: Any) -> bool:
    """Whether a class is a dataclass that needs no arguments; Difference is excluded, since it needs another map."""
    missing = dataclasses.MISSING
    return dataclasses.is_dataclass(kind) and all(f.default is not missing for f in dataclasses.fields(kind))


def marks_of(kept: Mapping[str, Any]) -> list[Mark] | None:
    """The marks in a record of :func:`drawing`, from any file; None if it names none. Refuses unknown marks."""
    entries = kept.get("marks")
    if entries is None:
        return None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise SaliencyError("this file's record is damaged: its marks are not a list of objects.")
    options = [entry.get("options", {}) for entry in entries]
    if not all(isinstance(entry, dict) for entry in options):
        raise SaliencyError("this file's record is damaged: the options of a mark are not an object.")
    return [named(entry.get("name"), arguments) for entry, arguments in zip(entries, options, strict=True)]


def named(name: Any, options: Mapping[str, Any]) -> Mark:
    """Make a mark from its name (in upper or lower case) and its options; refuses unknown names and wrong types."""
    kinds = {each.lower(): kind for each, kind in known().items()}
    kind = kinds[one_of(name.lower() if isinstance(name, str) else name, kinds, "mark")]
    fields = {f.name: f.default for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for key, value in options.items():
        if key not in fields:
            raise SaliencyError(f"{kind.__name__} has no option {key!r}: it takes {', '.join(fields)}.")
        if not _fits(value, fields[key]):
            raise SaliencyError(f"{kind.__name__}({key}={value!r}): give a value like {fields[key]!r}.")
    return kind(**options)


def changed(mark: Mark, options: Mapping[str, Any]) -> Mark:
    """A copy of a mark of this package with other options, checked as in :func:`named`."""
    old = _record(mark)
    assert old is not None
    return named(old["name"], {**old["options"], **options})


def _fits(value: Any, default: Any) -> bool:
    """Whether a value has the type of an option's default; a size may be a word or a number."""
    if default is None:
        return value is None or isinstance(value, (bool, int, float, str))
    if isinstance(default, (str, float)) and not isinstance(value, bool):
        return isinstance(value, str) or (isinstance(value, (int, float)) and math.isfinite(value))
    return type(value) is type(default)


def settings_of(kept: Mapping[str, Any], panels: int) -> dict[str, Any]:
    """The other arguments of :func:`hf_saliency.figure` in a record, from any file; invalid values are left out.

    If ``height`` is among them, they are arguments of :func:`hf_saliency.sheets`. ``panels`` is the number of maps.
    """
    kept = dict(kept)
    if type(kept.get("columns")) is int:  # in older files, columns= has the meaning of ncols=
        kept["ncols"] = kept.pop("columns")
    if kept.get("scale") == "own":
        kept["scale"] = "separate"
    titles = kept.get("titles")
    fits = (
        isinstance(titles, list) and len(titles) == panels and all(isinstance(entry, str) for entry in titles)
    )
    arguments: dict[str, Any] = {"title": titles} if fits else {}
    for key, check in _SETTINGS.items():
        if key in kept and check(kept[key]):
            arguments[key] = kept[key]
    return arguments


def _length(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value < _WIDEST


def _installed(value: Any) -> bool:
    """Whether a record's font family is installed; if not, the figure uses the family of rcParams."""
    try:
        return type(value) is str and bool(installed_family(value))
    except SaliencyError:
        return False


_WIDEST = 200.0  # inches: the largest page of a PDF file
_SETTINGS: dict[str, Callable[[Any], bool]] = {
    "width": lambda value: _length(value) or value in list(VENUES),
    "height": _length,
    "normalize": lambda value: value in get_args(Normalization),
    "scale": lambda value: value in ("shared", "separate"),
    "columns": lambda value: value in get_args(Columns),
    "ncols": lambda value: type(value) is int and 0 < value < 100,
    "around": lambda value: type(value) is int and value >= 0,
    "agreement": lambda value: type(value) is bool,
    "suptitle": lambda value: type(value) is str,
    "font": _installed,
}
