"""Attachment: the maps that a figure's file carries, as one line of text.

The line is compressed JSON in base64, so that it fits into the metadata of any format and is the same on every
run. It may come back from a stranger's file, so nothing in it is trusted.
"""

from __future__ import annotations

import base64
import binascii
import functools
import io
import json
import re
import reprlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast, get_args
from xml.parsers import expat

from hf_saliency.errors import SaliencyError, checks_call
from hf_saliency.maps import storage
from hf_saliency.maps.saliency_map import SaliencyMap

FORMAT = "hf_saliency.Record"
VERSION = 1
KEY = "hf_saliency"
"""The name under which PDF, PNG, SVG and HTML files carry the line."""

Provenance = Literal["map", "recipe", "none"]
"""How much a file carries: the maps themselves; only how they were made, without text and scores; or nothing."""

_PREFIX = "zlib,base64,"
_LARGEST = 64 * 2**20  # characters of JSON: a map of 2000 x 2000


@dataclass(frozen=True, eq=False)
class Attachment:
    """The content of a file: its maps and how they were drawn."""

    maps: tuple[SaliencyMap, ...]  # in the order of the panels; empty if text and scores were left out
    # JSON values; only as trustworthy as the file that they were read from.
    drawing: Mapping[str, Any] = field(default_factory=dict)
    instead: tuple[Mapping[str, Any], ...] = ()  # the recipes of maps that were left out

    @functools.cached_property
    def recipes(self) -> tuple[Mapping[str, Any], ...]:
        """How the map of each panel was made, as :func:`recipe` returns it."""
        return self.instead or tuple(recipe(whole) for whole in self.documents)

    @functools.cached_property
    def documents(self) -> tuple[dict[str, Any], ...]:
        """The maps as JSON values."""
        return tuple(storage.document(heat) for heat in self.maps)

    def bare(self) -> Attachment:
        """The attachment without texts and scores, and without titles, which may quote the text."""
        drawing = {key: value for key, value in self.drawing.items() if key != "titles"}
        return Attachment((), drawing, self.recipes)


def recipe(whole: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a map was made and a digest that identifies it, without any part of its text and scores.

    ``whole`` is the map's document. Strings in the arguments that could be a text, such as a baseline, are left out.
    """
    content = whole["map"]
    return {
        "sha256": whole["sha256"],
        "method": content["method"],
        "arguments": {key: _named(value, key) for key, value in content["arguments"].items()},
        "signed": content["signed"],
        "dtype": content["dtype"],
        "units": sorted({target["unit"] for target in content["targets"]}),
        "shape": [len(content["targets"]), len(content["tokens"])],
        "provenance": content["provenance"],
    }


def _named(value: Any, key: str) -> Any:
    """Leave out every string of a value that is neither a name of this library (``"words_like_this"``) nor a number."""
    if isinstance(value, dict):
        return {name: _named(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [_named(inner, key) for inner in value]
    if not isinstance(value, str) or value in ("inf", "-inf", "nan"):
        return value
    is_name = value.endswith("_embedding") if key == "baseline" else value.isidentifier() and value.islower()
    return value if is_name else "(left out)"


def checked(provenance: str) -> Provenance:
    """Return ``provenance``; raise an error if it is not one of the three words."""
    if provenance not in get_args(Provenance):
        raise SaliencyError(f"provenance={provenance!r}: choose 'map', 'recipe' or 'none'.")
    return cast(Provenance, provenance)


def dumps(attachment: Attachment, provenance: Provenance = "map") -> str:
    """Write the attachment as one line of ASCII, empty for ``"none"``; maps that are too large become recipes."""
    if provenance == "none":
        return ""
    if provenance == "recipe":
        attachment = attachment.bare()
    text = json.dumps(
        {
            "format": FORMAT,
            "version": VERSION,
            "maps": attachment.documents,
            "recipes": list(attachment.recipes),
            "drawing": dict(attachment.drawing),
        },
        sort_keys=True,
        separators=(",", ":"),
    )
    if len(text) > _LARGEST and attachment.maps:
        return dumps(attachment, "recipe")
    return _PREFIX + base64.b64encode(zlib.compress(text.encode())).decode()


def loads(line: str, source: str) -> Attachment:
    """Read a line of :func:`dumps` from an untrusted file, which errors call ``source``.

    A damaged, forged or too large line is refused.
    """
    try:
        data = storage.parsed(_inflated(line).decode())
    except (ValueError, RecursionError, zlib.error, binascii.Error) as error:
        raise SaliencyError(f"the saliency maps in {source} are damaged ({_first_line(error)}).") from error
    if not isinstance(data, dict) or data.get("format") != FORMAT or type(data.get("version")) is not int:
        raise SaliencyError(f"{source} contains no saliency maps.")
    if data["version"] > VERSION:
        raise SaliencyError(
            f"the saliency maps in {source} have version {data['version']} of the format, newer than {VERSION}, which "
            "this release reads: upgrade hf-saliency."
        )
    maps, recipes, drawing = (data.get(key) for key in ("maps", "recipes", "drawing"))
    if not isinstance(maps, list) or not isinstance(recipes, list) or not isinstance(drawing, dict):
        raise SaliencyError(
            f"the saliency maps in {source} are damaged: maps, recipes or the drawing are missing."
        )
    if maps:  # the recipes are made from the maps, so that the two cannot contradict each other
        return Attachment(
            tuple(storage.from_document(panel, SaliencyMap, f"a map in {source}") for panel in maps), drawing
        )
    if not recipes or not all(isinstance(panel, dict) for panel in recipes):
        raise SaliencyError(f"the saliency maps in {source} are damaged: they name no map.")
    return Attachment((), drawing, tuple(recipes))


def _inflated(line: str) -> bytes:
    if not line.startswith(_PREFIX):
        raise ValueError(f"it starts with {reprlib.repr(line)}")
    if len(line) > 2 * _LARGEST:  # data that cannot be compressed is 4/3 as long in base64
        raise ValueError(f"it holds more than {_LARGEST // 2**20} MiB")
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


_LARGEST_FILE = 256 * 2**20  # bytes of a file, compressed or unpacked
# The element exactly as a page writes it. An HTML parser would find no more, and Python's are slow on hostile files.
_IN_HTML = re.compile(rb'<script type="application/json" id="%s">([A-Za-z0-9+/=,]*)</script>' % KEY.encode())


@checks_call
def read_maps(path: str | Path) -> list[SaliencyMap]:
    """Read the maps that a figure or a page carries, or the one map in a file of :meth:`SaliencyMap.save`.

    Parameters
    ----------
    path
        A PDF, PNG, SVG, SVGZ, HTML or JSON file that this package wrote.

    Returns
    -------
    list of SaliencyMap
        In the order of the panels. A figure of some ``targets`` carries only these.

    Raises
    ------
    SaliencyError
        If the file carries no maps (``provenance="none"`` or ``"recipe"``), or is damaged or forged.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> heat = hs.Explainer(*hs.load_demo())("the formal study of grammar is important")
    >>> hs.figure(heat, width=3.25).savefig("figure.pdf")
    >>> hs.read_maps("figure.pdf") == [heat]
    True
    """
    attachment = read(path)
    if not attachment.maps:
        raise SaliencyError(
            f"{str(path)!r} was written with provenance='recipe' and carries no text and no scores: "
            "nothing can be drawn from it."
        )
    return list(attachment.maps)


def read(path: str | Path) -> Attachment:
    """Read the attachment that a file carries; refuse a file without one, or a damaged or forged one.

    The first bytes determine the kind of file, not its name.
    """
    name = repr(storage.checked_path(path))
    data = storage.read_file(path, _LARGEST_FILE)
    start = data[:1024].removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"{"):
        return Attachment((storage.loaded(data, SaliencyMap, name),))  # a pipe can be read only once
    for mark, kind, carried in _KINDS:
        if mark.match(start):
            line = carried(data, name)
            if line is None:
                raise SaliencyError(
                    f"{name} is {kind} file that carries no saliency map: figures and pages of this package do, "
                    "unless they were written with provenance='none' or another program saved them again."
                )
            return loads(line, name)
    raise SaliencyError(
        f"{name} is not a file that carries saliency maps: give a PDF, PNG, SVG, HTML or JSON file."
    )


_LINES = ((b"\n", 20_000_000, "lines"), (b"\r", 20_000_000, "lines"))


def _check_counts(data: bytes, name: str, bounds: Sequence[tuple[bytes, int, str]]) -> None:
    """Before parsing, refuse a file with more lines, tags or other marks than any figure has."""
    for mark, most, noun in bounds:
        if data.count(mark) > most:
            raise SaliencyError(f"{name} has more than {most:,} {noun}, more than any figure.")


class _TooManyReads(BaseException):  # a parser swallows an Exception
    """Raised when a parser reads without end."""


class _FewReads(io.BytesIO):
    """A file in memory that allows ``left`` reads; a parser needs one for each entry of a reference table."""

    left = 1_000_000

    def read(self, size: int | None = -1, /) -> bytes:
        self.left -= 1
        if self.left < 0:
            raise _TooManyReads
        return super().read(size)


def _of_pdf(data: bytes, name: str) -> str | None:
    import pypdf

    _check_counts(data, name, ((b"obj", 1_000_000, "objects"), *_LINES))
    try:
        info = pypdf.PdfReader(_FewReads(data)).metadata
        value = None if info is None else info.get(f"/{KEY}")
        return None if value is None else str(value)
    except _TooManyReads as error:
        raise SaliencyError(f"{name} is a PDF file with more references than any figure.") from error
    except Exception as error:  # on a damaged file pypdf may raise anything
        raise SaliencyError(f"{name} is a damaged PDF file ({type(error).__name__}: {error}).") from error


_MOST_CHUNKS = 10_000  # before the pixels of a PNG file; this package writes a handful


def _of_png(data: bytes, name: str) -> str | None:
    from PIL import Image

    place = len(b"\x89PNG\r\n\x1a\n")
    for _ in range(_MOST_CHUNKS):
        length, kind = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        if kind in (b"IDAT", b"IEND", b""):
            break
        place += length + 12
    else:
        raise SaliencyError(
            f"{name} has more than {_MOST_CHUNKS:,} chunks before its pixels, more than any figure."
        )
    try:  # opened but never decoded: no pixels are allocated, however large the image claims to be
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            value = image.info.get(KEY)
            return value if isinstance(value, str) else None
    except Exception as error:  # OSError, SyntaxError, ValueError, DecompressionBombError, ...
        raise SaliencyError(f"{name} is a damaged PNG file ({type(error).__name__}: {error}).") from error


# The marks in an SVG file that are counted before it is parsed, the most that a figure has of each, and their names.
_IN_SVG = (
    (b"<", 5_000_000, "tags"),
    (b"=", 20_000_000, "attributes"),
    (b"&", 5_000_000, "references"),
    *_LINES,
)
_MANY_ATTRIBUTES = re.compile(rb"<[^<=]*+(?:=[^<=]*+){1000}")  # in one tag


def _of_svg(data: bytes, name: str) -> str | None:
    """The text of the element ``<metadata id="hf_saliency">``. Declarations are refused: they can be entity bombs."""
    pieces: list[str] = []

    def start(tag: str, attributes: dict[str, str]) -> None:
        inside = tag.rpartition(":")[2] == "metadata" and attributes.get("id") == KEY
        parser.CharacterDataHandler = pieces.append if inside else None

    def end(tag: str) -> None:
        parser.CharacterDataHandler = None

    def declaration(*declared: object) -> None:
        raise ValueError("it declares entities or attributes")

    _check_counts(data, name, _IN_SVG)
    if _MANY_ATTRIBUTES.search(data):
        raise SaliencyError(f"{name} has a tag of 1,000 attributes, which no figure has.")
    parser = expat.ParserCreate()
    parser.buffer_text = True  # fewer calls, each with many lines
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.EntityDeclHandler = parser.AttlistDeclHandler = declaration
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, ValueError) as error:
        raise SaliencyError(f"{name} is a damaged SVG file ({error}).") from error
    return "".join(pieces).strip() or None


def _of_svgz(data: bytes, name: str) -> str | None:
    inflater = zlib.decompressobj(wbits=31)  # gzip
    try:
        text = inflater.decompress(data, _LARGEST_FILE + 1)
    except zlib.error as error:
        raise SaliencyError(f"{name} is a damaged gzip file ({error}).") from error
    if len(text) > _LARGEST_FILE or not inflater.eof:
        raise SaliencyError(f"{name} is a gzip file that ends too early or unpacks to more than any figure.")
    return _of_svg(text, name)


def _of_html(data: bytes, name: str) -> str | None:
    match = _IN_HTML.search(data)
    return match.group(1).decode() if match else None


_KINDS: tuple[tuple[re.Pattern[bytes], str, Callable[[bytes, str], str | None]], ...] = (
    (re.compile(rb"%PDF"), "a PDF", _of_pdf),
    (re.compile(rb"\x89PNG"), "a PNG", _of_png),
    (re.compile(rb"\x1f\x8b"), "a gzipped SVG", _of_svgz),
    (re.compile(rb"(?i)<!doctype html|<html"), "an HTML", _of_html),
    (re.compile(rb"<"), "an SVG", _of_svg),
)
