"""Text as TeX prints it, character by character."""

from __future__ import annotations

import unicodedata

from hf_saliency.render.signs import BIDI_CONTROLS

# Characters with a meaning for TeX, for babel's shorthands, or without a place in its oldest text encoding.
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
}
_LIGATURES = "-',"  # two of them in a row would become one
_PUNCTUATION = "‐–—‘’‚“”„†‡•…‰‹›€™"


def escape(text: str) -> str:
    r"""TeX that prints a text literally: ``5% of $x_1$`` becomes ``5\% of \$x\_1\$``.

    Letters and their marks are composed where Unicode has one character for both, since pdfLaTeX knows no
    marks alone. Control pictures are written as ``^A`` is.
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


def unknown_to_pdflatex(text: str) -> str:
    """The characters of a text that pdfLaTeX stops at, each once; XeLaTeX and LuaLaTeX print what the font has."""
    found = dict.fromkeys(unicodedata.normalize("NFC", text))
    return "".join(c for c in found if not _known(c))


def _known(character: str) -> bool:
    code = ord(character)
    picture = 0x2400 <= code <= 0x2421
    return code < 0x180 or picture or character in _COMMANDS or character in _PUNCTUATION
