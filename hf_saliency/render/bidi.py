"""The Unicode Bidirectional Algorithm (UAX #9): which way each character runs, and where it stands on a line.

Libraries for it (python-bidi, Matplotlib's own layout) hand back reordered text, but a figure has to know where
each character of each token went. Rule names in comments are those of the annex.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import groupby

from hf_saliency.render.bidi_rules import ISOLATES, NEUTRAL, brackets, direction, neutral, raised, weak
from hf_saliency.spans import Span

_DEEPEST = 125
_STRONG = {"L": 0, "R": 1, "AL": 1}
_EMBEDDINGS = {"LRE": (0, None), "RLE": (1, None), "LRO": (0, "L"), "RLO": (1, "R")}
_REMOVED = frozenset(("LRE", "RLE", "LRO", "RLO", "PDF", "BN"))
_RIGHT_TO_LEFT = re.compile(
    "[\u0590-\u08ff\u200f\u202b\u202d\u202e\u2067\u2068\ufb1d-\ufdff\ufe70-\ufeff\U00010800-\U00010fff"
    "\U0001e800-\U0001efff]"
)

_ARABIC = (
    (0x600, 0x7BF), (0x860, 0x8FF), (0xFB50, 0xFDFF), (0xFE70, 0xFEFF), (0x10D00, 0x10D3F), (0x10EC0, 0x10EFF),
    (0x10F30, 0x10F6F), (0x1EC70, 0x1ECBF), (0x1ED00, 0x1ED4F), (0x1EE00, 0x1EEFF),
)  # fmt: skip


def runs_both_ways(text: str) -> bool:
    """Whether anything in a text can run from right to left."""
    return _RIGHT_TO_LEFT.search(text) is not None


def base_level(text: str) -> int:
    """0 for a paragraph that begins on the left, 1 for one that begins on the right (rules P2 and P3)."""
    return _first_strong([_class(c) for c in text], 0) if runs_both_ways(text) else 0


def levels(text: str, base: int) -> list[int]:
    """The embedding level of each character of one paragraph: even runs to the right, odd to the left.

    Characters that the algorithm removes (embeddings, overrides and their ends) take the level of what stands
    before them. Without strong or explicit right-to-left characters, all is on level ``base``.
    """
    if base == 0 and not runs_both_ways(text):
        return [0] * len(text)
    original = [_class(c) for c in text]
    found, classes = _explicit(original, base)
    kept = [i for i, each in enumerate(original) if each not in _REMOVED]
    for sequence, start, end in list(_sequences(kept, original, found, base)):  # before levels are raised
        own = [classes[i] for i in sequence]
        weak(own, start)
        brackets([text[i] for i in sequence], own, [original[i] for i in sequence], found[sequence[0]], start)
        neutral(own, found[sequence[0]], start, end)
        for i, each in zip(sequence, own, strict=True):
            found[i] += raised(found[i], each)
    for i, each in enumerate(original):
        if each in _REMOVED:
            found[i] = found[i - 1] if i else base
    return found


def line_levels(text: str, found: Sequence[int], line: Span, base: int) -> list[int]:
    """Levels of the characters of one line: separators, and white space before them or at the end (rule L1)."""
    start, end = line
    own = list(found[start:end])
    trailing = True
    for i in reversed(range(start, end)):
        each = _class(text[i])
        if each in ("B", "S"):
            trailing = True
        if trailing and (each in NEUTRAL - {"ON"} or each in _REMOVED):
            own[i - start] = base
        else:
            trailing = False
    return own


def visual_order(found: Sequence[int]) -> list[int]:
    """Indexes of a line's characters from left to right (rule L2)."""
    order = list(range(len(found)))
    for level in range(max(found, default=0), 0, -1):
        place = 0
        for within, group in groupby(order, key=lambda i: found[i] >= level):
            count = len(list(group))
            if within:
                order[place : place + count] = order[place : place + count][::-1]
            place += count
    return order


@functools.lru_cache(maxsize=4096)
def _class(character: str) -> str:
    known = unicodedata.bidirectional(character)
    if known:
        return known
    code = ord(character)  # not assigned: DerivedBidiClass.txt names the ranges
    if 0xFDD0 <= code <= 0xFDEF or code & 0xFFFE == 0xFFFE or 0xE0000 <= code <= 0xE0FFF:
        return "BN"
    if any(low <= code <= high for low, high in _ARABIC):
        return "AL"
    if _RIGHT_TO_LEFT.match(character):
        return "R"
    return "ET" if 0x20A0 <= code <= 0x20CF else "L"


def _first_strong(classes: Sequence[str], default: int, start: int = 0, *, isolated: bool = False) -> int:
    """P2, P3; of an isolate, up to its end."""
    depth = 0
    for each in classes[start:]:
        if each in ISOLATES:
            depth += 1
        elif each == "PDI":
            if depth == 0 and isolated:
                return default
            depth = max(0, depth - 1)
        elif depth == 0 and each in _STRONG:
            return _STRONG[each]
    return default


def _explicit(original: Sequence[str], base: int) -> tuple[list[int], list[str]]:
    """X1 to X8: levels and classes after embeddings, overrides and isolates."""
    found, classes = [base] * len(original), list(original)
    stack: list[tuple[int, str | None, bool]] = [(base, None, False)]
    lost_isolates = lost_embeddings = valid_isolates = 0
    for i, each in enumerate(original):
        level, override, _ = stack[-1]
        if each in _EMBEDDINGS or each in ISOLATES:
            isolate = each in ISOLATES
            if isolate:
                found[i], classes[i] = level, override or each
            parity, forced = (ISOLATES[each], None) if isolate else _EMBEDDINGS[each]
            if parity == 2:
                parity = _first_strong(original, 0, i + 1, isolated=True)
            deeper = level + 1 if (level + 1) % 2 == parity else level + 2
            if deeper <= _DEEPEST and not lost_isolates and not lost_embeddings:
                stack.append((deeper, forced, isolate))
                valid_isolates += isolate
            elif isolate:
                lost_isolates += 1
            elif not lost_isolates:
                lost_embeddings += 1
        elif each == "PDI":
            if lost_isolates:
                lost_isolates -= 1
            elif valid_isolates:
                lost_embeddings = 0
                while not stack[-1][2]:
                    stack.pop()
                stack.pop()
                valid_isolates -= 1
            found[i], classes[i] = stack[-1][0], stack[-1][1] or each
        elif each == "PDF":
            if not lost_isolates and lost_embeddings:
                lost_embeddings -= 1
            elif not lost_isolates and not stack[-1][2] and len(stack) > 1:
                stack.pop()
        elif each not in ("BN", "B"):
            found[i], classes[i] = level, override or each
    return found, classes


def _sequences(
    kept: Sequence[int], original: Sequence[str], found: Sequence[int], base: int
) -> Iterator[tuple[list[int], str, str]]:
    """X10: isolating run sequences, with the direction before and after each."""
    runs = [list(group) for _, group in groupby(kept, key=lambda i: found[i])]
    matching = _matching(original)
    beginning = {run[0]: run for run in runs}
    place = {i: number for number, i in enumerate(kept)}
    ends = {end for start, end in matching.items()}
    for run in runs:
        if original[run[0]] == "PDI" and run[0] in ends:
            continue
        sequence = list(run)
        while original[sequence[-1]] in ISOLATES and matching.get(sequence[-1]) in beginning:
            sequence += beginning[matching[sequence[-1]]]
        level, first, last = found[sequence[0]], place[sequence[0]], place[sequence[-1]]
        before = found[kept[first - 1]] if first else base
        open_ended = original[sequence[-1]] in ISOLATES
        after = found[kept[last + 1]] if last + 1 < len(kept) and not open_ended else base
        yield sequence, direction(max(level, before)), direction(max(level, after))


def _matching(original: Sequence[str]) -> dict[int, int]:
    """BD9: each isolate's end."""
    found, stack = {}, []
    for i, each in enumerate(original):
        if each in ISOLATES:
            stack.append(i)
        elif each == "PDI" and stack:
            found[stack.pop()] = i
    return found
