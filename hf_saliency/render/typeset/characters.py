"""Characters: signs for invisible ones, and groups of them that no box, line break or ellipsis may split.

Graphemes follow Unicode's rules (UAX #29), as implemented in the ``regex`` package: a letter with its marks, an emoji
with its joiners and modifiers, a flag, a Hangul syllable, an Indic conjunct.
"""

from __future__ import annotations

import bisect
import functools
import re
import unicodedata

import regex

from hf_saliency.maps.spans import Span

_DOTTED_CIRCLE = "\u25cc"
_JOINER = "\u200d"
_C0 = (
    "NUL SOH STX ETX EOT ENQ ACK BEL BS HT LF VT FF CR SO SI DLE DC1 DC2 DC3 DC4 NAK SYN ETB CAN EM SUB ESC FS "
    "GS RS US"
)
_NAMES = dict(enumerate(_C0.split())) | {
    0x7F: "DEL", 0x85: "NEL", 0xAD: "SHY", 0x34F: "CGJ", 0x61C: "ALM", 0x115F: "HCF", 0x1160: "HJF", 0x180E: "MVS",
    0x200B: "ZWSP", 0x200C: "ZWNJ", 0x200D: "ZWJ", 0x200E: "LRM", 0x200F: "RLM", 0x2028: "LSEP",
    0x2029: "PSEP", 0x202A: "LRE", 0x202B: "RLE", 0x202C: "PDF", 0x202D: "LRO", 0x202E: "RLO", 0x2060: "WJ",
    0x2066: "LRI", 0x2067: "RLI", 0x2068: "FSI", 0x2069: "PDI", 0x3164: "HF", 0xFEFF: "ZWNBSP",
    0xFFA0: "HWHF", 0xFFF9: "IAA", 0xFFFA: "IAS", 0xFFFB: "IAT",
}  # fmt: skip
# Default_Ignorable_Code_Point (DerivedCoreProperties.txt) and the other characters that no font shows.
_UNSEEN = re.compile(
    "[\x80-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff\ufdd0-\ufdef\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
# Controls that set the direction of the text after them.
_OPENING = frozenset("\u202a\u202b\u202d\u202e\u2066\u2067\u2068\u200e\u200f\u061c")
_CLOSING = frozenset("\u202c\u2069")
BIDI_CONTROLS = _OPENING | _CLOSING
# Controls that reorder the rest of a terminal's line.
_REORDERING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
# Scripts in which a joiner or non-joiner between two letters determines how they are written.
_SHAPED = re.compile(
    "[\u0600-\u08ff\u0900-\u0dff\u0f00-\u109f\u1780-\u18af\ua840-\ua87f\ufb50-\ufdff\U00010a00-\U00011fff]"
)
_IDEOGRAPH = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")


def signs(text: str) -> list[str]:
    """Return the text to draw for each character: the character itself, or a sign if it would be invisible.

    A sign is a name in angle brackets such as ``⟨ZWSP⟩`` or ``⟨BEL⟩``, or a code point. A character that acts on its
    neighbours is unchanged, and a combining mark without a letter is put on a dotted circle.
    """
    # Most fonts lack Unicode's control pictures, which are also too small to read in print. Joiners and variation
    # selectors have an effect in an emoji, or in a script that they shape. Direction controls have their effect and
    # are shown as signs too.
    overridden = "\u202d" in text or "\u202e" in text
    shown: list[str] = []
    for i, character in enumerate(text):
        if not _hidden(character) or _acts(text, i):
            bare = not _hidden(character) and unicodedata.category(character)[0] == "M" and _bare(text, i)
            shown.append(_DOTTED_CIRCLE + character if bare else character)
            continue
        sign = _sign(character)
        if overridden:
            sign = f"\u2066{sign}\u2069"  # otherwise its letters would be reversed with the text
        before, after = character in _CLOSING, character in _OPENING
        shown.append(character * before + sign + character * after)
    return shown


def printable(text: str) -> str:
    """Return a text of the same length without characters that control a terminal."""
    return "".join(map(_printable, text))


def printable_line(text: str) -> str:
    """Return the same on one line, so that no value can look like a separate line."""
    return (
        printable(text)
        .replace("\n", "\N{SYMBOL FOR NEWLINE}")
        .replace("\t", "\N{SYMBOL FOR HORIZONTAL TABULATION}")
    )


def _printable(character: str) -> str:
    if character in "\u2028\u2029":
        return "\N{SYMBOL FOR NEWLINE}"
    if character in _REORDERING or unicodedata.category(character) == "Cs":
        return "\N{REPLACEMENT CHARACTER}"
    if character in "\n\t" or unicodedata.category(character) != "Cc":
        return character
    return chr(0x2400 + ord(character)) if ord(character) < 0x20 else "\N{REPLACEMENT CHARACTER}"


def unseen(text: str, place: int) -> bool:
    """Whether a character is shown as a sign."""
    return _hidden(text[place]) and not _acts(text, place)


def _hidden(character: str) -> bool:
    code = ord(character)
    return (
        code < 0x20
        or code == 0x7F
        or (code > 0x7F and _UNSEEN.match(character) is not None)
        or _nonchar(code)
    )


def _nonchar(code: int) -> bool:
    return code & 0xFFFE == 0xFFFE


@functools.lru_cache(maxsize=1024)
def _sign(character: str) -> str:
    code = ord(character)
    if 0xFE00 <= code <= 0xFE0F or 0xE0100 <= code <= 0xE01EF:
        return f"⟨VS{code - 0xFE00 + 1 if code < 0xE0000 else code - 0xE0100 + 17}⟩"
    if 0xE0020 < code < 0xE007F:
        return f"⟨TAG {chr(code - 0xE0000)}⟩"
    return f"⟨{_NAMES.get(code, f'U+{code:04X}')}⟩"


def _acts(text: str, place: int) -> bool:
    """Whether an invisible character has a visible effect on its neighbours."""
    character = text[place]
    code = ord(character)
    before = _base(text, place)
    after = text[place + 1 : place + 2]
    if character in "\u200c\u200d":
        shaped = bool(_SHAPED.match(before) and _SHAPED.match(after)) if before and after else False
        return shaped or (character == _JOINER and _pictorial(before) and _pictorial(after))
    if code in (0xFE0E, 0xFE0F):
        return bool(before) and unicodedata.category(before)[0] in "SPN" and text[place - 1] == before
    if 0xFE00 <= code <= 0xFE0F or 0xE0100 <= code <= 0xE01EF:
        return bool(_IDEOGRAPH.match(before)) and text[place - 1] == before
    if 0x180B <= code <= 0x180F and code != 0x180E:
        return bool(before) and "\u1800" <= before <= "\u18af"
    if 0xE0020 <= code <= 0xE007F:
        return before == "\U0001f3f4"
    return False


def _base(text: str, place: int) -> str:
    """The letter or picture that a mark or a joiner follows, or an empty string."""
    place -= 1
    while place >= 0 and (
        unicodedata.category(text[place])[0] == "M"
        or ord(text[place]) in range(0xE0020, 0xE0080)
        or 0x1F3FB <= ord(text[place]) <= 0x1F3FF
    ):
        place -= 1
    return text[place] if place >= 0 else ""


def _pictorial(character: str) -> bool:
    return bool(character) and (
        unicodedata.category(character) in ("So", "Cn") or character in "\u2640\u2642"
    )


def _bare(text: str, place: int) -> bool:
    """Whether a combining mark has no letter before it."""
    while place > 0 and unicodedata.category(text[place])[0] == "M" and not _hidden(text[place]):
        place -= 1
    is_mark = unicodedata.category(text[place])[0] == "M"
    before = text[place] if not is_mark else ""
    return not before or before.isspace() or (_hidden(before) and before not in "\u200c\u200d")


_GRAPHEME = regex.compile(r"\X")


def graphemes(text: str) -> list[Span]:
    """The spans of the visible characters of a text, in order."""
    return [match.span() for match in _GRAPHEME.finditer(text)]


def whole_graphemes(text: str, start: int, end: int) -> Span:
    """Return a span, extended until it splits no visible character."""
    borders = _borders(text)
    return borders[bisect.bisect_right(borders, start) - 1], borders[bisect.bisect_left(borders, end)]


@functools.lru_cache(maxsize=64)
def _borders(text: str) -> list[int]:
    """Positions where a text may be cut: between visible characters, and around those shown as signs."""
    borders = {0, len(text), *(start for start, _ in graphemes(text))}
    for place in range(len(text)):
        if unseen(text, place):
            borders |= {place, place + 1}
    return sorted(borders)
