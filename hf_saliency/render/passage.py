"""Passage: a map's text as it is set, and the place of each token in it."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hf_saliency.errors import SaliencyError, whole
from hf_saliency.maps import spans
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.maps.spans import Span, Token
from hf_saliency.render.typeset import bidi
from hf_saliency.render.typeset.characters import signs, whole_graphemes

_TAB = "    "
_SEEN_TAB = "⇥\u00a0\u00a0"  # about as wide, since the sign is wider than a space
# White space must be visible where a token covers it. Elsewhere it only separates.
_SIGNS = {"\n": "↵", "\t": "⇥"}
_SPACE = "␣"
_JOINER = "\u200d"


@dataclass(frozen=True)
class Passage:
    """Text to be set, with the characters of each token in ``spans[column]``; a newline in it ends a line.

    ``starts`` holds the place where each of the map's texts begins, and ``white_space`` the places of signs for a line
    break or a tab.
    """

    text: str
    spans: Mapping[int, Span]
    starts: tuple[int, ...] = (0,)
    white_space: frozenset[int] = frozenset()


def visible(text: str) -> str:
    """The text in one line, with a sign for each invisible character and everything else unchanged.

    Spaces get a sign only in a text that is all white space.
    """
    if text.isspace():
        return "".join(
            _SIGNS.get(c) or (_SPACE if unicodedata.category(c) == "Zs" else sign)
            for c, sign in zip(text, signs(text), strict=True)
        )
    return "".join(_SIGNS.get(c) or sign for c, sign in zip(text, signs(text), strict=True))


def isolated(text: str) -> str:
    """Isolate a label with right-to-left letters, so that a probability next to it stays on its right."""
    return text if text.isascii() or not bidi.runs_both_ways(text) else f"\u2068{text}\u2069"


def token_labels(saliency_map: SaliencyMap) -> list[str]:
    """The text to write for each token by itself; Arabic letters keep the forms that they have in their word."""
    shown = []
    for token, label in zip(saliency_map.tokens, saliency_map.labels, strict=True):
        text_shown = visible(label)
        if token.start < token.end:
            text = saliency_map.texts[token.text_index]
            text_shown = (
                _JOINER * _joined(text, token.start) + text_shown + _JOINER * _joined(text, token.end)
            )
        shown.append(text_shown)
    return shown


def _joined(text: str, border: int) -> bool:
    """Whether the letters before and after a border are written as one stroke."""
    before = next((c for c in reversed(text[:border]) if unicodedata.category(c) != "Mn"), "")
    after = next((c for c in text[border:] if unicodedata.category(c) != "Mn"), "")
    return _has_form(before, "INITIAL") and _has_form(after, "FINAL")


@functools.lru_cache(maxsize=4096)
def _has_form(character: str, form: str) -> bool:
    """Whether a letter joins the letter after it ("INITIAL") or the letter before it ("FINAL")."""
    name = unicodedata.name(character, "") if character else ""
    try:
        return bool(name and unicodedata.lookup(f"{name} {form} FORM"))
    except KeyError:
        return False


def passage(saliency_map: SaliencyMap) -> Passage:
    """Set all texts of a map, one after another, as the user's own strings.

    A newline ends the line, with ``↵`` before it if a token covers it. A tab is as wide as an indent. Other control
    characters have signs. A token without characters, such as a special token, is set as its own name.
    """
    pieces: list[str] = []
    placed: dict[int, Span] = {}
    length = 0
    starts: list[int] = []
    white_space: set[int] = set()
    for number, text in enumerate(saliency_map.texts):
        starts.append(length)
        named = _named(saliency_map, number)
        spans_of = {
            i: whole_graphemes(text, t.start, t.end)
            for i, t in enumerate(saliency_map.tokens)
            if _has(t, number)
        }
        covered = {c for start, end in spans_of.values() for c in range(start, end)}
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
                )  # the space at the start of a continuation: its new line separates already
            elif c < len(text):
                pieces.append(_set(text, c, shown[c], c in covered))
                places.append((length, length + len(pieces[-1])))
                if text[c] in _SIGNS and c in covered:
                    white_space.add(length)
                length += len(pieces[-1])
        placed |= {i: (places[start][0], places[end - 1][1]) for i, (start, end) in spans_of.items()}
        if number + 1 < len(saliency_map.texts):
            pieces.append("\n")
            length += 1
    return Passage("".join(pieces), placed, tuple(starts), frozenset(white_space))


def _has(token: Token, number: int) -> bool:
    return token.text_index == number and token.start < token.end


def _set(text: str, place: int, sign: str, covered: bool) -> str:
    character = text[place]
    if character == "\n":
        stop = "\n" * (place + 1 < len(text))  # the last line break of a text starts no new line
        return "↵" + stop if covered else stop
    if character == "\t":
        return _SEEN_TAB if covered else _TAB
    if character == "\r" and not covered and text[place + 1 : place + 2] == "\n":
        return ""
    return sign


def _named(saliency_map: SaliencyMap, number: int) -> dict[int, list[int]]:
    """The columns of tokens to be set as their own names, by the character before which each is set."""
    columns: dict[int, list[int]] = {}
    place = len(saliency_map.texts[number])
    for column in reversed(range(len(saliency_map.tokens))):
        token = saliency_map.tokens[column]
        if token.text_index != number:
            continue
        if token.start < token.end:
            place = token.start
        else:
            columns.setdefault(place, []).insert(0, column)
    return columns


def erased(part: SaliencyMap, hidden: Sequence[Token]) -> SaliencyMap:
    """The map without the characters of hidden special tokens, which a template has written into the text."""
    cuts = [token for token in hidden if token.start < token.end]
    if not cuts:
        return part
    kept = [np.ones(len(text), dtype=bool) for text in part.texts]
    for token in cuts:
        kept[token.text_index][token.start : token.end] = False
    for token in part.tokens:
        kept[token.text_index][token.start : token.end] = True
    places = [np.concatenate([[0], np.cumsum(flags)]).tolist() for flags in kept]
    return dataclasses.replace(
        part,
        texts=tuple(
            "".join(itertools.compress(text, flags)) for text, flags in zip(part.texts, kept, strict=True)
        ),
        tokens=tuple(
            dataclasses.replace(
                token, start=places[token.text_index][token.start], end=places[token.text_index][token.end]
            )
            for token in part.tokens
        ),
    )


CUT = "…"


def excerpt(saliency_map: SaliencyMap, around: int) -> SaliencyMap:
    """The tokens up to a distance from any target, in a text with an ellipsis for each cut; words stay whole.

    Refuses a distance that is not an integer of 0 or more, and a target that has no token.
    """
    distance = whole(around, "around", least=0)
    places = [place for target in saliency_map.targets for place in target.positions]
    unread = [t.label for t in saliency_map.targets if t.position is None]
    if unread:
        raise SaliencyError(
            f"around={around} needs targets whose tokens are drawn, but {unread[0]!r} has none. Omit around=, or show "
            "special tokens."
        )
    near = {p + step for p in places for step in range(-distance, distance + 1)}
    groups = spans.word_groups(saliency_map.texts, saliency_map.tokens)
    columns = sorted(i for group in groups if not near.isdisjoint(group) for i in group)
    part = saliency_map.part(range(len(saliency_map.targets)), columns)
    cut = [_cut(part, number) for number in range(len(part.texts))]
    return dataclasses.replace(
        part,
        texts=tuple(text for text, _ in cut),
        tokens=tuple(_moved(token, cut[token.text_index][1]) for token in part.tokens),
    )


def _cut(part: SaliencyMap, number: int) -> tuple[str, list[tuple[Span, int]]]:
    """The shorter text, and the place in it where each stretch kept from the whole text begins."""
    text = part.texts[number]
    pieces: list[str] = []
    kept: list[tuple[Span, int]] = []
    length = end_before = 0
    for start, end in _stretches(text, [t for t in part.tokens if t.text_index == number]):
        between = text[end_before:start]
        left_out = bool(between.strip())
        if left_out:
            between = f"{CUT} " if not pieces else f" {CUT} "
        pieces += [between, text[start:end]]
        length += len(between)
        kept.append(((start, end), length))
        length, end_before = length + end - start, end
    if text[end_before:].strip():
        pieces.append(f" {CUT}" if pieces else CUT)
    return "".join(pieces), kept


def _stretches(text: str, tokens: Sequence[Token]) -> list[Span]:
    """The stretches of text that the tokens cover; two with only white space between them are merged."""
    stretches: list[Span] = []
    places = [whole_graphemes(text, t.start, t.end) if t.start < t.end else (t.start, t.end) for t in tokens]
    for start, end in sorted(places):
        if stretches and not text[stretches[-1][1] : start].strip():
            start, end = stretches[-1][0], max(stretches[-1][1], end)
            stretches.pop()
        stretches.append((start, end))
    return stretches


def _moved(token: Token, kept: Sequence[tuple[Span, int]]) -> Token:
    (first, _), place = next(
        stretch for stretch in kept if stretch[0][0] <= token.start <= token.end <= stretch[0][1]
    )
    return dataclasses.replace(token, start=token.start - first + place, end=token.end - first + place)
