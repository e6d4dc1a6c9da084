"""Rules W1 to W7, N0 to N2, I1 and I2 of the Unicode Bidirectional Algorithm, on one isolating run sequence.

Each takes the classes of a sequence's characters and, where it says so, changes them in place; ``start`` and
``end`` are the directions at its two ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from hf_saliency.spans import Span

ISOLATES = {"LRI": 0, "RLI": 1, "FSI": 2}
NEUTRAL = frozenset(("B", "S", "WS", "ON", "LRI", "RLI", "FSI", "PDI"))
# Opening and closing brackets, in turn (BidiBrackets.txt).
_BRACKETS = (
    "()[]{}༺༻༼༽᚛᚜⁅⁆⁽⁾₍₎⌈⌉⌊⌋\u2329\u232a❨❩❪❫❬❭❮❯❰❱❲❳❴❵⟅⟆⟦⟧⟨⟩⟪⟫⟬⟭⟮⟯⦃⦄⦅⦆⦇⦈⦉⦊⦋⦌⦍⦐⦏⦎⦑⦒⦓⦔⦕⦖⦗⦘⧘⧙⧚⧛⧼⧽"
    "⸢⸣⸤⸥⸦⸧⸨⸩\u2e55\u2e56\u2e57\u2e58\u2e59\u2e5a\u2e5b\u2e5c〈〉《》「」『』【】〔〕〖〗〘〙〚〛﹙﹚﹛﹜﹝﹞（）［］｛｝｟｠｢｣"
)
_CANONICAL = {"\u2329": "〈", "\u232a": "〉"}
_CLOSING = {o: _CANONICAL.get(c, c) for o, c in zip(_BRACKETS[::2], _BRACKETS[1::2], strict=True)}
_CLOSERS = frozenset(_BRACKETS[1::2])


def direction(level: int) -> str:
    return "R" if level % 2 else "L"


def weak(own: list[str], start: str) -> None:
    """W1 to W7, in place."""
    strong, previous = start, start
    for i, each in enumerate(own):
        if each == "NSM":
            own[i] = "ON" if previous in (*ISOLATES, "PDI") else previous
        elif each == "EN" and strong == "AL":
            own[i] = "AN"
        if each in ("L", "R", "AL"):
            strong = each
        previous = own[i]
    own[:] = ["R" if each == "AL" else each for each in own]
    for i in range(1, len(own) - 1):
        before, each, after = own[i - 1 : i + 2]
        if before == after and (
            (each == "CS" and before in ("EN", "AN")) or (each == "ES" and before == "EN")
        ):
            own[i] = before
    place = 0
    for kind, group in groupby(list(own)):
        end = place + len(list(group))
        touches = (place and own[place - 1] == "EN") or (end < len(own) and own[end] == "EN")
        if kind == "ET" and touches:
            own[place:end] = ["EN"] * (end - place)
        place = end
    strong = start
    for i, each in enumerate(own):
        if each in ("ES", "ET", "CS"):
            own[i] = "ON"
        elif each == "EN" and strong == "L":
            own[i] = "L"
        elif each in ("L", "R", "AL"):
            strong = each


def brackets(
    characters: Sequence[str], own: list[str], original: Sequence[str], level: int, start: str
) -> None:
    """N0, in place: both brackets of a pair run as what stands inside, or else before them."""
    embedding = direction(level)
    for opening, closing in _pairs(characters, own):
        inside = {_strong(own[i]) for i in range(opening + 1, closing)} - {None}
        if embedding in inside:
            chosen = embedding
        elif inside:
            context = next((s for i in reversed(range(opening)) if (s := _strong(own[i]))), start)
            chosen = context
        else:
            continue
        for bracket in (opening, closing):
            own[bracket] = chosen
            i = bracket + 1
            while i < len(own) and original[i] == "NSM":
                own[i] = chosen
                i += 1


def _strong(each: str) -> str | None:
    return {"L": "L", "R": "R", "EN": "R", "AN": "R"}.get(each)


def _pairs(characters: Sequence[str], own: Sequence[str]) -> list[Span]:
    """BD16: up to 63 brackets open at a time."""
    stack: list[tuple[str, int]] = []
    found: list[Span] = []
    for i, (character, each) in enumerate(zip(characters, own, strict=True)):
        if each != "ON":
            continue
        if character in _CLOSING:
            if len(stack) == 63:
                return []
            stack.append((_CLOSING[character], i))
        elif character in _CLOSERS:
            closing = _CANONICAL.get(character, character)
            for depth in reversed(range(len(stack))):
                if stack[depth][0] == closing:
                    found.append((stack[depth][1], i))
                    del stack[depth:]
                    break
    return sorted(found)


def neutral(own: list[str], level: int, start: str, end: str) -> None:
    """N1 and N2, in place."""
    place = 0
    for neutral, group in groupby(list(own), key=NEUTRAL.__contains__):
        stop = place + len(list(group))
        if neutral:
            before = (_strong(own[place - 1]) or start) if place else start
            after = (_strong(own[stop]) or end) if stop < len(own) else end
            own[place:stop] = [before if before == after else direction(level)] * (stop - place)
        place = stop


def raised(level: int, each: str) -> int:
    """I1 and I2."""
    if level % 2:
        return 0 if each == "R" else 1
    return {"R": 1, "AN": 2, "EN": 2}.get(each, 0)


def mirrored(character: str) -> str:
    """A bracket's other side, which is what it looks like in text from right to left (rule L4)."""
    if len(character) != 1 or character not in _BOTH_SIDES:
        return character
    place = _BOTH_SIDES.index(character)
    return _BOTH_SIDES[place ^ 1]


_BOTH_SIDES = _BRACKETS + "<>«»‹›≤≥"
