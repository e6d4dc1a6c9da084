"""A map in a notebook: small, static HTML in which nothing in the text acts as markup or script."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pytest
import sample_maps as maps
from handmade import of_spans
from hypothesis import given, settings

from hf_saliency.maps.fields import TargetRow
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.maps.saliency_maps import SaliencyMaps
from hf_saliency.maps.spans import Token
from hf_saliency.maps.table import Table
from hf_saliency.palette import LIGHT

VOID = {"br"}


class Read(HTMLParser):
    """The tags, styles and text of a piece of HTML that must be well-formed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.spans: list[tuple[str, str]] = []
        self._style = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "span":
            self._style = dict(attrs)["style"] or ""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.open and self.open[-1] == "span":
            self.spans.append((data, self._style))


@settings(max_examples=60, deadline=None)
@given(maps.maps())
def test_any_map_is_a_few_harmless_tags(one: SaliencyMap) -> None:
    found = Read(one._repr_html_())
    assert found.tags <= {"div", "b", "bdi", "i", "span", "br", "details", "summary"}
    assert found.attributes <= {"style", "dir"}
    one._repr_html_().encode()


def test_what_it_shows() -> None:
    heat = maps.sweep(provenance={"model": "a/<b>"})
    found = Read(heat._repr_html_())
    assert "SaliencyMap 6 x 8, gradient norm, a/<b>" in found.text
    assert "un, masked, logit 1.50; predicted: UN 0.50, other 0.25" in found.text
    assert "and 3 more targets" in found.text
    assert found.text.count("unbelievable") == 0  # the line break in the text is kept
    assert found.text.count(maps.TEXT) == 6  # three of them in an element that readers can open


def test_colors_are_the_palettes_and_the_target_is_framed() -> None:
    heat = maps.sweep()
    spans = Read(heat.select("end")._repr_html_()).spans
    strengths = np.arange(8) / 6  # the special token at the end, with score 7, does not count
    for label, column in (("an", 1), ("un", 2), ("believ", 4), ("able", 5)):
        step = np.floor(strengths[column] * 10 + 0.5) / 10
        assert (label, f"background-color:{LIGHT.color(step)}") in spans
    assert ("end", f"outline:1.5px solid;background-color:{LIGHT.color(1)}") in spans


def test_a_line_break_that_a_token_stands_for_has_a_sign() -> None:
    code, spans = "if x:\n\ny", [(0, 2), (3, 4), (4, 5), (5, 7), (7, 8)]
    shown = Read(of_spans(code, *spans)._repr_html_())
    assert "if x:↵\n↵\ny" in shown.text
    assert ("↵\n↵\n", f"background-color:{LIGHT.color(0.8)}") in shown.spans
    assert "if x:\n\ny" in Read(of_spans(code, *spans[:3], spans[4])._repr_html_()).text


def test_signs_and_scores_that_are_no_numbers() -> None:
    scores = np.array([[0, 1, -2, np.nan, np.inf, 1, 2, 0.0]])
    heat = maps.sweep(scores=scores, targets=(TargetRow("x", None, float("nan")),), signed=True)
    spans = Read(heat._repr_html_()).spans
    assert ("un", f"background-color:{LIGHT.color(-1)}") in spans
    assert ("-", "text-decoration:line-through") in spans
    assert [text for text, _ in spans][-10:-4] == ["−100", "−80", "−60", "−40", "−20", "20"]
    assert "nan" not in Read(heat._repr_html_()).text


def test_it_stays_small() -> None:
    text = "word " * 5000
    tokens = tuple(Token("word", i, i + 4) for i in range(0, len(text) - 1, 5))
    rows = tuple(TargetRow("word", i, 1.0) for i in range(300))
    heat = SaliencyMap((text,), tokens, rows, np.random.default_rng(0).uniform(size=(300, 5000)), "m")
    html = heat._repr_html_()
    assert len(html) < 100_000
    assert "…" in html


def test_a_map_without_targets_or_tokens_shows_itself() -> None:
    heat = SaliencyMap(("",), (), (), np.zeros((0, 0)), "m")
    assert "SaliencyMap 0 x 0, m" in Read(heat._repr_html_()).text


@pytest.mark.parametrize("text", ["\u202eevil", "a\0b\x1b", "\ud800"])
def test_directions_end_with_their_text_and_controls_are_replaced(text: str) -> None:
    heat = SaliencyMap((text,), (Token(text, 0, 1),), (TargetRow(text, 0, 1.0),), np.ones((1, 1)), text)
    html = heat._repr_html_()
    assert f"<bdi>{text}</bdi>" in html or "\N{REPLACEMENT CHARACTER}" in html
    assert not {"\0", "\x1b", "\ud800"} & set(html)


def test_several_maps_stand_one_below_another() -> None:
    several = SaliencyMaps([maps.sweep()] * 12)
    found = Read(several._repr_html_() or "")
    assert found.text.count("SaliencyMap ") == 10
    assert "and 2 more maps: hf_saliency.page(maps) shows all." in found.text
    assert SaliencyMaps()._repr_html_() is None


def test_a_table_is_short_rounded_and_harmless() -> None:
    names = ["<script>alert(1)</script>", "tea & cake", "x" * 200] + ["tea"] * 30
    values = [0.123456789, 12.5, np.nan] + [1.0] * 30
    table = Table({"label": names, "value": values}, "mean <share>", {"n": 3})
    html = table._repr_html_()
    found = Read(html)
    assert found.tags == {"div", "b", "bdi", "table", "thead", "tbody", "tr", "th", "td"}
    assert found.attributes == {"style", "scope"}
    assert (
        "Table 33 rows, mean <share>n=3labelvalue<script>alert(1)</script>0.1235tea & cake12.5" in found.text
    )
    assert html.count("<tr>") == 21
    assert found.text.endswith("and 13 more rows")
    assert "x" * 59 + "…" in found.text
    assert "x" * 60 not in found.text
    Read(Table({})._repr_html_())
