"""Data for TextualHeatmap: the package itself accepts them, and they spell the user's text."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from sample_maps import sweep, target, texts

from hf_saliency.errors import SaliencyError
from hf_saliency.maps import spans
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.maps.spans import Token

CLS = Token("[CLS]", 0, 0, special=True)


def spelled(data: list[dict[str, Any]]) -> str:
    """Return the text that a reader sees, with its gaps in angle brackets."""
    return "".join(f"<{entry['token']}>" if entry.get("format") else entry["token"] for entry in data)


def full_sweep(text: str, tokens: list[Token]) -> SaliencyMap:
    """Return a map whose targets are all tokens that are not special."""
    targets = tuple(target(token.piece, i) for i, token in enumerate(tokens) if not token.special)
    scores = np.ones((len(targets), len(tokens)))
    return SaliencyMap((text,), tuple(tokens), targets, scores, "gradient_norm")


def test_the_facet_of_the_sweep() -> None:
    """The entries have the keys and values that the notebook builds."""
    heat = sweep(scores=np.arange(48.0).reshape(6, 8).astype(np.float32))
    special = [[1.0, *[0.0] * 7], [*[0.0] * 7, 1.0]]
    rows = [[value / (8 * i + 7) for value in range(8 * i, 8 * i + 8)] for i in range(6)]
    expected = [
        {"token": "[CLS]", "meta": ["", "", ""], "heat": special[0]},
        {"token": " ", "format": True},
        {"token": "an", "meta": ["AN", "other", ""], "heat": rows[0]},
        {"token": " ", "format": True},
        {"token": "un", "meta": ["UN", "other", ""], "heat": rows[1]},
        {"token": "-", "meta": ["-", "other", ""], "heat": rows[2]},
        {"token": "\n", "format": True},
        {"token": "believ", "meta": ["BELIEV", "other", ""], "heat": rows[3]},
        {"token": "able", "meta": ["ABLE", "other", ""], "heat": rows[4]},
        {"token": "  ", "format": True},
        {"token": "end", "meta": ["END", "other", ""], "heat": rows[5]},
        {"token": " ", "format": True},
        {"token": "[SEP]", "meta": ["", "", ""], "heat": special[1]},
    ]
    found = heat.to_textual_heatmap()
    assert [entry.keys() for entry in found] == [entry.keys() for entry in expected]
    for entry, wanted in zip(found, expected, strict=True):
        assert (entry["token"], entry.get("meta")) == (wanted["token"], wanted.get("meta"))
        # Scores are divided once, in float32.
        np.testing.assert_allclose(
            entry.get("heat", []), wanted.get("heat", []), rtol=2 * np.finfo(np.float32).eps
        )


def test_values_are_what_json_takes() -> None:
    data = sweep(scores=np.linspace(0, 1, 48, dtype=np.float32).reshape(6, 8)).to_textual_heatmap()
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    heats = [value for entry in data for value in entry.get("heat", [])]
    assert {type(value) for value in heats} == {float}
    assert (min(heats), max(heats)) == (0, 1)
    assert all(entry["format"] is True for entry in data if "format" in entry)


def test_a_row_of_zeros_has_no_heat() -> None:
    data = sweep(scores=np.zeros((6, 8))).to_textual_heatmap()
    assert [sum(entry["heat"]) for entry in data if "heat" in entry] == [1, 0, 0, 0, 0, 0, 0, 1]


@pytest.mark.parametrize(
    ("top_k", "meta"), [(0, []), (1, ["AN"]), (2, ["AN", "other"]), (3, ["AN", "other", ""])]
)
def test_meta_has_as_many_strings_as_asked_for(top_k: int, meta: list[str]) -> None:
    data = [entry for entry in sweep().to_textual_heatmap(top_k=top_k) if "meta" in entry]
    assert data[1]["meta"] == meta
    assert {len(entry["meta"]) for entry in data} == {top_k}


def test_a_special_token_that_is_a_target_has_its_own_row() -> None:
    heat = sweep()
    targets = (*heat.targets, target("[SEP]", 7))
    scores = np.vstack([heat.scores, np.full(8, 2.0)])
    data = dataclasses.replace(heat, targets=targets, scores=scores).to_textual_heatmap()
    assert data[-1] == {"token": "[SEP]", "meta": ["[SEP]", "other", ""], "heat": [1.0] * 8}


def test_the_order_of_the_targets_does_not_matter() -> None:
    assert sweep().select(slice(None, None, -1)).to_textual_heatmap() == sweep().to_textual_heatmap()


@pytest.mark.parametrize(
    ("text", "tokens", "expected"),
    [
        ("  a\t", [CLS, Token("a", 2, 3), Token("</s>", 3, 3, special=True)], "[CLS]<  >a<\t></s>"),
        ("  a\t", [Token("a", 2, 3)], "<  >a<\t>"),
        ("", [CLS, Token("[SEP]", 0, 0, special=True)], "[CLS]< >[SEP]"),
        ("a b", [Token("▁a", 0, 1), Token("▁", 2, 2), Token("b", 2, 3)], "a< >▁b"),  # a lone mark has no text
        ("a[SEP]b", [Token("a", 0, 1), Token("[SEP]", 1, 6, special=True), Token("b", 6, 7)], "a[SEP]b"),
        ("a\x00b", [Token("a", 0, 1), Token("b", 2, 3)], "a<\x00>b"),  # the tokenizer drops NUL
        ("👍 x", [Token("ð", 0, 1), Token("Ł", 0, 1), Token("Ġx", 2, 3)], "👍👍< >x"),
        ("abc", [Token("ab", 0, 2), Token("bc", 1, 3)], "abbc"),
    ],
)
def test_gaps_are_those_of_the_text(text: str, tokens: list[Token], expected: str) -> None:
    assert spelled(full_sweep(text, tokens).to_textual_heatmap()) == expected


def test_two_texts_are_set_apart() -> None:
    tokens = (
        Token("<s>", 0, 0, special=True),
        Token("a", 0, 1),
        Token("</s>", 1, 1, special=True),
        Token("b", 1, 2, text_index=1),
        Token("c", 2, 3, text_index=1),
    )
    targets = tuple(target("x", i) for i in (1, 3, 4))
    heat = SaliencyMap(("a\n", "\tbc."), tokens, targets, np.ones((3, 5)), "gradient_norm")
    assert spelled(heat.to_textual_heatmap()) == "<s>< >a<\n></s><\t>bc<.>"
    assert spelled(heat.drop_special().to_textual_heatmap()) == "a<\n\t>bc<.>"
    bare = dataclasses.replace(
        heat,
        texts=("a", "bc."),
        tokens=tokens[:1]
        + tuple(
            dataclasses.replace(t, start=t.start - t.text_index, end=t.end - t.text_index) for t in tokens[1:]
        ),
    ).drop_special()
    assert spelled(bare.to_textual_heatmap()) == "a< >bc<.>"


@settings(max_examples=100, deadline=None)
@given(texts, st.data())
def test_tokens_and_gaps_spell_the_text(text: str, data: st.DataObject) -> None:
    words = [place for place in spans.words(text) if data.draw(st.booleans())]
    plain = [Token("##piece", *place) for place in words]
    end = plain[-1].end if plain else 0
    tokens = [CLS, *plain, Token("[SEP]", end, end, special=True)]
    entries = full_sweep(text, tokens).to_textual_heatmap()
    assert [entry["token"] for entry in entries if "heat" in entry][1:-1] == [text[a:b] for a, b in words]
    bare = full_sweep(text, plain).to_textual_heatmap() if plain else [{"token": text}]
    assert "".join(entry["token"] for entry in bare) == text
    # The gap next to an added token is the text's white space there, or one space if the text has none.
    with_added = "".join(entry["token"] for entry in entries)
    assert re.fullmatch(rf"\[CLS\] ?{re.escape(text)} ?\[SEP\]", with_added) or not plain


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"signed": True}, r"heat from 0 to 1, but this map is signed: draw it with hs.figure\(...\)"),
        ({"scores": np.full((6, 8), np.nan)}, "no colour for NaN or infinity"),
        ({"scores": np.full((6, 8), np.inf)}, "no colour for NaN or infinity"),
        ({"scores": np.full((6, 8), -1.0)}, "no colour for scores below 0"),
        ({"targets": (target("whole", None),) * 6}, "needs a token for every target, but 'whole' has none"),
        ({"targets": (target("an", 1),) * 6}, "one target per token: 'an' has two"),
        (
            {"targets": (target("an", 1), target("end", 6)), "scores": np.ones((2, 8))},
            r"complete sweep, but 4 tokens are not targets: 'un', '-', 'believ', 'able'\. .*explainer\(",
        ),
        (
            {"targets": (), "scores": np.ones((0, 8))},
            r"6 tokens are not targets: .*'believ', 'able', \.\.\.\.",
        ),
    ],
)
def test_what_textual_heatmap_cannot_show_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SaliencyError, match=message):
        sweep(**changes).to_textual_heatmap()


def test_a_negative_number_of_predictions_is_refused() -> None:
    with pytest.raises(SaliencyError, match="top_k=-1: give the number of predictions to list, 0 or more"):
        sweep().to_textual_heatmap(top_k=-1)


class Screen:
    """A replacement for IPython's display that records HTML and its later updates."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def display(self, item: Any, display_id: bool = False) -> Screen:
        self.update(item)
        return self

    def update(self, item: Any) -> None:
        self.shown.append(item.data)


def test_the_package_itself_takes_the_data() -> None:
    textualheatmap = pytest.importorskip("textualheatmap")
    heat = sweep()
    data = heat.to_textual_heatmap()
    screen = Screen()
    widget = textualheatmap.TextualHeatmap(
        show_meta=True, facet_titles=["one", "two"], width=300, display_fn=screen.display
    )
    widget.set_data([data, data])
    widget.highlight(2)
    assert "setupTextualHeatmap" in screen.shown[0]
    sent = re.fullmatch(r"<script>\s*window\.setDataTextualHeatmap\((.*)\);</script>", screen.shown[-2], re.S)
    assert sent is not None
    settings_, facets = json.loads(f"[{sent[1]}]")
    assert settings_["facetTitles"] == ["one", "two"]
    assert facets == [data, data]
    # The script of TextualHeatmap relies on this: heat and highlight count only tokens without a format mark.
    tokens = [entry for entry in facets[0] if not entry.get("format")]
    assert [entry["token"] for entry in tokens] == list(heat.labels)
    assert {len(entry["heat"]) for entry in tokens} == {len(heat.tokens)}
    assert re.search(r"highlightTextualHeatmap\(.*, 2\);", screen.shown[-1])
