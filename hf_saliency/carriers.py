"""Carriers: the files that carry a record of their maps, read back without a model."""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from xml.parsers import expat

from hf_saliency import record, storage
from hf_saliency.errors import SaliencyError
from hf_saliency.record import KEY, Record
from hf_saliency.saliency_map import SaliencyMap

_LARGEST = 256 * 2**20  # bytes of a file, or of what unpacks from it
# As a page writes it. A parser of HTML would find no more, and those of Python are slow on hostile files.
_IN_HTML = re.compile(rb'<script type="application/json" id="%s">([A-Za-z0-9+/=,]*)</script>' % KEY.encode())


def read_maps(path: str | Path) -> list[SaliencyMap]:
    """The maps that a figure or a page carries, or the one in a file of :meth:`SaliencyMap.save`.

    Parameters
    ----------
    path
        A PDF, PNG, SVG, SVGZ, HTML or JSON file that this package wrote.

    Returns
    -------
    list of SaliencyMap
        In the order of the panels. Of a figure of some ``targets`` only these.

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
    found = read(path)
    if not found.maps:
        raise SaliencyError(
            f"{str(path)!r} was written with provenance='recipe' and carries no text and no scores: "
            "nothing can be drawn from it."
        )
    return list(found.maps)


def read(path: str | Path) -> Record:
    """The record that a file carries.

    Parameters
    ----------
    path
        As for :func:`read_maps`. What the file is, its first bytes say, not its name.

    Returns
    -------
    Record

    Raises
    ------
    SaliencyError
        If there is none, or the file is damaged or forged.
    """
    name = repr(str(path))
    data = _bytes(path, name)
    start = data[:1024].removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"{"):
        return Record((storage.load(path),))
    for mark, kind, carried in _KINDS:
        if mark.match(start):
            line = carried(data, name)
            if line is None:
                raise SaliencyError(
                    f"{name} is {kind} file that carries no saliency map: figures and pages of this package do, "
                    "unless they were written with provenance='none' or another program saved them anew."
                )
            return record.loads(line, name)
    raise SaliencyError(
        f"{name} is no file that carries saliency maps: give a PDF, PNG, SVG, HTML or JSON file."
    )


def _bytes(path: str | Path, name: str) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read(_LARGEST + 1)
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise SaliencyError(f"cannot read {name}: {reason}.") from error
    if len(data) > _LARGEST:
        raise SaliencyError(f"{name} is larger than {_LARGEST // 2**20} MiB: no figure of this package is.")
    return data


def _of_pdf(data: bytes, name: str) -> str | None:
    import pypdf

    try:
        info = pypdf.PdfReader(io.BytesIO(data)).metadata
        value = None if info is None else info.get(f"/{KEY}")
        return None if value is None else str(value)
    except Exception as error:  # on a damaged file pypdf raises whatever its parser runs into
        raise SaliencyError(f"{name} is a damaged PDF file ({type(error).__name__}: {error}).") from error


def _of_png(data: bytes, name: str) -> str | None:
    from PIL import Image

    try:  # opened, never decoded: however large the image says that it is, no pixel is made
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            value = image.info.get(KEY)
            return value if isinstance(value, str) else None
    except Exception as error:  # OSError, SyntaxError, ValueError, DecompressionBombError, ...
        raise SaliencyError(f"{name} is a damaged PNG file ({type(error).__name__}: {error}).") from error


def _of_svg(data: bytes, name: str) -> str | None:
    """The text of the element ``<metadata id="hf_saliency">``. Entities are refused: they can be bombs."""
    found: list[str] = []
    inside = False

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal inside
        inside = tag.rpartition(":")[2] == "metadata" and attributes.get("id") == KEY

    def end(tag: str) -> None:
        nonlocal inside
        inside = False

    def text(data: str) -> None:
        if inside:
            found.append(data)

    def entity(*declared: object) -> None:
        raise ValueError("it declares entities")

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler, parser.EntityDeclHandler = text, entity
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, ValueError) as error:
        raise SaliencyError(f"{name} is a damaged SVG file ({error}).") from error
    return "".join(found).strip() or None


def _of_svgz(data: bytes, name: str) -> str | None:
    inflater = zlib.decompressobj(wbits=31)  # gzip
    try:
        text = inflater.decompress(data, _LARGEST + 1)
    except zlib.error as error:
        raise SaliencyError(f"{name} is a damaged gzip file ({error}).") from error
    if len(text) > _LARGEST or not inflater.eof:
        raise SaliencyError(f"{name} is a gzip file that ends too early or unpacks to more than any figure.")
    return _of_svg(text, name)


def _of_html(data: bytes, name: str) -> str | None:
    found = _IN_HTML.search(data)
    return found.group(1).decode() if found else None


_KINDS: tuple[tuple[re.Pattern[bytes], str, Callable[[bytes, str], str | None]], ...] = (
    (re.compile(rb"%PDF"), "a PDF", _of_pdf),
    (re.compile(rb"\x89PNG"), "a PNG", _of_png),
    (re.compile(rb"\x1f\x8b"), "a gzipped SVG", _of_svgz),
    (re.compile(rb"(?i)<!doctype html|<html"), "an HTML", _of_html),
    (re.compile(rb"<"), "an SVG", _of_svg),
)
