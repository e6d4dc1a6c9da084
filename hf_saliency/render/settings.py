"""Settings: the sizes of printed pages, and Matplotlib's rcParams while a figure is drawn, by one thread at a time."""

from __future__ import annotations

import contextlib
import difflib
import numbers
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import matplotlib as mpl
import matplotlib.style
from matplotlib.font_manager import fontManager

from hf_saliency.errors import SaliencyError

# rcParams belong to the process: two threads that change and restore them would undo each other's changes.
_drawing = threading.RLock()
if hasattr(os, "register_at_fork"):  # a child must not inherit a lock that none of its threads will release
    os.register_at_fork(
        before=_drawing.acquire, after_in_parent=_drawing.release, after_in_child=_drawing.release
    )


@contextlib.contextmanager
def settings(changes: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Change some of Matplotlib's settings while a figure is drawn; changes to the others meanwhile are kept."""
    with _drawing:
        params = cast(dict[str, Any], mpl.rcParams)
        before = {key: params[key] for key in changes or {}}
        try:
            params.update(changes or {})
            yield
        finally:
            params.update(before)


@contextlib.contextmanager
def styled(style: str | None) -> Iterator[None]:
    """Apply a Matplotlib style sheet within the context; None leaves the settings unchanged."""
    with settings(), mpl.rc_context():
        try:
            matplotlib.style.use(style or {})
        except (OSError, ValueError) as error:
            names = ", ".join(repr(name) for name in matplotlib.style.available if not name.startswith("_"))
            raise SaliencyError(
                f"{style!r} is neither a style of Matplotlib, such as {names}, nor a file."
            ) from error
        yield


_CENTIMETRE = 1 / 2.54


@dataclass(frozen=True)
class Venue:
    """The room for a figure on a page."""

    width: float  # of a column, or of the text, in inches
    height: float  # of a column, or of the text, in inches
    # The base font size in points, instead of rcParams["font.size"]. Text is set in "small", five sixths of it.
    fontsize: float
    source: str  # of these numbers


_ACL = "acl.sty: A4, margin=2.5cm, columnsep 0.6cm"
_ICML = "icml2025.sty: textwidth 6.75in, columnsep 0.25in, textheight 9in"
_NEURIPS = "neurips_2026.sty: textwidth=5.5in, textheight=9in"
_ICLR = "iclr2025_conference.sty: textwidth 5.5in, textheight 9in"
_COLM = "colm2025_conference.sty: textwidth 5.5in, textheight 9in"
_AAAI = "aaai25.sty: textwidth 7in, columnsep 0.375in, textheight 9in"
_SLIDE = "PowerPoint's widescreen slide, 13.333 x 7.5in, less the margins of its content placeholder"

_TYPE = 9.0  # so that text has 7.5 points, a size below a caption's

_ACL_COLUMN = Venue((16 - 0.6) / 2 * _CENTIMETRE, 24.7 * _CENTIMETRE, _TYPE, _ACL)
_ACL_PAGE = Venue(16 * _CENTIMETRE, 24.7 * _CENTIMETRE, _TYPE, _ACL)
# Conferences and a journal that print in acl.sty's columns.
_SAME_STYLE = ("acl", "eacl", "emnlp", "naacl", "tacl")

_VENUES = {
    "aaai": Venue((7 - 0.375) / 2, 9.0, _TYPE, _AAAI),
    "aaai-2col": Venue(7.0, 9.0, _TYPE, _AAAI),
    **dict.fromkeys(_SAME_STYLE, _ACL_COLUMN),
    **{f"{name}-2col": _ACL_PAGE for name in _SAME_STYLE},
    "colm": Venue(5.5, 9.0, _TYPE, _COLM),
    "iclr": Venue(5.5, 9.0, _TYPE, _ICLR),
    "icml": Venue((6.75 - 0.25) / 2, 9.0, _TYPE, _ICML),
    "icml-2col": Venue(6.75, 9.0, _TYPE, _ICML),
    "neurips": Venue(5.5, 9.0, _TYPE, _NEURIPS),
    "slide": Venue(11.5, 4.76, 20.0, _SLIDE),
}
VENUES = dict(sorted(_VENUES.items()))


def inches(width: float | str | None, default: float) -> float:
    """A width in inches from the user's argument: a number, the name of a venue, or None for the default."""
    if width is None:
        return float(default)
    if isinstance(width, str):
        return _venue(width).width
    return length(width, "width")


def height_of(width: float | str | None, height: float | None) -> float:
    """The height of a page in inches, from the user's arguments for width and height."""
    if height is not None:
        return length(height, "height")
    return _venue(width).height if isinstance(width, str) else float(mpl.rcParams["figure.figsize"][1])


def length(value: Any, name: str) -> float:
    """Check that a length is a positive number, Python's or NumPy's, and return it."""
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not real or not 0 < float(value) < float("inf"):
        also = f", or a venue: {_names()}" if name == "width" else ""
        unit = "a number" if name == "limit" else "inches"
        call = f"{name}=0.5" if name in ("labels", "field") else f"figure(..., {name}=3.25)"
        raise SaliencyError(f"{name}={value!r}: give {unit} above 0, such as {call}{also}.")
    return float(value)


@contextlib.contextmanager
def type_size(width: float | str | None, font: str | None = None) -> Iterator[None]:
    """Use the venue's font size and the requested font family within the context, then restore rcParams."""
    changes: dict[str, Any] = {"font.size": _venue(width).fontsize} if isinstance(width, str) else {}
    if font is not None:
        changes["font.family"] = [installed_family(font)]
    with settings(changes):
        yield


# Faces that go with Times and that PDF files can embed as text; the last one comes with Matplotlib.
_SERIF = ("Times New Roman", "Tinos", "Liberation Serif", "FreeSerif", "STIXGeneral")
_GENERIC = ("sans-serif", "monospace")  # as rcParams have them


def installed_family(font: Any) -> str:
    """The font family for the user's argument: ``"serif"`` selects an installed face that goes with Times."""
    names = {entry.name for entry in fontManager.ttflist}
    if font == "serif":
        # A font list that another program wrote may lack all of them; Matplotlib's own choice is a serif face, too.
        return next((name for name in _SERIF if name in names), "serif")
    if font in _GENERIC or font in names:
        return str(font)
    near = difflib.get_close_matches(str(font), sorted(names), n=3) or sorted(names)[:3]
    raise SaliencyError(
        f"font={font!r} is not installed: choose 'serif', 'sans-serif', 'monospace' or a family that Matplotlib lists, "
        f"such as {', '.join(map(repr, near))}."
    )


def _venue(name: str) -> Venue:
    if name not in VENUES:
        raise SaliencyError(
            f"width={name!r} is not a known venue: give inches, such as figure(..., width=3.25), or one "
            f"of {_names()}."
        )
    return VENUES[name]


def _names() -> str:
    return ", ".join(map(repr, VENUES))
