r"""to_latex: a map as running text in a paper's own font, each token in a ``\colorbox``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hf_saliency.errors import SaliencyError, checks_call
from hf_saliency.maps.fields import TargetRow
from hf_saliency.maps.reduction import Normalization
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.render.colors import Colors, number
from hf_saliency.render.layout import TARGET, frames_of
from hf_saliency.render.marks import Highlight
from hf_saliency.render.marks.mark import target_items
from hf_saliency.render.panels import Scales, Which, describe_map, panels_of
from hf_saliency.render.passage import Passage, passage
from hf_saliency.render.tex import description, escape, unknown_to_pdflatex

_Piece = tuple[str, int, list[str]]  # the text before a token, the token's column and its lines, escaped
_STEPS = 16  # of the legend's bar
# Frames are drawn inside their boxes, so that they do not shift the text.
_START = r"""\begingroup
\setlength{\fboxsep}{0pt}\setlength{\fboxrule}{0.6pt}\setlength{\parindent}{0pt}\setlength{\parskip}{0pt}\raggedright%
\def\hsCut{\penalty500\relax}%
\def\hsBox#1#2{\colorbox[HTML]{#1}{\color{black}\strut#2}}%
\def\hsFrame#1#2{{\fboxsep=-\fboxrule\fcolorbox[HTML]{000000}{#1}{\color{black}\strut\kern1pt#2\kern1pt}}}%
\def\hsMissing#1#2{{\fboxsep=-\fboxrule\fcolorbox[HTML]{777777}{FFFFFF}{%
\color{black}\strut\kern1pt#2\textsuperscript{#1}\kern1pt}}}%
"""
_DASHED = r"""\def\hsAcross{\hbox to\wd0{\cleaders\hbox to3pt{\hss\vrule height.6pt depth0pt width1.8pt\hss}\hfill}}%
\def\hsDown{\lower\dp0\vbox to\dimexpr\ht0+\dp0\relax{%
\cleaders\vbox to3pt{\vss\hrule width.6pt height1.8pt\vss}\vfill}}%
\def\hsDash#1#2{\setbox0=\hbox{\colorbox[HTML]{#1}{\color{black}\strut\kern1pt#2\kern1pt}}\leavevmode\hbox{%
\rlap{\copy0}\rlap{\raise\dimexpr\ht0-.6pt\relax\hsAcross}\rlap{\lower\dp0\hsAcross}\rlap{\hsDown}%
\hbox to\wd0{\hfil\hsDown}}}%
"""
_BAR = r"""\def\hsRamp#1{{\fboxrule=.3pt\fcolorbox[HTML]{777777}{FFFFFF}{#1}}}%
\def\hsBar#1{{\color[HTML]{#1}\rule{3pt}{1.2ex}}}%
"""
_END = r"\endgroup" + "\n"
EVEN = r"\lineskiplimit=-\maxdimen\baselineskip=1.12\baselineskip\relax"
"""Keeps all lines at the same distance, although their boxes touch."""
_MUTED = "595959"  # colour of the names of texts


@checks_call
def to_latex(
    saliency_map: SaliencyMap,
    mark: Highlight | None = None,
    *,
    targets: Which | None = None,
    around: int | None = None,
    normalize: Normalization = "row_max",
    legend: bool = True,
) -> str:
    r"""Return a LaTeX snippet that prints the text in the paper's own font, each token on its colour.

    Paste the snippet, or write it to a file and ``\input`` that; the preamble needs ``\usepackage{xcolor}``. TeX
    breaks the lines. Every character of the text is printed literally. A comment at the top lists the characters
    that pdfLaTeX cannot print; XeLaTeX and LuaLaTeX print them if the paper's font has them.

    Parameters
    ----------
    saliency_map
        The map.
    mark
        ``Highlight(...)`` with its options, as in :func:`hf_saliency.figure`; its font size is ignored.
    targets
        Which rows to print, each as a paragraph. Default: all.
    around
        Print only this many tokens before and after each target. Default: the whole text.
    normalize
        The divisor of each row: ``"row_max"``, ``"row_sum"`` or ``"none"``.
    legend
        Whether to print the colour scale and its unit below the text.

    Returns
    -------
    str

    Raises
    ------
    SaliencyError
        If something other than a map is given, if the mark is not a ``Highlight``, or if an option is invalid.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> heat = explainer("Paris is the capital of France.")
    >>> snippet = hs.to_latex(heat, targets="capital")
    """
    mark = running_text(mark, "to_latex")
    if not isinstance(saliency_map, SaliencyMap):
        raise SaliencyError(
            f"to_latex() prints one SaliencyMap, not the {type(saliency_map).__name__}: call it for each map."
        )
    (panel,) = panels_of(
        saliency_map,
        mark,
        targets=targets,
        scales=Scales(normalize),
        ground="white",
        around=around,
    )
    part, colors = panel.saliency_map, panel.colors
    text = passage(part)
    texts = ColoredTexts(part, text, colors)
    blocks = [_block(texts, row, target, mark.predictions) for row, target in enumerate(part.targets)]
    below = small(escape(panel.note)) if panel.note else ""
    key = small(legend_of([part], colors)) if legend else ""
    body = f"{EVEN}%\n" + "\\medskip\n".join(blocks) + below + key
    return snippet([part], body + description(describe_map(part, "Highlight")), text.text)


def running_text(mark: Highlight | None, function: str) -> Highlight:
    """The mark of a function that prints running text; refuses another kind."""
    if mark is not None and not isinstance(mark, Highlight):
        raise SaliencyError(
            f"{function}() prints running text: mark={mark!r} must be Highlight(...) or left out."
        )
    return mark or Highlight()


def snippet(parts: Sequence[SaliencyMap], body: str, text: str, packages: Sequence[str] = ("xcolor",)) -> str:
    """A body with the commands that it uses, and a comment on the packages that it needs."""
    dashed = _DASHED if TARGET in frames_of(parts) else ""
    return _header(text + body, packages) + _START + dashed + _BAR + body + _END


def _header(text: str, packages: Sequence[str]) -> str:
    missing = "" if text.isascii() else unknown_to_pdflatex("".join(text.split()))
    needed = rf"% Needs \usepackage{{{','.join(packages)}}}"
    lines = [f"{needed}."]
    if not text.isascii():
        lines = [rf"{needed}, and with pdfLaTeX \usepackage[T1]{{fontenc}}."]
    if missing:
        lines.append(
            f"% pdfLaTeX has no {' '.join(missing)}: use XeLaTeX or LuaLaTeX and a font that has it."
        )
    return "\n".join(lines) + "\n"


def _block(texts: ColoredTexts, row: int, target: TargetRow, predictions: int) -> str:
    printed = texts.printed(row, named=row == 0)  # the texts are the same for every target
    silent = target.masked and target.position is not None and not target.predictions[:predictions]
    items = [] if silent and target.against is None else target_items(target, predictions)
    below = small(r"\quad ".join(escape(item) for item in items)) if items else ""
    return f"{printed}\\par\n{below}"


@dataclass(frozen=True, eq=False)
class ColoredTexts:
    """The texts of a map on the colours of its rows; the parts that all rows share are made once."""

    part: SaliencyMap
    text: Passage
    colors: Colors

    def printed(self, row: int, *, named: bool) -> str:
        """All texts on the colours of a row, with the names of the texts if ``named``."""
        pieces, rest = self._named if named else self._unnamed
        positions = set(self.part.targets[row].positions)
        kind = "Frame" if self.part.targets[row].masked else "Dash"
        fills, scores = self._fills[row], self._scores[row]
        printed: list[str] = []
        for before, column, lines in pieces:
            printed.append(before)
            for i, line in enumerate(lines):
                printed.append("\\par\n" * (i > 0))
                if line:
                    printed.append(
                        _box(line, scores[column], fills[column], kind if column in positions else "")
                    )
        return "".join([*printed, rest])

    @cached_property
    def _fills(self) -> list[list[str]]:
        return _html(self.colors.fill(np.nan_to_num(self.colors.values(self.part))))

    @cached_property
    def _scores(self) -> list[list[float]]:
        scores: list[list[float]] = self.part.scores.astype(float).tolist()
        return scores

    @cached_property
    def _named(self) -> tuple[list[_Piece], str]:
        return self._pieces(_names(self.part, self.text))

    @cached_property
    def _unnamed(self) -> tuple[list[_Piece], str]:
        return self._pieces({})

    def _pieces(self, names: Mapping[int, str]) -> tuple[list[_Piece], str]:
        """The text from token to token; a character that tokens share is printed once, in the first one's colour."""
        text, place = self.text.text, 0
        pieces: list[_Piece] = []
        for column, (start, end) in sorted(self.text.spans.items(), key=lambda each: (each[1], each[0])):
            start = max(start, place)
            if start >= end:
                continue
            lines = [escape(line) for line in text[start:end].split("\n")]
            pieces.append(("".join(_between(text, place, start, names)), column, lines))
            place = end
        return pieces, "".join(_between(text, place, len(text), names))


def _names(part: SaliencyMap, text: Passage) -> dict[int, str]:
    """The name of each text, by the character at which the text begins."""
    names = zip(text.starts, part.text_names, strict=False)
    return {
        start: rf"{{\footnotesize\color[HTML]{{{_MUTED}}}{escape(name)}\par}}"
        for start, name in names
        if name
    }


def _box(text: str, score: float, color: str, kind: str) -> str:
    if not math.isfinite(score):
        return rf"\hsMissing{{{escape(number(score))}}}{{{text}}}"
    return rf"\hs{kind or 'Box'}{{{color}}}{{{text}}}"


def _between(text: str, start: int, end: int, names: Mapping[int, str]) -> Iterator[str]:
    """The characters between two tokens with the names of texts that begin there, or a place for a line break."""
    if start == end and start not in names:
        yield _cut(text[start - 1 : start], text[start : start + 1])
        return
    for begin in [place for place in names if start <= place <= end]:
        yield _lines(text[start:begin]) + names[begin] + "\n"
        start = begin
    yield _lines(text[start:end])


def _lines(text: str) -> str:
    return "\\par\n".join(_uncolored(line) for line in text.split("\n"))


def _cut(before: str, after: str) -> str:
    """A place for a line break between two tokens that touch, used if the word is too long for the line."""
    if not before.strip() or not after.strip():
        return ""
    unspaced = before.isalnum() and after.isalnum() and _wide(before) and _wide(after)
    return "\\allowbreak " if before == "-" or unspaced else "\\hsCut"


def _uncolored(line: str) -> str:
    """Text without a colour; lines may break at spaces at its ends."""
    if not line.strip():
        return "\n" if line else ""
    before, after = (" " if character.isspace() else "" for character in (line[0], line[-1]))
    return before + escape(line.strip()) + after


def _wide(character: str) -> bool:
    return ord(character) >= 0x0E00  # where the scripts without spaces between words begin


def _html(colors: np.ndarray) -> list[list[str]]:
    """The hexadecimal names of rows of colours."""
    channels = np.rint(255 * colors[..., :3]).astype(np.int64)
    numbers, places = np.unique(channels @ [65536, 256, 1], return_inverse=True)
    names = np.array([f"{number:06X}" for number in numbers.tolist()], dtype=object)
    rows: list[list[str]] = names[places].reshape(colors.shape[:-1]).tolist()
    return rows


def small(text: str) -> str:
    """A paragraph below a text."""
    return f"{{\\vskip1.5pt\\footnotesize {text}\\par}}\n"


def legend_of(parts: Sequence[SaliencyMap], colors: Colors) -> str:
    """The legend of colours and frames."""
    ramps = [rf"0 {_ramp(colors, 0.0, colors.limit)}"]
    if colors.signed:
        ramps = [escape(number(-colors.limit)), _ramp(colors, -colors.limit, 0.0), *ramps]
    text = rf"{' '.join(ramps)} {escape(number(colors.limit))}\quad {escape(colors.label)}"
    for meaning in frames_of(parts):
        frame = "Dash" if meaning == TARGET else "Frame"
        text += rf"\quad \hs{frame}{{FFFFFF}}{{\phantom{{nn}}}}~{meaning}"
    if colors.missing:
        text += rf"\quad {escape(', '.join(colors.missing))}: framed in grey"
    return text


def _ramp(colors: Colors, low: float, high: float) -> str:
    """A framed bar with the colours from one score to another."""
    fills = colors.fill(np.linspace(low, high, _STEPS))
    bars = "".join(rf"\hsBar{{{name}}}" for name in _html(fills[None])[0])
    return rf"\hsRamp{{{bars}}}"
