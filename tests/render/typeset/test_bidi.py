from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from hf_saliency.render.typeset import bidi

CONFORMANCE = Path("/usr/share/unicode/BidiCharacterTest.txt")


def visual(text: str, base: int | None = None) -> str:
    """Return a line in its order from left to right; brackets are not mirrored here."""
    base = bidi.base_level(text) if base is None else base
    levels = bidi.line_levels(text, bidi.levels(text, base), (0, len(text)), base)
    return "".join(text[i] for i in bidi.visual_order(levels))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a word", "a word"),
        ("אב גד", "דג בא"),  # the first letter is on the right
        ("אב BERT גד", "דג BERT בא"),  # words of the other direction keep their order
        ("אב 12.5 גד", "דג 12.5 בא"),
        ("word אב גד more", "word דג בא more"),
        ("אב (גד) ה", "ה )דג( בא"),  # a font draws mirrored brackets: (גד)
        ("a (אב) b", "a (בא) b"),
        ("a \u2067b אב\u2069 c", "a \u2067בא b\u2069 c"),
        ("\u202eabc\u202c", "\u202ecba\u202c"),
    ],
)
def test_order_from_left_to_right(text: str, expected: str) -> None:
    assert visual(text) == expected


def test_paragraph_begins_where_its_first_letter_does() -> None:
    assert [bidi.base_level(text) for text in ("a א", "א a", "12 א", "", "\u2068א\u2069 a")] == [
        0,
        1,
        1,
        0,
        0,
    ]


@pytest.mark.skipif(not CONFORMANCE.exists(), reason="Debian's unicode-data is not installed")
def test_conformance_to_unicode() -> None:
    lines = [line.split(";") for line in CONFORMANCE.read_text("utf-8").splitlines() if line[:1].isalnum()]
    assert len(lines) > 90_000
    for codes, direction, base, levels, order in itertools.islice(lines, 0, None, 5):
        text = "".join(chr(int(code, 16)) for code in codes.split())
        paragraph = bidi.base_level(text) if direction == "2" else int(direction)
        assert paragraph == int(base)
        found = bidi.line_levels(text, bidi.levels(text, paragraph), (0, len(text)), paragraph)
        kept = [i for i, level in enumerate(levels.split()) if level != "x"]
        if bidi.runs_both_ways(text):  # otherwise all levels are even and need not be distinguished
            assert [found[i] for i in kept] == [int(levels.split()[i]) for i in kept]
        assert [i for i in bidi.visual_order(found) if i in kept] == [int(i) for i in order.split()]
