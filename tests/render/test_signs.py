from __future__ import annotations

import re

import pytest
from handmade import of_spans

from hf_saliency.render.marks.highlight import TextLayout
from hf_saliency.render.passage import passage, token_labels, visible
from hf_saliency.render.typeset.typeface import Typeface


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("pass\u200bword", "pass⟨ZWSP⟩word"),
        ("\ufeffa\u00adb", "⟨ZWNBSP⟩a⟨SHY⟩b"),
        ("a\x00\x1b\x85", "a⟨NUL⟩⟨ESC⟩⟨NEL⟩"),
        ("a\u200db", "a⟨ZWJ⟩b"),
        ("👩\u200d💻 ❤\ufe0f", "👩\u200d💻 ❤\ufe0f"),  # the emoji itself shows these
        ("می\u200cخواهم", "می\u200cخواهم"),  # the forms of the letters show it
        ("क्\u200dष", "क्\u200dष"),
        ("a\ufe0f", "a⟨VS16⟩"),
        ("a\u202eb\u202c", "a\u2066⟨RLO⟩\u2069\u202eb\u202c\u2066⟨PDF⟩\u2069"),
        ("\u0301", "◌\u0301"),
        ("e\u0301", "e\u0301"),
        ("\ud800\ufffe", "⟨U+D800⟩⟨U+FFFE⟩"),
        ("\U000e0041", "⟨TAG A⟩"),
        ("  ", "␣␣"),
        ("a b", "a b"),
    ],
)
def test_what_is_not_seen_has_a_sign(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_sign_has_a_place_of_its_own() -> None:
    one = of_spans("a\u200bb", (0, 1), (1, 2), (2, 3))
    found = passage(one)
    assert [found.text[a:b] for a, b in found.spans.values()] == ["a", "⟨ZWSP⟩", "b"]
    assert one.texts == ("a\u200bb",)


def test_end_of_line_of_another_system_leaves_no_sign() -> None:
    assert passage(of_spans("a\r\nb", (0, 1), (3, 4))).text == "a\nb"


def test_tab_of_a_token_is_as_wide_as_an_indent() -> None:
    text = "if x:\n\tif y:\n\t\treturn"
    spans = [(m.start(), m.end()) for m in re.finditer(r"\S+|\s", text)]
    signed = passage(of_spans(text, *spans))
    tabs = {place for place in signed.white_space if signed.text[place] == "⇥"}
    assert [signed.text[a:b] for a, b in signed.spans.values() if a in tabs] == ["⇥\u00a0\u00a0"] * 3
    layout = TextLayout(of_spans(text, *spans), Typeface(), 300.0)
    indents = [box[0] for box, column in layout.boxes if text[slice(*spans[column])] in ("if", "return")]
    indent = layout.typeface.advance("    ")
    # Left ends of the first words of three lines, without an indent, with one, and with two.
    assert indents[1] - indents[0] == pytest.approx(indent, rel=0.25)
    assert indents[2] - indents[0] == pytest.approx(2 * indent, rel=0.25)


def test_arabic_labels_keep_the_forms_of_their_word() -> None:
    text = "كلمات"  # the fourth letter does not join the next
    assert token_labels(of_spans(text, (0, 2), (2, 4), (4, 5))) == ["كل\u200d", "\u200dما", "ت"]
    assert token_labels(of_spans("שלום", (0, 2), (2, 4))) == ["של", "ום"]
