"""Tokens and words as character spans of the user's own string.

A span is ``(start, end)``, and ``text[start:end]`` are the characters that it covers. Nothing here depends on a
tokenizer's marks (``##``, ``Ġ``, ``▁``): readers always see a slice of the text.
"""

from __future__ import annotations

import bisect
import dataclasses
import functools
import itertools
import operator
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hf_saliency.errors import SaliencyError

Span = tuple[int, int]

_APOSTROPHES = "'’＇"
_SIGNS = {"\n": "↵", "\r": "↵", "\t": "⇥", " ": "␣"}
_PART = re.compile(r" \d+/\d+")  # follows the character in the name of one of its parts
_ZERO_WIDTH_SPACE = "\u200b"
# Scripts written without spaces between words; without a dictionary, each letter counts as a word.
_UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19DF),  # Tai Le, New Tai Lue
    (0x1A20, 0x1AAF),  # Tai Tham
    (0x3005, 0x312F),  # kana, bopomofo, iteration marks
    (0x31A0, 0x9FFF),  # ideographs
    (0xA9E0, 0xA9FF),  # Myanmar
    (0xAA60, 0xAADF),  # Myanmar, Tai Viet
    (0xF900, 0xFAFF),  # ideographs
    (0xFF66, 0xFF9F),  # halfwidth kana
    (0x1AFF0, 0x1B16F),  # kana
    (0x20000, 0x3FFFF),  # ideographs
)


@dataclass(frozen=True, slots=True)
class Token:
    """One input token: a column of a map.

    Parameters
    ----------
    piece
        Display name of the token where the text has none: ``"[CLS]"`` for a special token, signs such as ``"↵"`` for
        white space, ``"é 1/2"`` for a part of a character, ``"…ing"`` for a piece that continues a word.
    start, end
        The characters of the text that the token covers, ``text[start:end]``; an empty span for a token that the
        tokenizer added.
    text_index
        Number of the explained text that it belongs to.
    special
        Whether it is a special token; False for the mask and the unknown token.

    Raises
    ------
    SaliencyError
        If the piece is not a string.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> text, token = "She drank hot tea.", hs.Token("hot", 10, 13)
    >>> text[token.start : token.end]
    'hot'
    """

    piece: str
    start: int
    end: int
    text_index: int = 0
    special: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.piece, str):
            raise SaliencyError(f"piece must be a string, not {type(self.piece).__name__}.")
        # Checked one by one: a loop takes three times as long, and a corpus has millions of tokens.
        if type(self.start) is type(self.end) is type(self.text_index) is int and type(self.special) is bool:
            return
        # Offsets are often NumPy integers, which JSON cannot hold.
        for name in ("start", "end", "text_index"):
            object.__setattr__(self, name, operator.index(getattr(self, name)))
        object.__setattr__(self, "special", bool(self.special))


def trim(text: str, start: int, end: int) -> Span:
    """Remove the white space at both ends of a span, unless it is white space alone."""
    piece = text[start:end]
    if len(piece.strip()) in (0, len(piece)):  # nearly all spans
        return start, end
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


def signs(text: str) -> str:
    """Replace white space by signs: ↵ for a line break, ⇥ for a tab, ␣ for any other."""
    text = text.replace("\r\n", "\n")
    return "".join(_SIGNS.get(character, "␣" if character.isspace() else character) for character in text)


def label(text: str, token: Token) -> str:
    """The display name of a token: its slice of the text, signs for white space, or its piece if that tells more."""
    covered = text[token.start : token.end]
    if not covered.strip():
        return signs(covered) or token.piece
    return token.piece if _PART.fullmatch(token.piece.removeprefix(covered)) else covered


def with_parts(texts: Sequence[str], tokens: Sequence[Token], columns: Iterable[int]) -> tuple[Token, ...]:
    """Name the tokens of ``columns`` that are parts of the same characters: ``"é 1/2"``."""
    named = list(tokens)
    for (number, start, end), group in itertools.groupby(
        columns, key=lambda i: (tokens[i].text_index, tokens[i].start, tokens[i].end)
    ):
        run, covered = list(group), texts[number][start:end]
        for count, i in enumerate(run, 1):
            piece = f"{covered} {count}/{len(run)}" if len(run) > 1 else covered
            named[i] = dataclasses.replace(tokens[i], piece=piece)
    return tuple(named)


def words(text: str) -> list[Span]:
    """Words of a text: runs of letters, digits and underscores; any other character is a separate word.

    They are disjoint and in reading order. Together they cover everything except white space.
    """
    # An apostrophe between two letters belongs to its word (don't), a hyphen does not. Combining marks, vowel signs,
    # variation selectors, skin tones and invisible format characters stay with the character before them; a zero-width
    # joiner holds an emoji together, and two regional indicators are a flag. In scripts without spaces between words
    # (Chinese, Japanese, Thai, Lao, Khmer, Myanmar) each letter with its marks is a word, so that tokens are merged
    # there only if they share a letter. White space and the zero-width space separate words.
    spans: list[Span] = []
    start, previous = 0, "space"
    for i, character in enumerate(text):
        kind = _kind(character)
        if kind == "apostrophe":
            between = previous == "letter" and i + 1 < len(text) and _kind(text[i + 1]) == "letter"
            kind = "letter" if between else "single"
        if not _joined(previous, kind):
            if previous != "space":
                spans.append((start, i))
            start = i
        previous = _state(previous, kind)
    if previous != "space":
        spans.append((start, len(text)))
    return spans


def _joined(previous: str, kind: str) -> bool:
    """Whether a character of this kind continues a word that is in the state ``previous``."""
    if "space" in (previous, kind):
        return False
    alike = kind == previous and kind in ("letter", "flag")
    return alike or kind in ("extend", "join") or previous == "join"


def _state(previous: str, kind: str) -> str:
    """The state of a word after one more character."""
    if kind == "extend":
        return "join" if previous == "space" else previous  # marks without a base belong to what comes next
    if kind == "join":
        return "letter" if previous == "letter" else "join"  # inside a word, a joiner changes only its shape
    return "single" if kind == previous == "flag" else kind


@functools.lru_cache(maxsize=4096)
def _kind(character: str) -> str:
    if character.isspace() or character == _ZERO_WIDTH_SPACE:
        return "space"
    if character in _APOSTROPHES:
        return "apostrophe"
    if character == "\u200d":
        return "join"
    code = ord(character)
    category = unicodedata.category(character)
    if category[0] == "M" or category == "Cf" or 0x1F3FB <= code <= 0x1F3FF:
        return "extend"
    if 0x1F1E6 <= code <= 0x1F1FF:
        return "flag"
    if category != "Nd" and any(low <= code <= high for low, high in _UNSPACED):
        return "single"
    return "letter" if category[0] in "LN" or category == "Pc" else "single"


def occurrences(text: str, phrase: str) -> list[Span]:
    """Every place where a phrase occurs in a text as whole words; case matters."""
    phrase = phrase.strip()
    inside = {border for start, end in words(text) for border in range(start + 1, end)}
    spans: list[Span] = []
    start = text.find(phrase) if phrase else -1
    while start >= 0:
        end = start + len(phrase)
        if start not in inside and end not in inside:
            spans.append((start, end))
        start = text.find(phrase, start + 1)
    return spans


def overlapping(spans: Sequence[Span], start: int, end: int) -> list[int]:
    """Indexes of the spans that share at least one character with ``text[start:end]``."""
    return [i for i, (a, b) in enumerate(spans) if max(a, start) < min(b, end)]


class Places:
    """Spans for many look-ups: finds the same as :func:`overlapping` without testing every span."""

    def __init__(self, spans: Sequence[Span]) -> None:
        self._spans = spans
        self._order = sorted(range(len(spans)), key=spans.__getitem__)
        self._starts = [spans[i][0] for i in self._order]
        self._reached = list(itertools.accumulate((spans[i][1] for i in self._order), max))

    def overlapping(self, start: int, end: int) -> list[int]:
        """Indexes of the spans that share at least one character with ``text[start:end]``."""
        near = self._order[bisect.bisect_right(self._reached, start) : bisect.bisect_left(self._starts, end)]
        return sorted(i for i in near if max(self._spans[i][0], start) < min(self._spans[i][1], end))


def merge(spans: Iterable[Span], units: Sequence[Span]) -> list[list[int]]:
    """Group spans by the disjoint units (such as words) that they touch: indexes of ``spans``, each once, ascending.

    Spans that touch a common unit are in one group, so a token that covers several words joins them. A span that
    touches no unit is a group alone.
    """
    spans = list(spans)
    groups: list[list[int]] = []
    word: list[int] = []  # the newest group that touches units; last_unit is the last of these units
    first, last_unit = 0, -1
    for i in sorted(range(len(spans)), key=spans.__getitem__):
        start, end = spans[i]
        while first < len(units) and units[first][1] <= start:
            first += 1
        touched = first
        while touched < len(units) and max(units[touched][0], start) < min(units[touched][1], end):
            touched += 1
        if touched == first:
            groups.append([i])
            continue
        if first > last_unit:
            word = []
            groups.append(word)
        word.append(i)
        last_unit = max(last_unit, touched - 1)
    return sorted(sorted(group) for group in groups)


def word_groups(texts: Sequence[str], tokens: Sequence[Token]) -> list[list[int]]:
    """Groups of columns that belong to one word, in reading order; each special token is a group alone."""
    groups = [[i] for i, token in enumerate(tokens) if token.special]
    for number, text in enumerate(texts):
        plain = [i for i, token in enumerate(tokens) if token.text_index == number and not token.special]
        places = [(tokens[i].start, tokens[i].end) for i in plain]
        groups += [[plain[i] for i in group] for group in merge(places, words(text))]
    return sorted(groups)


def entity_label(label: str) -> tuple[str, str]:
    """Split a label into its prefix in the IOB, BIOES or BILOU scheme (empty if it has none) and its entity."""
    prefix, dash, entity = label.partition("-")
    return (prefix, entity) if dash and prefix in ("B", "I", "E", "S", "L", "U") else ("", label)


def entities(columns: Sequence[int], labels: Sequence[str]) -> list[list[int]]:
    """Runs of neighbouring columns of one entity, as indexes of both lists; "B-" starts a new run, "O" is no entity."""
    groups: list[list[int]] = []
    before = ""  # the entity that may continue
    for k, (column, label) in enumerate(zip(columns, labels, strict=True)):
        prefix, entity = entity_label(label)
        if entity == "O":
            before = ""
            continue
        neighbours = k > 0 and columns[k - 1] == column - 1
        if groups and entity == before and neighbours and prefix not in ("B", "S", "U"):
            groups[-1].append(k)
        else:
            groups.append([k])
        before = "" if prefix in ("E", "L", "S", "U") else entity
    return groups
