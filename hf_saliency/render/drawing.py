"""How a figure was drawn, as JSON values in its file's record, and back again."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

import matplotlib as mpl
import matplotlib.style

from hf_saliency.errors import SaliencyError
from hf_saliency.render import marks
from hf_saliency.render.marks import Mark
from hf_saliency.saliency_map import Normalization


def drawing(mark: Mark, width: float, titles: Sequence[str], normalize: Normalization) -> dict[str, Any]:
    """What :func:`hf_saliency.figure` was told, as JSON values.

    Parameters
    ----------
    mark
        A mark of this package is kept by name with its options; another one is not.
    width
        In inches.
    titles
        One for each panel.
    normalize
        The normalisation of rows.

    Returns
    -------
    dict
    """
    kept: dict[str, Any] = {"width": width, "titles": list(titles), "normalize": normalize}
    if known().get(type(mark).__name__) is type(mark):
        options = {f.name: getattr(mark, f.name) for f in dataclasses.fields(mark)}  # type: ignore[arg-type]
        if all(value is None or isinstance(value, (bool, int, float, str)) for value in options.values()):
            kept |= {"mark": type(mark).__name__, "options": options}
    return kept


def known() -> dict[str, type[Mark]]:
    """The marks of this package by name."""
    found: dict[str, type[Mark]] = {name: getattr(marks, name) for name in marks.__all__}
    return {name: kind for name, kind in found.items() if kind is not Mark}


def mark_of(kept: Mapping[str, Any]) -> Mark | None:
    """The mark that :func:`drawing` kept, from any file.

    Parameters
    ----------
    kept
        What a record says.

    Returns
    -------
    Mark or None
        None where the record names none.

    Raises
    ------
    SaliencyError
        For a mark that does not exist, or options that it does not take.
    """
    if "mark" not in kept:
        return None
    options = kept.get("options", {})
    if not isinstance(options, dict):
        raise SaliencyError("this file's record is damaged: the options of its mark are no object.")
    return named(kept["mark"], options)


def named(name: Any, options: Mapping[str, Any]) -> Mark:
    """A mark by its name, in any case, with options by theirs.

    Parameters
    ----------
    name
        Such as ``"highlight"``.
    options
        Such as ``{"words": True}``.

    Returns
    -------
    Mark

    Raises
    ------
    SaliencyError
        For a name or an option that does not exist, or a value of another type.
    """
    kinds = {each.lower(): kind for each, kind in known().items()}
    kind = kinds.get(name.lower()) if isinstance(name, str) else None
    if kind is None:
        raise SaliencyError(f"{name!r} is no mark: choose one of {', '.join(map(repr, kinds))}.")
    fields = {f.name: f.default for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for key, value in options.items():
        if key not in fields:
            raise SaliencyError(f"{kind.__name__} has no option {key!r}: it takes {', '.join(fields)}.")
        if not _fits(value, fields[key]):
            raise SaliencyError(f"{kind.__name__}({key}={value!r}): give a value like {fields[key]!r}.")
    return kind(**options)


def _fits(value: Any, default: Any) -> bool:
    """Whether a value is of the kind of an option's default; sizes are words or numbers."""
    if default is None:
        return value is None or isinstance(value, (bool, int, float, str))
    if isinstance(default, (str, float)) and not isinstance(value, bool):
        return isinstance(value, str) or (isinstance(value, (int, float)) and math.isfinite(value))
    return type(value) is type(default)


def settings_of(kept: Mapping[str, Any], panels: int) -> dict[str, Any]:
    """The other arguments of :func:`hf_saliency.figure` that a record keeps, from any file.

    Parameters
    ----------
    kept
        What a record says; what does not fit is left out.
    panels
        How many maps there are.

    Returns
    -------
    dict
        ``width``, ``title`` and ``normalize``, as far as they are known.
    """
    width, titles, normalize = (kept.get(key) for key in ("width", "titles", "normalize"))
    found: dict[str, Any] = {}
    if type(width) in (int, float) and 0 < width < _WIDEST:  # type: ignore[operator]
        found["width"] = width
    if isinstance(titles, list) and len(titles) == panels and all(isinstance(one, str) for one in titles):
        found["title"] = titles
    if normalize in get_args(Normalization):
        found["normalize"] = normalize
    return found


_WIDEST = 200.0  # inches: the largest page of a PDF file


@contextlib.contextmanager
def styled(style: str | None) -> Iterator[None]:
    """Matplotlib's settings as a style sheet has them, for a while.

    Parameters
    ----------
    style
        A name that Matplotlib knows, or a file; None for the settings as they are.

    Yields
    ------
    None

    Raises
    ------
    SaliencyError
        If there is no such style.
    """
    with mpl.rc_context():
        try:
            matplotlib.style.use(style or {})
        except (OSError, ValueError) as error:
            names = ", ".join(repr(name) for name in matplotlib.style.available if not name.startswith("_"))
            raise SaliencyError(
                f"{style!r} is no style of Matplotlib, such as {names}, and no file."
            ) from error
        yield
