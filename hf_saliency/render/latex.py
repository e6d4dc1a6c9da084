r"""to_latex: a map as running text in a paper's own font, each token in a ``\colorbox``."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hf_saliency.errors import SaliencyError, checks_keywords
from hf_saliency.maps.fields import TargetRow
from hf_saliency.maps.reduction import Normalization
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.render.colors import Colors, number
from hf_saliency.render.layout import frames_of
from hf_saliency.render.marks import Highlight
from hf_saliency.render.marks.mark import target_items
from hf_saliency.render.panels import Scales, Which, panels_of
from hf_saliency.render.passage import Passage, passage
from hf_saliency.render.tex import escape, unknown_to_pdflatex

_STEPS = 16  # of the legend's bar
_START = r"""\begingroup
\setlength{\fboxsep}{0pt}\setlength{\fboxrule}{0.6pt}\setlength{\parindent}{0pt}\setlength{\parskip}{0pt}\raggedright%
\def\hsBox#1#2{\colorbox[HTML]{#1}{\color{black}\strut#2}}%
\def\hsFrame#1#2{\fcolorbox[HTML]{000000}{#1}{\color{black}\strut#2}}%
\def\hsMissing#1#2{\fcolorbox[HTML]{999999}{FFFFFF}{\color{black}\strut#2\textsuperscript{#1}}}%
\def\hsBar#1{{\color[HTML]{#1}\rule{3pt}{1.2ex}}}%
"""
_END = r"\endgroup" + "\n"


@checks_keywords
def to_latex(
    saliency_map: SaliencyMap,
    mark: Highlight | None = None,
    *,
    targets: Which | None = None,
    around: int | None = None,
    normalize: Normalization = "row_max",
    legend: bool = True,
) -> str:
    r"""A snippet of LaTeX that prints the text in the paper's own font, each token on its colour.

    It is complete but for ``\usepackage{xcolor}`` in the preamble: paste it, or ``\input`` a file of it. TeX
    breaks the lines. Every character of the text is literal. The first line names what pdfLaTeX has no letter
    for; XeLaTeX and LuaLaTeX print it if the paper's font has it.

    Parameters
    ----------
    saliency_map
        The map.
    mark
        ``Highlight(...)`` says what is shown, as in :func:`hf_saliency.figure`; its size of type plays no part.
    targets
        Which rows, each of which gets a paragraph. Default: all.
    around
        Only so many tokens before and after each target. Default: the whole text.
    normalize
        What each row is divided by: ``"row_max"``, ``"row_sum"`` or ``"none"``.
    legend
        Whether the colour scale with its unit stands below.

    Returns
    -------
    str

    Raises
    ------
    SaliencyError
        For something else than a map, another mark, or options that cannot work.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> heat = explainer("Paris is the capital of France.")
    >>> snippet = hs.to_latex(heat, targets="capital")
    """
    if mark is not None and not isinstance(mark, Highlight):
        raise SaliencyError(
            f"to_latex() prints running text: mark={mark!r} must be Highlight(...) or left out."
        )
    if not isinstance(saliency_map, SaliencyMap):
        raise SaliencyError(
            f"to_latex() prints one SaliencyMap, not the {type(saliency_map).__name__}: call it for each map."
        )
    mark = mark or Highlight()
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
    blocks = [
        _block(part, text, row, target, colors, mark.predictions) for row, target in enumerate(part.targets)
    ]
    below = _small(escape(panel.note)) if panel.note else ""
    key = _legend(part, colors) if legend else ""
    body = "\\medskip\n".join(blocks) + below + key
    return _header(text.text + body) + _START + body + _END


def _header(text: str) -> str:
    missing = unknown_to_pdflatex("".join(c for c in text if not c.isspace()))
    lines = [r"% Needs \usepackage{xcolor}."]
    if not text.isascii():
        lines = [r"% Needs \usepackage{xcolor}, and with pdfLaTeX \usepackage[T1]{fontenc}."]
    if missing:
        lines.append(
            f"% pdfLaTeX has no {' '.join(missing)}: use XeLaTeX or LuaLaTeX and a font that has it."
        )
    return "\n".join(lines) + "\n"


def _block(
    part: SaliencyMap, text: Passage, row: int, target: TargetRow, colors: Colors, predictions: int
) -> str:
    fills = colors.fill(np.nan_to_num(colors.values(part)[row]))
    printed = "".join(_pieces(part, text, row, target, fills))
    silent = target.masked and target.position is not None and not target.predictions[:predictions]
    items = [] if silent and target.against is None else target_items(target, predictions)
    below = _small(r"\quad ".join(escape(item) for item in items)) if items else ""
    return f"{printed}\\par\n{below}"


def _pieces(
    part: SaliencyMap, text: Passage, row: int, target: TargetRow, fills: np.ndarray
) -> Iterator[str]:
    """The text from token to token; characters of several tokens are printed once, in the first's colour."""
    place = 0
    for column, (start, end) in sorted(text.spans.items(), key=lambda each: (each[1], each[0])):
        start = max(start, place)
        if start >= end:
            continue
        yield _between(text.text, place, start)
        score = float(part.scores[row, column])
        for i, line in enumerate(text.text[start:end].split("\n")):
            yield "\\par\n" * (i > 0)
            if line:
                yield _box(escape(line), score, _html(fills[column]), column in target.positions)
        place = end
    yield _between(text.text, place, len(text.text))


def _box(text: str, score: float, color: str, framed: bool) -> str:
    if not np.isfinite(score):
        return rf"\hsMissing{{{escape(number(score))}}}{{{text}}}"
    return rf"\hs{'Frame' if framed else 'Box'}{{{color}}}{{{text}}}"


def _between(text: str, start: int, end: int) -> str:
    """What no token covers, or where a line may be broken if two tokens touch."""
    if start == end:
        before, after = text[start - 1 : start], text[start : start + 1]
        unspaced = before.isalnum() and after.isalnum() and not (before + after).isascii()
        return "\\allowbreak " if before == "-" or (unspaced and _wide(before) and _wide(after)) else ""
    return "\\par\n".join(_uncolored(line) for line in text[start:end].split("\n"))


def _uncolored(line: str) -> str:
    """Text without a colour; spaces at its ends are places for a line break."""
    if not line.strip():
        return "\n" if line else ""
    before, after = (" " if character.isspace() else "" for character in (line[0], line[-1]))
    return before + escape(line.strip()) + after


def _wide(character: str) -> bool:
    return ord(character) >= 0x0E00  # where the scripts without spaces between words begin


def _html(color: np.ndarray) -> str:
    return "".join(f"{round(255 * channel):02X}" for channel in color[:3].tolist())


def _small(text: str) -> str:
    return f"{{\\footnotesize {text}\\par}}\n"


def _legend(part: SaliencyMap, colors: Colors) -> str:
    low = -colors.limit if colors.signed else 0.0
    bar = "".join(
        rf"\hsBar{{{_html(color)}}}" for color in colors.fill(np.linspace(low, colors.limit, _STEPS))
    )
    least = escape(number(low)) if colors.signed else "0"
    text = rf"{least} {bar} {escape(number(colors.limit))}\quad {escape(colors.label)}"
    kinds = frames_of([part])
    if kinds:  # one frame stands for both, where both occur
        text += rf"\quad \hsFrame{{FFFFFF}}{{\phantom{{nn}}}} {' or '.join(kinds)}"
    if colors.missing:
        text += rf"\quad {escape(', '.join(colors.missing))}: framed in grey"
    return _small(text)
