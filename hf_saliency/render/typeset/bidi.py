"""The Unicode Bidirectional Algorithm (UAX #9): the direction of each character and its place on a line.

Libraries for it (python-bidi, Matplotlib's own layout) return reordered text, but a figure has to know the place
of each character of each token. Rule names such as W1 are those of the annex.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import groupby

from hf_saliency.maps.spans import Span

ISOLATES = {"LRI": 0, "RLI": 1, "FSI": 2}
NEUTRAL = frozenset(("B", "S", "WS", "ON", "LRI", "RLI", "FSI", "PDI"))
# Opening and closing brackets, alternating (BidiBrackets.txt).
_BRACKETS = (
    "()[]{}༺༻༼༽᚛᚜⁅⁆⁽⁾₍₎⌈⌉⌊⌋\u2329\u232a❨❩❪❫❬❭❮❯❰❱❲❳❴❵⟅⟆⟦⟧⟨⟩⟪⟫⟬⟭⟮⟯⦃⦄⦅⦆⦇⦈⦉⦊⦋⦌⦍⦐⦏⦎⦑⦒⦓⦔⦕⦖⦗⦘⧘⧙⧚⧛⧼⧽"
    "⸢⸣⸤⸥⸦⸧⸨⸩\u2e55\u2e56\u2e57\u2e58\u2e59\u2e5a\u2e5b\u2e5c〈〉《》「」『』【】〔〕〖〗〘〙〚〛﹙﹚﹛﹜﹝﹞（）［］｛｝｟｠｢｣"
)
_CANONICAL = {"\u2329": "〈", "\u232a": "〉"}
_CLOSING = {o: _CANONICAL.get(c, c) for o, c in zip(_BRACKETS[::2], _BRACKETS[1::2], strict=True)}
_CLOSERS = frozenset(_BRACKETS[1::2])


def direction(level: int) -> str:
    return "R" if level % 2 else "L"


def weak(kinds: list[str], start: str) -> None:
    """Apply rules W1 to W7 in place."""
    strong, previous = start, start
    for i, kind in enumerate(kinds):
        if kind == "NSM":
            kinds[i] = "ON" if previous in (*ISOLATES, "PDI") else previous
        elif kind == "EN" and strong == "AL":
            kinds[i] = "AN"
        if kind in ("L", "R", "AL"):
            strong = kind
        previous = kinds[i]
    kinds[:] = ["R" if kind == "AL" else kind for kind in kinds]
    for i in range(1, len(kinds) - 1):
        before, kind, after = kinds[i - 1 : i + 2]
        if before == after and (
            (kind == "CS" and before in ("EN", "AN")) or (kind == "ES" and before == "EN")
        ):
            kinds[i] = before
    place = 0
    for kind, group in groupby(list(kinds)):
        end = place + len(list(group))
        touches = (place and kinds[place - 1] == "EN") or (end < len(kinds) and kinds[end] == "EN")
        if kind == "ET" and touches:
            kinds[place:end] = ["EN"] * (end - place)
        place = end
    strong = start
    for i, kind in enumerate(kinds):
        if kind in ("ES", "ET", "CS"):
            kinds[i] = "ON"
        elif kind == "EN" and strong == "L":
            kinds[i] = "L"
        elif kind in ("L", "R", "AL"):
            strong = kind


def brackets(
    characters: Sequence[str], kinds: list[str], original: Sequence[str], level: int, start: str
) -> None:
    """Apply rule N0 in place: both brackets of a pair take the direction of the text inside, or that before them."""
    embedding = direction(level)
    for opening, closing in _pairs(characters, kinds):
        inside = {_strong(kinds[i]) for i in range(opening + 1, closing)} - {None}
        if embedding in inside:
            chosen = embedding
        elif inside:
            context = next((s for i in reversed(range(opening)) if (s := _strong(kinds[i]))), start)
            chosen = context
        else:
            continue
        for bracket in (opening, closing):
            kinds[bracket] = chosen
            i = bracket + 1
            while i < len(kinds) and original[i] == "NSM":
                kinds[i] = chosen
                i += 1


def _strong(kind: str) -> str | None:
    return {"L": "L", "R": "R", "EN": "R", "AN": "R"}.get(kind)


def _pairs(characters: Sequence[str], kinds: Sequence[str]) -> list[Span]:
    """Return the pairs of brackets (BD16); none if more than 63 are open at a time."""
    stack: list[tuple[str, int]] = []
    pairs: list[Span] = []
    for i, (character, kind) in enumerate(zip(characters, kinds, strict=True)):
        if kind != "ON":
            continue
        if character in _CLOSING:
            if len(stack) == 63:
                return []
            stack.append((_CLOSING[character], i))
        elif character in _CLOSERS:
            closing = _CANONICAL.get(character, character)
            for depth in reversed(range(len(stack))):
                if stack[depth][0] == closing:
                    pairs.append((stack[depth][1], i))
                    del stack[depth:]
                    break
    return sorted(pairs)


def neutral(kinds: list[str], level: int, start: str, end: str) -> None:
    """Apply rules N1 and N2 in place."""
    place = 0
    for neutral, group in groupby(list(kinds), key=NEUTRAL.__contains__):
        stop = place + len(list(group))
        if neutral:
            before = (_strong(kinds[place - 1]) or start) if place else start
            after = (_strong(kinds[stop]) or end) if stop < len(kinds) else end
            kinds[place:stop] = [before if before == after else direction(level)] * (stop - place)
        place = stop


def raised(level: int, kind: str) -> int:
    """Return how far rules I1 and I2 raise a level."""
    if level % 2:
        return 0 if kind == "R" else 1
    return {"R": 1, "AN": 2, "EN": 2}.get(kind, 0)


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
    """Return 0 for a paragraph that begins at the left, 1 for one that begins at the right (rules P2 and P3)."""
    return _first_strong([_class(c) for c in text], 0) if runs_both_ways(text) else 0


def levels(text: str, base: int) -> list[int]:
    """Return the embedding level of each character of a paragraph: even levels run to the right, odd ones to the left.

    Characters that the algorithm removes (embeddings, overrides and their ends) take the level of the character
    before them. Without strong or explicit right-to-left characters, every level is ``base``.
    """
    if base == 0 and not runs_both_ways(text):
        return [0] * len(text)
    original = [_class(c) for c in text]
    text_levels, classes = _explicit(original, base)
    kept = [i for i, kind in enumerate(original) if kind not in _REMOVED]
    for sequence, start, end in list(
        _sequences(kept, original, text_levels, base)
    ):  # all found before levels are raised
        kinds = [classes[i] for i in sequence]
        weak(kinds, start)
        brackets(
            [text[i] for i in sequence],
            kinds,
            [original[i] for i in sequence],
            text_levels[sequence[0]],
            start,
        )
        neutral(kinds, text_levels[sequence[0]], start, end)
        for i, kind in zip(sequence, kinds, strict=True):
            text_levels[i] += raised(text_levels[i], kind)
    for i, kind in enumerate(original):
        if kind in _REMOVED:
            text_levels[i] = text_levels[i - 1] if i else base
    return text_levels


def line_levels(text: str, text_levels: Sequence[int], line: Span, base: int) -> list[int]:
    """Return the levels of a line: ``base`` for separators, and for white space before them or at the end (rule L1)."""
    start, end = line
    own_levels = list(text_levels[start:end])
    trailing = True
    for i in reversed(range(start, end)):
        kind = _class(text[i])
        if kind in ("B", "S"):
            trailing = True
        if trailing and (kind in NEUTRAL - {"ON"} or kind in _REMOVED):
            own_levels[i - start] = base
        else:
            trailing = False
    return own_levels


def visual_order(levels: Sequence[int]) -> list[int]:
    """Return the indices of a line's characters from left to right (rule L2)."""
    order = list(range(len(levels)))
    for level in range(max(levels, default=0), 0, -1):
        place = 0
        for within, group in groupby(order, key=lambda i: levels[i] >= level):
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
    """Return the level of the first strong character (P2, P3); in an isolate, only up to its end."""
    depth = 0
    for kind in classes[start:]:
        if kind in ISOLATES:
            depth += 1
        elif kind == "PDI":
            if depth == 0 and isolated:
                return default
            depth = max(0, depth - 1)
        elif depth == 0 and kind in _STRONG:
            return _STRONG[kind]
    return default


def _explicit(original: Sequence[str], base: int) -> tuple[list[int], list[str]]:
    """Apply rules X1 to X8: return levels and classes after embeddings, overrides and isolates."""
    levels, classes = [base] * len(original), list(original)
    stack: list[tuple[int, str | None, bool]] = [(base, None, False)]
    lost_isolates = lost_embeddings = valid_isolates = 0
    for i, kind in enumerate(original):
        level, override, _ = stack[-1]
        if kind in _EMBEDDINGS or kind in ISOLATES:
            isolate = kind in ISOLATES
            if isolate:
                levels[i], classes[i] = level, override or kind
            parity, forced = (ISOLATES[kind], None) if isolate else _EMBEDDINGS[kind]
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
        elif kind == "PDI":
            if lost_isolates:
                lost_isolates -= 1
            elif valid_isolates:
                lost_embeddings = 0
                while not stack[-1][2]:
                    stack.pop()
                stack.pop()
                valid_isolates -= 1
            levels[i], classes[i] = stack[-1][0], stack[-1][1] or kind
        elif kind == "PDF":
            if not lost_isolates and lost_embeddings:
                lost_embeddings -= 1
            elif not lost_isolates and not stack[-1][2] and len(stack) > 1:
                stack.pop()
        elif kind not in ("BN", "B"):
            levels[i], classes[i] = level, override or kind
    return levels, classes


def _sequences(
    kept: Sequence[int], original: Sequence[str], levels: Sequence[int], base: int
) -> Iterator[tuple[list[int], str, str]]:
    """Yield the isolating run sequences (X10), with the direction before and after each."""
    runs = [list(group) for _, group in groupby(kept, key=lambda i: levels[i])]
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
        level, first, last = levels[sequence[0]], place[sequence[0]], place[sequence[-1]]
        before = levels[kept[first - 1]] if first else base
        open_ended = original[sequence[-1]] in ISOLATES
        after = levels[kept[last + 1]] if last + 1 < len(kept) and not open_ended else base
        yield sequence, direction(max(level, before)), direction(max(level, after))


def _matching(original: Sequence[str]) -> dict[int, int]:
    """Map the start of each isolate to its end (BD9)."""
    ends, stack = {}, []
    for i, kind in enumerate(original):
        if kind in ISOLATES:
            stack.append(i)
        elif kind == "PDI" and stack:
            ends[stack.pop()] = i
    return ends
