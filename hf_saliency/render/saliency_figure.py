"""SaliencyFigure: a Matplotlib Figure whose files are fit for print and the same on every run."""

from __future__ import annotations

import gzip
import os
import re
from io import BufferedIOBase, BytesIO
from pathlib import Path
from typing import IO, Any, cast

import matplotlib as mpl
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure

from hf_saliency import record
from hf_saliency.errors import SaliencyError
from hf_saliency.record import KEY, Provenance, Record

_VECTOR = ("eps", "pdf", "pgf", "ps", "svg", "svgz")
_RASTER = ("jpeg", "jpg", "png", "tif", "tiff", "webp")
_PRINT_DPI = 300
_SCREEN_DPI = 144

# Type 42 is TrueType, which publishers ask for; Matplotlib writes Type 3 by default. The layout is exact, so
# that nothing is to be cut off ("tight"). Names inside an SVG file come from the salt instead of from chance.
# Without hinting, letters of a PNG are as wide as they were measured.
SETTINGS: dict[str, Any] = {
    "pdf.fonttype": 42,
    "pdf.use14corefonts": False,
    "ps.fonttype": 42,
    "ps.useafm": False,
    "svg.hashsalt": "hf_saliency",
    "savefig.bbox": None,
    "text.hinting": "none",
}
_SVG_START = re.compile(rb"<svg\b[^>]*>")
_UNDATED: dict[str, dict[str, str | None]] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}


class SaliencyFigure(Figure):
    """What :func:`hf_saliency.figure` returns: a ``matplotlib.figure.Figure`` with its own ``savefig``."""

    record: Record | None = None
    """What its PDF, PNG and SVG files carry: the maps drawn, and how."""

    def savefig(
        self,
        fname: str | os.PathLike[str] | IO[bytes] | BufferedIOBase,
        *,
        transparent: bool | None = None,
        outlines: bool = False,
        provenance: Provenance = "map",
        **kwargs: Any,
    ) -> None:
        """Write the figure to a file: TrueType fonts, literal text, no date, the same bytes on every run.

        PDF, PNG and SVG files carry the maps in their metadata, the whole text and all scores of the targets
        drawn: ``hf-saliency redraw`` and :func:`hf_saliency.read_maps` read them back, and so can every
        reader of a paper. ``provenance`` leaves them out.

        Parameters
        ----------
        fname
            A path, whose ending names the format unless ``format=`` does, or a binary file.
        transparent
            Leave the background out.
        outlines
            In SVG and PGF, draw letters as outlines. Without it they are text, which can be searched and
            edited. An SVG file then needs the same font where it is read, or letters and their colours drift
            apart; in PGF, TeX sets them in the paper's font, each scaled to its room. PDF embeds its fonts.
        provenance
            What the file carries: ``"map"``; ``"recipe"`` for model, revision, method, versions and a digest,
            without text and scores; ``"none"``.
        **kwargs
            As in :meth:`matplotlib.figure.Figure.savefig`; pixels are 300 an inch unless ``dpi`` says
            otherwise.

        Raises
        ------
        SaliencyError
            For a format that is not written, a path that cannot be written, or another ``provenance``.

        Examples
        --------
        >>> import hf_saliency as hs
        >>> heat = hs.Explainer(*hs.load_demo())("the formal study of grammar is important")
        >>> hs.figure(heat, width=3.25).savefig("figure.pdf")
        >>> hs.figure(heat, width=3.25).savefig("anonymous.pdf", provenance="recipe")
        """
        level = record.checked(provenance)
        carried = record.dumps(self.record, level) if self.record else ""
        kind = _format(fname, kwargs.pop("format", None))
        if kind in _RASTER and mpl.rcParams["savefig.dpi"] == "figure":
            kwargs.setdefault("dpi", _PRINT_DPI)
        drawn = "svg" if kind == "svgz" else kind
        own = _UNDATED.get(drawn, {}) | ({KEY: carried} if carried and drawn == "png" else {})
        if own:
            kwargs["metadata"] = own | (kwargs.get("metadata") or {})
        if kind == "pgf":
            kwargs |= {"backend": "module://hf_saliency.render.pgf", "outlines": outlines, "dpi": 72}
        buffer = BytesIO()
        settings = SETTINGS | {"svg.fonttype": "path" if outlines else "none"}
        with mpl.rc_context(cast(Any, settings)):
            if drawn == "pdf":
                with PdfPages(buffer, metadata=kwargs.pop("metadata")) as pages:
                    # Into the dictionary itself: of metadata= with a key of its own, Matplotlib would warn.
                    if carried:
                        pages.infodict()[KEY] = carried
                    super().savefig(pages, format=drawn, transparent=transparent, **kwargs)
            else:
                super().savefig(buffer, format=drawn, transparent=transparent, **kwargs)
        data = buffer.getvalue()
        if kind in ("ps", "eps"):
            data = re.sub(rb"(?m)^%%CreationDate:.*\n", b"", data, count=1)  # Matplotlib has no option for it
        if drawn == "svg" and carried:
            data = _SVG_START.sub(
                rb'\g<0>\n <metadata id="%s">%s</metadata>' % (KEY.encode(), carried.encode()), data, count=1
            )
        if kind == "svgz":
            data = gzip.compress(data, mtime=0)
        write(fname, kind, data)

    def _repr_png_(self) -> bytes:
        """Shows the figure where it is the last value of a notebook's cell."""
        buffer = BytesIO()
        self.savefig(buffer, format="png", dpi=_SCREEN_DPI, provenance="none")
        return buffer.getvalue()


def _format(fname: str | os.PathLike[str] | IO[bytes] | BufferedIOBase, given: str | None) -> str:
    kind = given
    if kind is None and isinstance(fname, (str, os.PathLike)):
        kind = Path(fname).suffix.removeprefix(".")
    kind = kind or mpl.rcParams["savefig.format"]
    if kind.lower() not in _VECTOR + _RASTER:
        raise SaliencyError(
            f"figures are not written as {kind!r}: choose one of {', '.join(sorted(_VECTOR + _RASTER))}, "
            "such as savefig('figure.pdf')."
        )
    return kind.lower()


def write(fname: str | os.PathLike[str] | IO[bytes] | BufferedIOBase, kind: str, data: bytes) -> None:
    """Write to a path, with the format's ending if it has none, or to a binary file."""
    if not isinstance(fname, (str, os.PathLike)):
        fname.write(data)
        return
    path = Path(fname)
    path = path if path.suffix else path.with_suffix(f".{kind}")
    try:
        path.write_bytes(data)
    except OSError as error:
        raise SaliencyError(
            f"cannot write {str(path)!r} ({error.strerror}): pass savefig a path in a folder that exists and "
            "can be written."
        ) from error
