"""Passage: a map's text as it is set, and where in it each token stands."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from hf_saliency.render import bidi
from hf_saliency.render.signs import signs, unseen
from hf_saliency.saliency_map import SaliencyMap
from hf_saliency.spans import Span, Token

_TAB = "    "
# White space that a token covers, and so must be seen; where no token covers it, it acts and is not seen.
_SIGNS = {"\n": "↵", "\t": "⇥"}
_SPACE = "␣"
_JOINER = "\u200d"


@dataclass(frozen=True)
class Passage:
    """Text to be set, with ``spans[column]`` the characters of each token; a newline in it ends a line.

    ``starts`` has the place at which each of the map's texts begins.
    """

    text: str
    spans: Mapping[int, Span]
    starts: tuple[int, ...] = (0,)


def visible(text: str) -> str:
    """The text in one line: a sign for each character that would not be seen, everything else as it is.

    Spaces are seen only where there is nothing else.
    """
    if text.isspace():
        return "".join(
            _SIGNS.get(c) or (_SPACE if unicodedata.category(c) == "Zs" else sign)
            for c, sign in zip(text, signs(text), strict=True)
        )
    return "".join(_SIGNS.get(c) or sign for c, sign in zip(text, signs(text), strict=True))


def isolated(text: str) -> str:
    """A label that does not turn around what stands beside it: a probability stays on its right."""
    return f"\u2068{text}\u2069" if bidi.runs_both_ways(text) else text


def token_labels(saliency_map: SaliencyMap) -> list[str]:
    """What to write for each token by itself; Arabic letters keep the forms that they have in their word."""
    shown = []
    for token, label in zip(saliency_map.tokens, saliency_map.labels, strict=True):
        own = visible(label)
        if token.start < token.end:
            text = saliency_map.texts[token.text]
            own = _JOINER * _joined(text, token.start) + own + _JOINER * _joined(text, token.end)
        shown.append(own)
    return shown


def _joined(text: str, border: int) -> bool:
    """Whether the letters before and after a border are written as one stroke."""
    before = next((c for c in reversed(text[:border]) if unicodedata.category(c) != "Mn"), "")
    after = next((c for c in text[border:] if unicodedata.category(c) != "Mn"), "")
    return _has_form(before, "INITIAL") and _has_form(after, "FINAL")


@functools.lru_cache(maxsize=4096)
def _has_form(character: str, form: str) -> bool:
    """Whether a letter joins what follows it ("INITIAL") or what stands before it ("FINAL")."""
    name = unicodedata.name(character, "") if character else ""
    try:
        return bool(name and unicodedata.lookup(f"{name} {form} FORM"))
    except KeyError:
        return False


def passage(saliency_map: SaliencyMap) -> Passage:
    """Set all texts of a map, one after another.

    What is set is the user's own string. A newline ends the line; if a token covers it, ``↵`` stands for it
    before that, as ``⇥`` does for a tab; other control characters become control pictures. A token without
    characters (a special one, or a lone word-start mark) is set under its own name where it stands in the
    input.
    """
    pieces: list[str] = []
    placed: dict[int, Span] = {}
    length = 0
    starts: list[int] = []
    for number, text in enumerate(saliency_map.texts):
        starts.append(length)
        named = _named(saliency_map, number)
        own = {i: cluster(text, t.start, t.end) for i, t in enumerate(saliency_map.tokens) if _has(t, number)}
        covered = {c for start, end in own.values() for c in range(start, end)}
        places: list[Span] = []
        shown = signs(text)
        for c in range(len(text) + 1):
            for column in named.get(c, ()):
                before = " " if pieces and not pieces[-1][-1:].isspace() else ""
                name = saliency_map.tokens[column].piece
                after = " " if c < len(text) and not text[c].isspace() else ""
                pieces.append(before + name + after)
                placed[column] = (length + len(before), length + len(before) + len(name))
                length += len(pieces[-1])
            if number and c < len(text) - len(text.lstrip(" ")) and c not in covered:
                places.append(
                    (length, length)
                )  # the space that a continuation begins with: a line of its own does
            elif c < len(text):
                pieces.append(_set(text, c, shown[c], c in covered))
                places.append((length, length + len(pieces[-1])))
                length += len(pieces[-1])
        placed |= {i: (places[start][0], places[end - 1][1]) for i, (start, end) in own.items()}
        if number + 1 < len(saliency_map.texts):
            pieces.append("\n")
            length += 1
    return Passage("".join(pieces), placed, tuple(starts))


def _has(token: Token, number: int) -> bool:
    return token.text == number and token.start < token.end


def _set(text: str, place: int, sign: str, covered: bool) -> str:
    character = text[place]
    if character == "\n":
        return "↵\n" if covered else "\n"
    if character == "\t":
        return "⇥" if covered else _TAB
    if character == "\r" and not covered and text[place + 1 : place + 2] == "\n":
        return ""
    return sign


def _named(saliency_map: SaliencyMap, number: int) -> dict[int, list[int]]:
    """Columns to be set under their own names, by the character of the text before which they stand."""
    found: dict[int, list[int]] = {}
    place = len(saliency_map.texts[number])
    for column in reversed(range(len(saliency_map.tokens))):
        token = saliency_map.tokens[column]
        if token.text != number:
            continue
        if token.start < token.end:
            place = token.start
        else:
            found.setdefault(place, []).insert(0, column)
    return found


def cluster(text: str, start: int, end: int) -> Span:
    """The span grown to whole visible characters: a combining mark is not parted from its letter."""
    while start > 0 and _joins(text, start):
        start -= 1
    while end < len(text) and _joins(text, end):
        end += 1
    return start, end


def _joins(text: str, border: int) -> bool:
    if unseen(text, border) or unseen(text, border - 1):
        return False  # a sign stands there
    character = text[border]
    marks = (
        unicodedata.category(character) in ("Mn", "Mc", "Me", "Cf") or 0x1F3FB <= ord(character) <= 0x1F3FF
    )
    return marks or text[border - 1] == "\u200d"
