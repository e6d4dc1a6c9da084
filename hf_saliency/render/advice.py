"""What to tell a user whose fonts lack characters: which, and the font that has them."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from fontTools import unicodedata as scripts

_SHOWN = 12
_CJK = ("Noto Sans CJK", "fonts-noto-cjk", "font-noto-sans-cjk")
_CORE = "fonts-noto-core"
_BY_SCRIPT = dict.fromkeys(("Hani", "Hira", "Kana", "Hang", "Bopo"), _CJK)
_PICTURES = ("Noto Emoji or Symbola", "fonts-symbola", "font-noto-emoji")


def advice(characters: Iterable[str], stand_in: str) -> str:
    """One message for all characters that a figure lacks.

    Parameters
    ----------
    characters
        What no font has.
    stand_in
        What is drawn instead.

    Returns
    -------
    str
        Characters with their code points, and how to get a font for them.
    """
    found = sorted(set(characters))
    named = ", ".join(f"{c} (U+{ord(c):04X})" for c in found[:_SHOWN])
    if len(found) > _SHOWN:
        named += f" and {len(found) - _SHOWN} more"
    fonts = sorted({_font(c) for c in found})
    families = " and ".join(dict.fromkeys(family for family, _, _ in fonts))
    debian = " ".join(sorted({package for _, package, _ in fonts}))
    brew = " ".join(sorted({cask for _, _, cask in fonts}))
    hint = (
        f"brew install --cask {brew}"
        if sys.platform == "darwin"
        else f"Debian and Ubuntu: apt install {debian}"
    )
    return (
        f"no installed font that Matplotlib can draw has a glyph for {named}; {stand_in} stands there instead. "
        f"Install {families} ({hint}), or name a font that has them in rcParams['font.family']."
    )


def _font(character: str) -> tuple[str, str, str]:
    """Family, Debian package and Homebrew cask of a font that has a character."""
    script = scripts.script(character)
    if script in _BY_SCRIPT:
        return _BY_SCRIPT[script]
    if (
        0x3000 <= ord(character) <= 0x33FF
        or 0xFE30 <= ord(character) <= 0xFE6F
        or 0xFF00 <= ord(character) <= 0xFFEF
    ):
        return _CJK
    if script in ("Zyyy", "Zinh", "Zzzz"):
        return _PICTURES
    name = scripts.script_name(script, default="").replace("_", " ").title()
    return f"Noto Sans {name}", _CORE, f"font-noto-sans-{name.lower().replace(' ', '-')}"
