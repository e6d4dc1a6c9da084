"""Spans: words of every script, phrases in a text, and how tokens are merged into words."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from sample_maps import spans as any_span, texts

from hf_saliency.maps import spans
from hf_saliency.maps.spans import Span, Token

LAWS = settings(max_examples=150, deadline=None)

WORDS = {
    "It isn't low-cost.": "It|isn't|low|-|cost|.",
    "d’été rock'n'roll": "d’été|rock'n'roll",
    "dogs' 'quoted' '": "dogs|'|'|quoted|'|'",
    "O''Neil x'": "O|'|'|Neil|x|'",
    "bilagáanaʼ Hawaiʻi": "bilagáanaʼ|Hawaiʻi",  # letters that look like apostrophes
    "snake_case x1 3.14 50%": "snake_case|x1|3|.|14|50|%",
    "m² ½ Ⅳ": "m²|½|Ⅳ",
    "cafe\u0301 x\u0301\u0302y": "cafe\u0301|x\u0301\u0302y",
    "l'e\u0301te\u0301": "l'e\u0301te\u0301",
    "e\u0301'e\u0301": "e\u0301'e\u0301",
    "हिन्दी में क्या": "हिन्दी|में|क्या",  # vowel signs (Mc, Mn) and viramas
    "தமிழ் বাংলা": "தமிழ்|বাংলা",
    "می\u200cخواهم": "می\u200cخواهم",  # zero-width non-joiner
    "क्\u200dष क्\u200d!": "क्\u200dष|क्\u200d|!",
    "שָׁלוֹם \u200f(א)": "שָׁלוֹם|\u200f(|א|)",
    "co\u00adop \u00adx": "co\u00adop|\u00adx",
    "中文 字": "中|文|字",
    "葛\U000e0100城 〇々": "葛\U000e0100|城|〇|々",  # ideographic variation selector
    "ペンです。が゛": "ペ|ン|で|す|。|が|゛",
    "か\u3099": "か\u3099",
    "ﾊﾟﾝ": "ﾊ|ﾟ|ﾝ",
    "한국어 조선": "한국어|조선",
    "กำลัง ๒๕": "ก|ำ|ลั|ง|๒๕",
    "ខ្មែរ": "ខ្|មែ|រ",
    "a\u200bb\u200b": "a|b",  # zero-width space
    "a\u00a0b\u2003c\u0085d": "a|b|c|d",
    "👩🏽\u200d💻👍🏾": "👩🏽\u200d💻|👍🏾",
    "👩\u200d👩\u200d👧 x": "👩\u200d👩\u200d👧|x",
    "❤\ufe0f\u200d🔥a": "❤\ufe0f\u200d🔥|a",
    "🇫🇷🇩🇪 🇫": "🇫🇷|🇩🇪|🇫",
    "1\ufe0f\u20e3 #\ufe0f\u20e3": "1\ufe0f\u20e3|#\ufe0f\u20e3",
    "🏴\U000e0067\U000e0062\U000e007f!": "🏴\U000e0067\U000e0062\U000e007f|!",
    "\u0301a \u0301! \u200d": "\u0301a|\u0301!|\u200d",  # marks without a base
    "\x00a\ud800": "\x00|a|\ud800",
    "": "",
    " \n\t": "",
}


@pytest.mark.parametrize("text", WORDS, ids=ascii)
def test_words(text: str) -> None:
    expected = WORDS[text].split("|") if WORDS[text] else []
    assert [text[start:end] for start, end in spans.words(text)] == expected


@LAWS
@given(texts)
def test_words_are_disjoint_in_order_and_cover_all_but_white_space(text: str) -> None:
    found = spans.words(text)
    borders = [border for span in found for border in span]
    assert borders == sorted(borders)
    assert all(start < end for start, end in found)
    covered = {i for start, end in found for i in range(start, end)}
    assert covered == {i for i, c in enumerate(text) if not c.isspace() and c != "\u200b"}


@LAWS
@given(texts, texts)
def test_words_do_not_depend_on_what_lies_beyond_a_space(left: str, right: str) -> None:
    moved = [(start + len(left) + 1, end + len(left) + 1) for start, end in spans.words(right)]
    assert spans.words(f"{left} {right}") == spans.words(left) + moved


@pytest.mark.parametrize(
    ("text", "phrase", "expected"),
    [
        ("the other the", "the", [(0, 3), (10, 13)]),
        ("low-cost", "cost", [(4, 8)]),
        ("low-cost", "low-cost", [(0, 8)]),
        ("a, b", ",", [(1, 2)]),
        ("aa aa aa", "aa aa", [(0, 5), (3, 8)]),
        ("The the", " the ", [(4, 7)]),
        ("isn't", "isn't", [(0, 5)]),
        ("isn't", "isn", []),
        ("isn't", "t", []),
        ("cafe\u0301", "cafe", []),
        ("e\u0301t", "t", []),
        ("これはペンです", "ペン", [(3, 5)]),
        ("中文字", "文字", [(1, 3)]),
        ("👩\u200d👧 👩", "👩", [(4, 5)]),
        ("🇫🇷🇩🇪", "🇩🇪", [(2, 4)]),
        ("🇫🇷🇩🇪", "🇷🇩", []),
        ("text", "", []),
        ("text", "  ", []),
        ("", "x", []),
    ],
)
def test_occurrences_are_whole_words(text: str, phrase: str, expected: list[Span]) -> None:
    assert spans.occurrences(text, phrase) == expected


@LAWS
@given(texts)
def test_every_word_occurs_where_it_is(text: str) -> None:
    for start, end in spans.words(text):
        if not text[start:end].isspace() and text[start:end].strip() == text[start:end]:
            assert (start, end) in spans.occurrences(text, text[start:end])


def test_overlapping_asks_for_a_shared_character() -> None:
    places = [(0, 2), (2, 2), (2, 5), (3, 3), (5, 6), (1, 4)]
    assert spans.overlapping(places, 2, 4) == [2, 5]
    assert spans.overlapping(places, 0, 6) == [0, 2, 4, 5]  # the empty spans inside have no character
    assert spans.overlapping(places, 3, 3) == []


@pytest.mark.parametrize(
    ("text", "start", "end", "expected"),
    [
        (" a b ", 0, 5, (1, 4)),
        ("abc", 0, 2, (0, 2)),
        ("  \n", 0, 3, (0, 3)),
        ("a b", 1, 2, (1, 2)),
        ("", 0, 0, (0, 0)),
    ],
)
def test_trim(text: str, start: int, end: int, expected: Span) -> None:
    assert spans.trim(text, start, end) == expected


UNITS = [(0, 3), (4, 8), (9, 12)]


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([(0, 1), (1, 3), (4, 8), (9, 12)], [[0, 1], [2], [3]]),
        ([(0, 3), (3, 4), (4, 8)], [[0], [1], [2]]),  # a space alone
        ([(2, 5), (5, 8)], [[0, 1]]),  # a token across two words joins them
        ([(0, 1), (2, 5), (6, 8), (9, 10)], [[0, 1, 2], [3]]),  # with all other tokens of these words
        ([(0, 12), (4, 5), (10, 11)], [[0, 1, 2]]),
        ([(4, 8), (4, 8), (4, 8), (9, 12)], [[0, 1, 2], [3]]),  # byte pieces of one character
        ([(4, 5), (5, 5), (5, 8)], [[0, 2], [1]]),  # an empty token within a word
        ([(9, 10), (0, 1), (10, 12), (1, 3)], [[0, 2], [1, 3]]),  # out of order
        ([(4, 8), (0, 5)], [[0, 1]]),
        ([(20, 21), (20, 21)], [[0], [1]]),
        ([], []),
    ],
)
def test_merge(places: list[Span], expected: list[list[int]]) -> None:
    assert spans.merge(iter(places), UNITS) == expected
    if places:
        assert spans.merge(places, []) == [[i] for i in range(len(places))]


def naive_merge(places: list[Span], units: list[Span]) -> list[list[int]]:
    """Apply the rule of ``spans.merge`` literally: join groups while any two touch a common unit."""
    touched = [{u for u, unit in enumerate(units) if spans.overlapping([unit], *place)} for place in places]
    groups = [({i}, set(touched[i])) for i in range(len(places))]
    while True:
        pairs = [(a, b) for a in groups for b in groups if a is not b and a[1] & b[1]]
        if not pairs:
            return sorted(sorted(members) for members, _ in groups)
        a, b = pairs[0]
        groups = [group for group in groups if group is not a and group is not b] + [
            (a[0] | b[0], a[1] | b[1])
        ]


@LAWS
@given(st.data())
def test_merge_covers_every_index_once_and_follows_its_rule(data: st.DataObject) -> None:
    text = data.draw(texts)
    places = data.draw(st.lists(any_span(text), max_size=7))
    groups = spans.merge(places, spans.words(text))
    assert sorted(i for group in groups for i in group) == list(range(len(places)))
    assert groups == naive_merge(places, spans.words(text))


def test_a_token_holds_plain_numbers() -> None:
    token = Token("x", np.int64(1), np.int32(2), text_index=np.int64(0), special=np.True_)
    assert [type(value) for value in (token.start, token.end, token.text_index, token.special)] == [
        int,
        int,
        int,
        bool,
    ]
    with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
        Token("x", 0.5, 1)
