"""TeX: text escaped character by character, and a PGF backend."""

from __future__ import annotations

import codecs
import unicodedata
from typing import Any

from matplotlib.backends.backend_mixed import MixedModeRenderer
from matplotlib.backends.backend_pgf import FigureCanvasPgf, RendererPgf
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.textpath import text_to_path
from matplotlib.transforms import Affine2D

from hf_saliency.render.typeset.characters import BIDI_CONTROLS
from hf_saliency.render.typeset.typeface import Typeface

# Characters with a meaning for TeX or for babel's shorthands, and characters that TeX's oldest text encoding lacks.
_COMMANDS = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\char34{}",
    "`": r"\textasciigrave{}",
    "\u00a0": "~",
    "×": r"\ensuremath{\times}",
    "−": r"\ensuremath{-}",
    "→": r"\ensuremath{\rightarrow}",
    "∞": r"\ensuremath{\infty}",
    "↵": r"\ensuremath{\hookleftarrow}",
    "⇥": r"\ensuremath{\mapsto}",
    "⟨": r"\ensuremath{\langle}",
    "⟩": r"\ensuremath{\rangle}",
    "␣": r"\textvisiblespace{}",
    **dict.fromkeys(BIDI_CONTROLS, ""),
    "ρ": r"\ensuremath{\rho}",
    "≥": r"\ensuremath{\geq}",
    "≤": r"\ensuremath{\leq}",
    **{
        raised: rf"\textsuperscript{{{plain}}}"
        for raised, plain in zip("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789", strict=True)
    },
}
_LIGATURES = "-',"  # TeX would merge two of them in a row into one
_PUNCTUATION = "‐–—‘’‚“”„†‡•…‰‹›€™"


def escape(text: str) -> str:
    r"""Escape a text so that TeX prints it literally: ``5% of $x_1$`` becomes ``5\% of \$x\_1\$``.

    Letters and their marks are composed where Unicode has one character for both, since pdfLaTeX cannot print
    combining marks. Control pictures are written in the form ``^A``.
    """
    text = unicodedata.normalize("NFC", text)
    return "".join(
        "{}" * (i > 0 and character in _LIGATURES and text[i - 1] == character) + _command(character)
        for i, character in enumerate(text)
    )


def _command(character: str) -> str:
    code = ord(character)
    if 0x2400 <= code <= 0x2421:  # control pictures
        return rf"\textasciicircum{{}}{_COMMANDS.get(_caret(code), _caret(code))}"
    return _COMMANDS.get(character, character)


def _caret(code: int) -> str:
    return "?" if code == 0x2421 else chr(code - 0x2400 + 0x40)


def description(text: str) -> str:
    r"""TeX for a description of a figure, for readers who cannot see it, if the class has ``\Description`` (ACM's)."""
    escaped = escape(text).replace("“", "``").replace("”", "''")
    return rf"\ifdefined\Description\Description{{{escaped}}}\fi" + "%\n"


def unknown_to_pdflatex(text: str) -> str:
    """The characters of a text that pdfLaTeX stops at, each once; XeLaTeX and LuaLaTeX print all that the font has."""
    characters = dict.fromkeys(unicodedata.normalize("NFC", text))
    return "".join(c for c in characters if not _known(c))


def _known(character: str) -> bool:
    code = ord(character)
    picture = 0x2400 <= code <= 0x2421
    return code < 0x180 or picture or character in _COMMANDS or character in _PUNCTUATION


_FAMILIES = {"sans-serif": r"\sffamily", "serif": r"\rmfamily", "monospace": r"\ttfamily"}
_HEADER = r"""% A figure of hf_saliency. In a document with \usepackage{pgf}: \input{this file}
\begingroup%
\makeatletter%
\begin{pgfpicture}%
"""
_FOOTER = r"""\end{pgfpicture}%
\makeatother%
\endgroup%
"""


class _Renderer(RendererPgf):
    """Matplotlib's PGF renderer, except for text."""

    draws_images = False  # a PGF file could only refer to separate image files

    def __init__(self, figure: Any, fh: Any, *, outlines: bool) -> None:
        super().__init__(figure, fh)  # type: ignore[no-untyped-call]
        self._outlines = outlines

    def get_text_width_height_descent(
        self, s: str, prop: FontProperties, ismath: Any
    ) -> tuple[float, float, float]:
        scale = self.dpi / 72
        width, height, descent = text_to_path.get_text_width_height_descent(s, prop, ismath=False)
        return width * scale, height * scale, descent * scale

    def draw_text(
        self,
        gc: Any,
        x: float,
        y: float,
        s: str,
        prop: FontProperties,
        angle: float,
        ismath: Any = False,
        mtext: Text | None = None,
    ) -> None:
        if self._outlines:
            self._draw_outlines(gc, x, y, s, prop, angle)
            return
        size = prop.get_size_in_points()
        heavy = prop.get_weight()  # a fallback face has a number instead of a name
        bold = heavy == "bold" or (isinstance(heavy, int) and heavy > 500)
        width = Typeface(size, weight="bold" if bold else "normal").advance(s)
        family = _FAMILIES.get(prop.get_family()[0], "")
        weight = r"\bfseries" if bold else ""
        red, green, blue = gc.get_rgb()[:3]
        text = (
            rf"\color[rgb]{{{red:f},{green:f},{blue:f}}}{family}{weight}"
            rf"\fontsize{{{size:f}bp}}{{{size:f}bp}}\selectfont"
            rf"\resizebox{{{width:f}bp}}{{\height}}{{{escape(s)}}}"
        )
        turned = f",rotate={angle:f}" if angle else ""
        place = f"x={x / self.dpi:f}in,y={y / self.dpi:f}in,left,base{turned}"
        self.fh.write(f"\\pgftext[{place}]{{{text}}}%\n")

    def _draw_outlines(self, gc: Any, x: float, y: float, s: str, prop: FontProperties, angle: float) -> None:
        vertices, codes = text_to_path.get_text_path(prop, s, ismath=False)
        scale = prop.get_size_in_points() / text_to_path.FONT_SCALE * self.dpi / 72
        gc.set_linewidth(0.0)
        place = Affine2D().scale(scale).rotate_deg(angle).translate(x, y)
        self.draw_path(  # type: ignore[no-untyped-call]
            gc, Path(vertices, codes), place, rgbFace=gc.get_rgb()
        )


class FigureCanvas(FigureCanvasPgf):
    """The canvas class that Matplotlib looks for in a backend module."""

    def print_pgf(
        self,
        fname_or_fh: Any,
        *,
        outlines: bool = False,
        bbox_inches_restore: Any = None,
        **kwargs: Any,
    ) -> None:
        """Write to a binary file; ``outlines`` draws letters as paths."""
        fh = codecs.getwriter("utf-8")(fname_or_fh)
        width, height = self.figure.get_size_inches().tolist()
        fh.write(_HEADER)
        box = rf"{{\pgfpointorigin}}{{\pgfqpoint{{{width:f}in}}{{{height:f}in}}}}"
        fh.write(f"\\pgfpathrectangle{box}%\n\\pgfusepath{{use as bounding box,clip}}%\n")
        pgf = _Renderer(self.figure, fh, outlines=outlines)
        renderer = MixedModeRenderer(  # type: ignore[no-untyped-call]
            self.figure, width, height, self.figure.dpi, pgf, bbox_inches_restore=bbox_inches_restore
        )
        self.figure.draw(renderer)  # type: ignore[arg-type]
        fh.write(_FOOTER)
