from __future__ import annotations

import itertools

import numpy as np
import pytest
from handmade import (
    SENTENCE,
    of_spans,
)

from hf_saliency.errors import SaliencyError
from hf_saliency.maps.fields import TargetRow
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.maps.spans import Token
from hf_saliency.render.marks import Highlight
from hf_saliency.render.passage import passage, visible
from hf_saliency.render.typeset.typeface import Typeface, wrap

BODY = Typeface("small")
WIDTH = 3.25 * 72


def test_width_of_a_text_is_that_of_its_parts_and_their_kerning() -> None:
    assert BODY.advance("nn ") == pytest.approx(2 * BODY.advance("n") + BODY.advance(" "), abs=0.02)
    assert BODY.advance("AV") < BODY.advance("A") + BODY.advance("V")
    assert BODY.advance("") == 0
    assert Typeface(20.0).advance("grammar") == pytest.approx(2 * Typeface(10.0).advance("grammar"))


def test_elided_text_fits() -> None:
    short = BODY.elide("incomprehensibilities", 40.0)
    assert short.startswith("inc")
    assert short.endswith("…")
    assert BODY.advance(short) <= 40 < BODY.advance(short.replace("…", "om…"))
    assert BODY.elide("of", 40.0) == "of"


def test_lines_are_full_and_break_between_words() -> None:
    lines = [SENTENCE[a:b] for a, b in wrap(SENTENCE, WIDTH, BODY)]
    assert " ".join(lines) == SENTENCE
    for line, following in itertools.pairwise(lines):
        assert BODY.advance(line) <= WIDTH < BODY.advance(f"{line} {following.split()[0]}")


def test_newline_ends_a_line() -> None:
    text = "a b\n\nc"
    assert [text[a:b] for a, b in wrap(text, WIDTH, BODY)] == ["a b", "", "c"]


def test_only_a_very_long_word_is_broken_inside() -> None:
    text = "see " + "x" * 100 + " and low-cost-and-easy-and-simple-and-good-words"
    lines = [text[a:b] for a, b in wrap(text, 100.0, BODY)]
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert max(BODY.advance(line) for line in lines) <= 100
    assert any(line.endswith("-") for line in lines)
    with pytest.raises(SaliencyError, match="not enough width for the word 'grammar'"):
        wrap("of grammar is", BODY.advance("grammar") - 1, BODY)


def test_signs_stand_for_what_is_not_seen() -> None:
    assert visible("a\tb\nc\x07\x7f") == "a⇥b↵c⟨BEL⟩⟨DEL⟩"
    assert passage(of_spans("a\nb\tc", (0, 1), (2, 3))).text == "a\nb    c"
    assert passage(of_spans("a\nb", (0, 1), (1, 2), (2, 3))).text == "a↵\nb"


def test_tokens_stand_where_their_characters_are() -> None:
    text = "Is it\nso?"
    set_text = passage(of_spans(text, (0, 2), (3, 5), (5, 6), (6, 8), (8, 9)))
    assert [set_text.text[a:b].strip() for a, b in set_text.spans.values()] == ["Is", "it", "↵", "so", "?"]


def test_mark_is_not_parted_from_its_letter() -> None:
    text = "cafe\u0301!"
    assert passage(of_spans(text, (0, 4), (4, 5), (5, 6))).spans == {0: (0, 5), 1: (3, 5), 2: (5, 6)}


def test_special_tokens_stand_where_they_are_in_the_input() -> None:
    tokens = [
        Token("[CLS]", 0, 0, 0, True),
        Token("a", 0, 1, 0),
        Token("[SEP]", 0, 0, 0, True),
        Token("b", 0, 1, 1),
        Token("[SEP]", 0, 0, 1, True),
    ]
    rows = (TargetRow("yes", None, 1.0),)
    pair = SaliencyMap(("a", "b"), tuple(tokens), rows, np.ones((1, 5)), "saliency")
    assert passage(pair).text == "[CLS] a [SEP]\nb [SEP]"
    assert passage(Highlight().shown(pair)).text == "a\nb"
