"""Passage: a map's text as it is set, and where in it each token stands."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from hf_saliency.saliency_map import SaliencyMap
from hf_saliency.spans import Span, Token

_TAB = "    "
# White space that a token covers, and so must be seen; where no token covers it, it acts and is not seen.
_SIGNS = {"\n": "↵", "\t": "⇥"}


@dataclass(frozen=True)
class Passage:
    """Text to be set, with ``spans[column]`` the characters of each token; a newline in it ends a line."""

    text: str
    spans: Mapping[int, Span]


def visible(text: str) -> str:
    """The text in one line: a sign for each control character, everything else as it is."""
    return "".join(_SIGNS.get(c) or _control(c) for c in text)


def _control(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else character


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
    for number, text in enumerate(saliency_map.texts):
        named = _named(saliency_map, number)
        own = {i: cluster(text, t.start, t.end) for i, t in enumerate(saliency_map.tokens) if _has(t, number)}
        covered = {c for start, end in own.values() for c in range(start, end)}
        places: list[Span] = []
        for c in range(len(text) + 1):
            for column in named.get(c, ()):
                before = " " if pieces and not pieces[-1][-1:].isspace() else ""
                name = saliency_map.tokens[column].piece
                after = " " if c < len(text) and not text[c].isspace() else ""
                pieces.append(before + name + after)
                placed[column] = (length + len(before), length + len(before) + len(name))
                length += len(pieces[-1])
            if c < len(text):
                pieces.append(_set(text[c], c in covered))
                places.append((length, length + len(pieces[-1])))
                length += len(pieces[-1])
        placed |= {i: (places[start][0], places[end - 1][1]) for i, (start, end) in own.items()}
        if number + 1 < len(saliency_map.texts):
            pieces.append("\n")
            length += 1
    return Passage("".join(pieces), placed)


def _has(token: Token, number: int) -> bool:
    return token.text == number and token.start < token.end


def _set(character: str, covered: bool) -> str:
    if character == "\n":
        return "↵\n" if covered else "\n"
    if character == "\t":
        return "⇥" if covered else _TAB
    return _control(character)


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
    character = text[border]
    marks = unicodedata.category(character) in ("Mn", "Me", "Cf") or 0x1F3FB <= ord(character) <= 0x1F3FF
    return marks or text[border - 1] == "\u200d"
