"""SaliencyFigure: a Matplotlib Figure whose files are fit for print and the same on every run."""

from __future__ import annotations

import contextlib
import gzip
import html
import math
import numbers
import os
import re
from collections.abc import Iterator, Sequence
from io import BufferedIOBase, BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patheffects import Normal
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from hf_saliency.errors import SaliencyError, warn, whole
from hf_saliency.maps import attachment, spans
from hf_saliency.maps.attachment import KEY, Attachment, Provenance
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.maps.storage import checked_path, write_file
from hf_saliency.render.points import Box, Cells, in_points
from hf_saliency.render.raster import CellImage
from hf_saliency.render.settings import settings
from hf_saliency.render.tex import description
from hf_saliency.render.typeset.fonts import is_truetype
from hf_saliency.synonyms import FIGURE, attribute

_VECTOR = ("eps", "pdf", "pgf", "ps", "svg", "svgz")
_RASTER = ("jpeg", "jpg", "png", "tif", "tiff", "webp")
_PRINT_DPI = 300
# The most pixels on a side that two formats can hold, and that Matplotlib can draw.
_MOST_PIXELS = {"jpeg": 65_500, "jpg": 65_500, "webp": 16_383}
_DRAWN_PIXELS = 65_535
_SCREEN_DPI = 144

# Type 42 is TrueType, which publishers require; Matplotlib writes Type 3 by default. The layout is exact, so
# nothing needs to be cut off ("tight"). With a fixed salt, names inside an SVG file are the same on every run.
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
    """The result of :func:`hf_saliency.figure`: a ``matplotlib.figure.Figure`` with its own ``savefig``."""

    attachment: Attachment | None = None
    """The maps drawn and the drawing's arguments, for the metadata of PDF, PNG and SVG files."""

    description: str = ""
    """A sentence that describes the figure; SVG, PDF and PNG files that carry the map contain it, too."""

    panels: tuple[tuple[Axes, SaliencyMap], ...] = ()
    """The Axes of each panel, and the map as it is drawn there."""

    def box(self, token: int | str, target: int = 0, panel: int = 0) -> Bbox:
        """The box of a token, for an arrow or a note that points to it.

        Parameters
        ----------
        token
            A column as drawn, or a word, whose first occurrence is taken.
        target
            The row, counted from 0.
        panel
            The panel, counted from 0.

        Returns
        -------
        matplotlib.transforms.Bbox
            In fractions of the figure, which ``xycoords="figure fraction"`` takes.

        Raises
        ------
        SaliencyError
            If there is no such panel, target or token.

        Examples
        --------
        >>> import hf_saliency as hs
        >>> heat = hs.Explainer(*hs.load_demo())("the formal study of grammar is important")
        >>> fig = hs.figure(heat, targets="grammar", width=3.25)
        >>> box = fig.box("formal")
        >>> note = fig.text(box.x0, box.y1, "strongest", fontsize=5)
        """
        if not 0 <= whole(panel, "panel", 0) < len(self.panels):
            raise SaliencyError(f"panel={panel}: this figure has {len(self.panels)} panels, counted from 0.")
        ax, drawn = self.panels[panel]
        row = whole(target, "target", 0)
        columns = [token] if isinstance(token, int) else _columns_of(drawn, token)
        cells = ax.findobj(lambda artist: isinstance(artist, (Cells, CellImage)))
        boxes = [box for column in columns for box in _boxes_at(cells, row, column)]
        if not boxes:
            raise SaliencyError(
                f"no box for the token {token!r} of target {row} in panel {panel}: the panel has "
                f"{len(drawn.targets)} targets and {len(drawn.tokens)} tokens, counted from 0; arcs have no boxes."
            )
        corners = np.array([[(x, y), (x + w, y + h)] for x, y, w, h in boxes]).reshape(-1, 2)
        shown = (in_points(ax) + self.transFigure.inverted()).transform(corners)
        return Bbox([shown.min(axis=0), shown.max(axis=0)])

    if not TYPE_CHECKING:  # a type checker would then accept any attribute

        def __getattr__(self, name: str) -> Any:
            if name.startswith("_"):  # Matplotlib looks for some that do not exist
                raise AttributeError(name)
            return attribute(self, "a figure", name, FIGURE)

    def show(self, warn: bool = True) -> None:
        """Raise an error that names the calls to use instead: only figures of pyplot have windows."""
        raise SaliencyError(
            "this figure has no window: save it with fig.savefig('figure.png'), or end a notebook cell with fig."
        )

    def set_size_inches(self, w: Any, h: float | None = None, forward: bool = True) -> None:
        """Change the size, and warn that the text is not broken into lines again."""
        before = self.get_size_inches()
        super().set_size_inches(w, h, forward)
        if self.panels and not np.allclose(before, self.get_size_inches(), rtol=5e-3):
            warn(
                f"this figure was laid out for {before[0]:.2f} x {before[1]:.2f} in, and its lines are not broken "
                f"again: draw it at the new width, figure(..., width={self.get_size_inches()[0]:.2f}).",
                UserWarning,
            )

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

        PDF, PNG and SVG files carry the maps in their metadata, with the whole text and all scores of the targets
        drawn. ``hf-saliency redraw`` and :func:`hf_saliency.read_maps` read them back, and so can every
        reader of a paper. Set ``provenance`` to leave them out.

        Parameters
        ----------
        fname
            A path, whose suffix determines the format unless ``format=`` is given, or a binary file.
        transparent
            Leave the background out.
        outlines
            In SVG and PGF files, draw letters as outlines. By default, they are text, which can be searched and
            edited. An SVG file then needs the same font on the reader's computer, or letters and their colours
            drift apart. In a PGF file, TeX sets the text in the paper's font and scales it to the measured width.
            PDF files embed their fonts.
        provenance
            The metadata in the file: ``"map"``; ``"recipe"`` for model, revision, method, versions and a digest,
            without text and scores; ``"none"``.
        **kwargs
            As in :meth:`matplotlib.figure.Figure.savefig`; the resolution is 300 pixels per inch unless ``dpi``
            is given.

        Raises
        ------
        SaliencyError
            For an unsupported format, a path that cannot be written, a ``dpi`` that is not above 0, or an unknown
            ``provenance``.

        Notes
        -----
        PDF and PostScript files embed TrueType fonts. Letters of fonts with PostScript outlines (OpenType-CFF, such as
        Noto CJK and TeX Gyre) are drawn as outlines there, which look the same but cannot be searched.

        Examples
        --------
        >>> import hf_saliency as hs
        >>> heat = hs.Explainer(*hs.load_demo())("the formal study of grammar is important")
        >>> hs.figure(heat, width=3.25).savefig("figure.pdf")
        >>> hs.figure(heat, width=3.25).savefig("anonymous.pdf", provenance="recipe")
        """
        level = attachment.checked(provenance)
        carried = attachment.dumps(self.attachment, level) if self.attachment else ""
        kind = _format(fname, kwargs.pop("format", None))
        if kind in _RASTER and mpl.rcParams["savefig.dpi"] == "figure":
            kwargs.setdefault("dpi", _PRINT_DPI)
        drawn = "svg" if kind == "svgz" else kind
        metadata = _UNDATED.get(drawn, {}) | ({KEY: carried} if carried and drawn == "png" else {})
        subject = self.description if level == "map" else ""
        if subject:
            metadata |= {"png": {"Description": subject}, "pdf": {"Subject": subject}}.get(drawn, {})
        if metadata:
            kwargs["metadata"] = metadata | (kwargs.get("metadata") or {})
        if kind == "pgf":
            kwargs |= {"backend": "module://hf_saliency.render.tex", "outlines": outlines, "dpi": 72}
        _check_dpi(kwargs.get("dpi"), kind, float(max(self.get_size_inches())))
        if kwargs.get("bbox_inches") == "tight":
            kwargs["bbox_inches"] = self._promised(kwargs.pop("pad_inches", None))
        buffer = BytesIO()
        with settings(SETTINGS | {"svg.fonttype": "path" if outlines else "none"}), embedded(self, drawn):
            if drawn == "pdf":
                with PdfPages(buffer, metadata=kwargs.pop("metadata")) as pages:
                    # Written into the dictionary itself, since Matplotlib warns about unknown keys in metadata=.
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
        if drawn == "svg" and subject:
            short, _, _ = subject.partition(". ")  # browsers show a title next to the pointer
            heads = f"\n <title>{html.escape(short)}</title>\n <desc>{html.escape(subject)}</desc>".encode()
            data = _SVG_START.sub(lambda match: match.group() + heads, data, count=1)
        if drawn == "pgf" and subject:
            data += description(subject).encode()
        if kind == "svgz":
            data = gzip.compress(data, mtime=0)
        write(fname, kind, data)

    def _promised(self, pad: float | None) -> Bbox | None:
        """The box of ``bbox_inches="tight"``: the whole figure, unless something reaches beyond it."""
        with settings(SETTINGS):
            tight = self.get_tightbbox(
                self.canvas.get_renderer() if hasattr(self.canvas, "get_renderer") else None
            )
        whole = Bbox.from_bounds(0, 0, *self.get_size_inches())
        union = Bbox.union([whole, tight])
        if np.allclose(union.get_points(), whole.get_points(), atol=1 / 72):
            return None  # the layout is exact: nothing needs to be cut off
        warn(
            f"bbox_inches='tight' makes this figure {union.width:.2f} in wide instead of {whole.width:.2f} in, because "
            "something was drawn beyond its edges.",
            UserWarning,
        )
        return union.padded(pad or 0.0)

    def _repr_png_(self) -> bytes:
        """Show the figure if it is the last value of a notebook cell."""
        buffer = BytesIO()
        self.savefig(buffer, format="png", dpi=_SCREEN_DPI, provenance="none")
        return buffer.getvalue()


@contextlib.contextmanager
def embedded(figure: Figure, kind: str) -> Iterator[None]:
    """Draw the letters of PostScript faces as outlines, since Matplotlib cannot embed these in PDF and PostScript.

    It writes such a face (OpenType-CFF: Noto CJK, TeX Gyre) as if it were a TrueType font, and viewers refuse it.
    """
    texts = figure.findobj(Text) if kind in ("pdf", "ps", "eps") else []
    kinds: dict[FontProperties, bool] = {}  # few entries, since many texts share their properties
    for text in texts:
        properties = text.get_fontproperties()
        if properties not in kinds:
            kinds[properties] = is_truetype(properties)
    refused = [text for text in texts if text.get_text() and not kinds[text.get_fontproperties()]]
    effects = [text.get_path_effects() for text in refused]
    try:
        for text, before in zip(refused, effects, strict=True):
            text.set_path_effects(before or [Normal()])  # with any effect, Matplotlib draws outlines
        yield
    finally:
        for text, before in zip(refused, effects, strict=True):
            text.set_path_effects(before)


def _columns_of(drawn: SaliencyMap, word: str) -> list[int]:
    """The columns of the tokens in the first occurrence of a word."""
    for number, text in enumerate(drawn.texts):
        places = [(t.start, t.end) if t.text_index == number else (0, 0) for t in drawn.tokens]
        for start, end in spans.occurrences(text, word):
            return spans.overlapping(places, start, end)
    return [i for i, label in enumerate(drawn.labels) if label.strip() == word.strip()][:1]


def _boxes_at(cells: Sequence[Any], row: int, column: int) -> list[Box]:
    """The boxes of a token in the last of the cells that contain it."""
    return next((boxes for cell in reversed(cells) if (boxes := cell.at(row, column))), [])


def _check_dpi(dpi: Any, kind: str, inches: float) -> None:
    """Refuse a resolution that is not a positive number, or that is too high for an image of this size."""
    if dpi is None or dpi == "figure":
        return
    if isinstance(dpi, bool) or not isinstance(dpi, numbers.Real) or not 0 < float(dpi) < math.inf:
        raise SaliencyError(
            f"dpi={dpi!r}: give pixels per inch above 0, such as savefig('figure.png', dpi=300)."
        )
    most = _MOST_PIXELS.get(kind, _DRAWN_PIXELS)
    if kind in _RASTER and inches * float(dpi) > most:
        raise SaliencyError(
            f"dpi={dpi!r}: a {kind} image has at most {most:,} pixels on a side, and a side of this figure has "
            f"{inches:.1f} inches: give at most dpi={int(most / inches)}."
        )


def _format(fname: str | os.PathLike[str] | IO[bytes] | BufferedIOBase, name: str | None) -> str:
    kind = name
    if not hasattr(fname, "write"):
        path = checked_path(fname, "figure.pdf", ", or a binary file")
        if not path:
            raise SaliencyError("the path of the figure is empty: savefig('figure.pdf').")
        kind = Path(path).suffix.removeprefix(".") if kind is None else kind
    kind = kind or mpl.rcParams["savefig.format"]
    if kind.lower() not in _VECTOR + _RASTER:
        raise SaliencyError(
            f"figures are not written as {kind!r}: choose one of {', '.join(sorted(_VECTOR + _RASTER))}, "
            "such as savefig('figure.pdf')."
        )
    return kind.lower()


def write(fname: str | os.PathLike[str] | IO[bytes] | BufferedIOBase, kind: str, data: bytes) -> None:
    """Write to a binary file or to a path, which gets the format's suffix if it has none."""
    if not isinstance(fname, (str, os.PathLike)):
        fname.write(data)
        return
    path = Path(fname)
    path = path if path.suffix else path.with_suffix(f".{kind}")
    write_file(path, data)
