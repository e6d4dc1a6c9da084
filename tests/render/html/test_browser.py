"""The page in a real browser: how it reacts to its reader."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from handmade import PIECES, of_spans, saliency_map, with_scores
from render.html.test_notebook import displayed

import hf_saliency as hs
from hf_saliency.maps.fields import TargetRow
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.palette import DARK, LIGHT, Palette
from hf_saliency.render.html.facets import LEVELS

TEXT = "the formal study of grammar is a part of education"
HEAT = saliency_map(TEXT)
SIGNED = saliency_map(TEXT, signed=True, method="input_x_gradient", seed=1)


def expected(row: np.ndarray, palette: Palette = LIGHT) -> list[str]:
    """Compute the colours of a row from its scores, which a page rounds to three digits."""
    strengths = np.round(row / np.abs(row).max(), 3)
    steps = [math.floor(abs(v) * LEVELS + 0.5) / LEVELS for v in strengths]
    return [palette.color(math.copysign(step, v)) for step, v in zip(steps, strengths, strict=True)]


@pytest.fixture
def shown(visit: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    def new(
        maps: SaliencyMap | list[SaliencyMap], browser: dict[str, Any] | None = None, **options: Any
    ) -> Any:
        return visit(**browser or {}).open(Path(hs.page(maps, tmp_path / "page.html", **options)))

    return new


def test_it_starts_with_the_target_selected(shown: Callable[..., Any]) -> None:
    v = shown(HEAT, select="grammar")
    assert v.colors() == expected(HEAT.scores[4])
    assert v.page.locator(".selected").all_inner_texts() == ["grammar"]
    assert v.page.locator(".target-line").inner_text() == "grammarmasked, logit 5.00"
    assert v.page.locator(".meta-content-item").all_inner_texts() == [
        "language\n0.60",
        "music\n0.30",
        "grammar\n0.20",
    ]
    assert v.page.locator(".static").count() == 0
    v.quiet()


@pytest.mark.parametrize("script", [True, False])
def test_signs_for_white_space_are_small_and_grey_in_boxes_as_high_as_words(
    script: bool, shown: Callable[..., Any]
) -> None:
    code = saliency_map("if x:\n\tgo", split=r"\S+|\s", targets=[0])
    heat = with_scores(code, [[0.1, 0.1, 0.2, 0.1, 1.0, 0.3]])  # the tab is strong, the line break weak
    v = shown(heat, {"java_script_enabled": script})
    signs = v.page.locator(".token-content span.sign:visible")
    assert [text.strip() for text in signs.all_inner_texts()] == ["↵", "⇥"]
    word = v.page.locator(".token-content span:visible", has_text="go")

    def style(span: Any, name: str) -> str:
        return str(span.evaluate(f"span => getComputedStyle(span)['{name}']"))

    assert [style(signs.nth(i), "color") for i in range(2)] == ["rgb(89, 89, 89)", "rgb(0, 0, 0)"]
    assert style(signs.nth(0), "fontSize") == "13.5px"
    assert style(word, "fontSize") == "18px"
    assert signs.nth(1).bounding_box()["height"] == pytest.approx(word.bounding_box()["height"], abs=1.0)
    assert signs.nth(1).bounding_box()["y"] == pytest.approx(word.bounding_box()["y"], abs=1.0)


def test_the_mouse_moves_all_facets_to_the_words_row(shown: Callable[..., Any]) -> None:
    v = shown([HEAT, SIGNED])
    for unit in (3, 9, 0):
        v.word(unit, facet=unit % 2).hover()
        assert v.colors(0) == expected(HEAT.scores[unit])
        assert v.colors(1) == expected(SIGNED.scores[unit])
        assert v.page.locator(".selected").all_inner_texts() == [HEAT.labels[unit]] * 2
    blue = {LIGHT.color(-i / LEVELS) for i in range(1, LEVELS + 1)}
    assert blue & set(v.colors(1))
    assert not blue & set(v.colors(0))
    v.quiet()


def test_a_click_keeps_the_word_until_it_is_let_go(shown: Callable[..., Any]) -> None:
    v = shown(HEAT)
    v.word(4).click()
    v.word(2).hover()
    assert v.colors() == expected(HEAT.scores[4])
    value = HEAT.scores[4, 2] / HEAT.scores[4].max()
    assert float(v.word(2).get_attribute("title")) == pytest.approx(value, abs=6e-4)
    v.word(6).click()
    assert v.colors() == expected(HEAT.scores[6])
    v.word(6).click()
    v.word(2).hover()
    assert v.colors() == expected(HEAT.scores[2])
    v.word(4).click()
    v.page.keyboard.press("Escape")
    v.word(1).hover()
    assert v.colors() == expected(HEAT.scores[1])
    v.quiet()


def test_keys_move_from_word_to_word(shown: Callable[..., Any]) -> None:
    text = " ".join(f"word{i:02d}" for i in range(24))
    heat = saliency_map(text)
    v = shown(heat, heading="Keys")
    v.page.keyboard.press("Tab")
    press = v.page.keyboard.press

    def at() -> int:
        unit = heat.labels.index(v.page.evaluate("document.activeElement.textContent"))
        assert v.colors() == expected(heat.scores[unit])
        assert v.page.locator('[aria-selected="true"]').all_inner_texts() == [heat.labels[unit]]
        return unit

    assert at() == 0
    press("ArrowRight")
    press("ArrowRight")
    assert at() == 2
    press("ArrowLeft")
    assert at() == 1
    press("ArrowDown")
    below = at()
    boxes = [v.word(i).bounding_box() for i in (1, below)]
    assert boxes[1]["y"] > boxes[0]["y"] + 10
    assert abs(boxes[1]["x"] - boxes[0]["x"]) < boxes[0]["width"]
    press("ArrowUp")
    assert at() == 1
    press("End")
    assert at() == 23
    press("ArrowRight")
    assert at() == 23
    press("Home")
    assert at() == 0
    press("Enter")
    v.word(5).hover()
    assert at() == 0  # the selection is kept
    press("Escape")
    v.word(7).hover()
    assert v.colors() == expected(heat.scores[7])
    live = v.page.locator("[aria-live]").inner_text()
    assert live.startswith(
        "word00, masked, logit 5.00; predictions language 0.60, music 0.30, grammar 0.20; "
    )
    assert re.fullmatch(r".*; depends most on word\d\d \d\.\d+, word\d\d \d\.\d+, word\d\d \d\.\d+", live)
    v.quiet()


def test_touch(shown: Callable[..., Any]) -> None:
    v = shown([HEAT, SIGNED], {"has_touch": True, "is_mobile": True})
    v.word(4, facet=1).tap()
    assert v.colors(0) == expected(HEAT.scores[4])
    assert v.colors(1) == expected(SIGNED.scores[4])
    v.word(7).tap()
    assert v.colors(0) == expected(HEAT.scores[7])
    wide = v.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] <= wide[1]
    v.quiet()


def test_different_tokens_meet_at_words(shown: Callable[..., Any]) -> None:
    pieces = saliency_map(TEXT, split=PIECES, method="saliency")
    assert len(pieces.tokens) > len(HEAT.tokens)
    v = shown([HEAT, pieces])
    ours, theirs = hs.aligned([HEAT, pieces])
    unit = HEAT.labels.index("education")
    rows = [i for i, target in enumerate(theirs.targets) if target.position == unit]
    labels = [theirs.targets[row].label for row in rows]
    assert len(rows) > 1
    v.word(unit, facet=0).hover()
    assert v.colors(0) == expected(ours.scores[unit])
    assert v.colors(1) == expected(theirs.scores[rows[0]])
    choices = v.page.locator(".facet").nth(1).locator(".choice")
    assert choices.all_inner_texts() == labels
    choices.nth(1).click()
    assert v.colors(1) == expected(theirs.scores[rows[1]])
    assert v.page.locator(".facet").nth(1).locator(".label").inner_text() == labels[1]
    assert v.page.locator('[aria-pressed="true"]').all_inner_texts() == labels[1:2]
    assert v.page.locator(".facet").nth(0).locator(".choice").count() == 0
    v.quiet()


def test_targets_at_no_word_are_buttons(shown: Callable[..., Any]) -> None:
    rows = tuple(TargetRow(label, None, 1.0, "prob") for label in ("positive", "negative"))
    heat = dataclasses.replace(SIGNED, targets=rows, scores=SIGNED.scores[:2])
    v = shown(heat, select=1)
    assert v.colors() == expected(heat.scores[1])
    v.page.locator(".choice", has_text="positive").click()
    assert v.colors() == expected(heat.scores[0])
    assert v.page.locator(".selected").count() == 0
    v.quiet()


def test_texts_of_their_own_move_alone(shown: Callable[..., Any]) -> None:
    other = saliency_map("hot tea is good")
    v = shown([HEAT, other])
    v.word(3, facet=1).hover()
    assert v.colors(1) == expected(other.scores[3])
    assert v.colors(0) == expected(HEAT.scores[0])
    v.quiet()


def test_arrows_follow_the_script(shown: Callable[..., Any]) -> None:
    v = shown(saliency_map("שלום עולם טוב"))
    v.page.keyboard.press("Tab")
    v.page.keyboard.press("ArrowLeft")
    assert v.page.evaluate("document.activeElement.textContent") == "עולם"
    assert v.word(0).bounding_box()["x"] > v.word(2).bounding_box()["x"]
    v.quiet()


def test_scores_that_are_no_numbers_are_hatched_and_named(shown: Callable[..., Any]) -> None:
    heat = with_scores(saliency_map("a b c", targets=[0]), [[np.nan, np.inf, 1.0]])
    v = shown(heat)
    cells = v.page.locator(".token-content span.missing")
    assert cells.evaluate_all("all => all.map(cell => cell.title)") == ["NaN", "∞"]
    images = cells.evaluate_all("all => all.map(cell => getComputedStyle(cell).backgroundImage)")
    assert all("repeating-linear-gradient" in image for image in images)
    assert "NaN, ∞" in v.page.locator(".legend").inner_text()
    v.quiet()


def test_tokens_that_share_a_character_are_one_word(shown: Callable[..., Any]) -> None:
    heat = of_spans("👍 ok", (0, 1), (0, 1), (0, 1), (2, 4))
    v = shown(heat)
    whole = np.array([heat.scores[0, :3].sum(), heat.scores[0, 3]])
    assert v.page.locator(".token-content").inner_text() == "👍 ok"
    assert v.colors() == expected(whole)
    v.quiet()


def test_what_stands_in_the_legend_is_what_is_painted(shown: Callable[..., Any]) -> None:
    v = shown(SIGNED)
    bar = v.page.locator(".bar i").evaluate_all("all => all.map(i => getComputedStyle(i).backgroundColor)")
    assert bar[0] == "rgb(47, 132, 201)"
    assert bar[len(bar) // 2] == "rgb(255, 255, 255)"
    assert bar[-1] == "rgb(217, 86, 10)"
    assert v.page.locator(".legend").inner_text().split("\n")[0].startswith("−1")


def test_without_a_script_it_can_be_read(shown: Callable[..., Any]) -> None:
    v = shown([HEAT, SIGNED], {"java_script_enabled": False}, select="grammar")
    blocks = v.page.locator(".static .facet")
    assert blocks.count() == 12
    order = [4, 0, 1, 2, 3, 5]
    for place, row in enumerate(order):
        assert blocks.nth(place).locator(".token-content").inner_text() == TEXT
        assert blocks.nth(place).locator(".label").inner_text() == HEAT.labels[row]
    assert "Without JavaScript" in v.page.locator("body").inner_text()
    assert "arrow keys" not in v.page.locator("body").inner_text()
    assert not v.page.locator("table").first.is_visible()
    v.page.locator("summary").first.click()
    rows = v.page.locator("tbody").first.locator("tr").all_inner_texts()
    assert len(rows) == 10
    assert "language 0.60" in rows[0]
    v.quiet()


def test_the_static_colors_are_the_scripts(shown: Callable[..., Any]) -> None:
    v = shown(SIGNED, {"java_script_enabled": False})
    classes = [
        span.get_attribute("class")
        for span in v.page.locator(".token-content").first.locator("span[class]").all()
    ]
    v = shown(SIGNED)
    live = [v.word(i).get_attribute("class").split() for i in range(10)]
    assert [name.split()[0] for name in classes] == [
        next(each for each in names if each[0] in "pn" and each[1:].isdigit()) for names in live
    ]


LEAST_CONTRAST = """() => {
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const linear = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const ground = node => {
    for (; node; node = node.parentElement) {
      const color = parse(getComputedStyle(node).backgroundColor);
      if (color.length === 3 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const parent = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !parent.checkVisibility() || parent.closest("script")) continue;
    const [a, b] = [luminance(parse(getComputedStyle(parent).color)), luminance(ground(parent))];
    found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), walker.currentNode.data]);
  }
  found.sort((one, other) => one[0] - other[0]);
  return [found.length, ...found[0]];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_is_read_in_either_scheme(scheme: Any, shown: Callable[..., Any]) -> None:
    ramp = np.linspace(-1, 1, 10) * np.ones((10, 1))
    v = shown([with_scores(SIGNED, ramp), HEAT], {"color_scheme": scheme})
    for summary in v.page.locator("summary").all():
        summary.click()
    v.word(3).hover()
    assert v.colors() == expected(ramp[3], {"light": LIGHT, "dark": DARK}[scheme])
    count, least, text = v.page.evaluate(LEAST_CONTRAST)
    assert count > 100
    assert least >= 4.5, text
    ground = v.page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(22, 24, 29)"}[scheme]
    v.quiet()


def test_the_policy_lets_nothing_in_and_nothing_out(shown: Callable[..., Any]) -> None:
    v = shown(HEAT)
    refused: list[tuple[str, str]] = []
    v.page.on("requestfailed", lambda request: refused.append((request.url, request.failure)))
    v.page.evaluate(
        """() => {
        const script = document.createElement("script"); script.textContent = "window.ran = 1";
        document.body.append(script);
        document.body.insertAdjacentHTML("beforeend", "<img src=https://example.org/x onerror='window.ran = 1'>");
        return fetch("https://example.org/").catch(() => 0);
        }"""
    )
    v.page.wait_for_timeout(50)
    assert v.page.evaluate("window.ran") is None
    # The browser refused every request of the page.
    assert refused == [(url, "csp") for url in v.requested[1:]]
    assert sum("Content Security Policy" in line for line in v.logged) >= 3


def test_it_needs_no_network_for_what_is_large(shown: Callable[..., Any]) -> None:
    heat = saliency_map(" ".join(f"word{i}" for i in range(128)))
    v = shown(heat, {"offline": True})
    v.word(127).hover()
    assert v.colors() == expected(heat.scores[127])
    v.quiet()


def test_in_a_notebook_textualheatmap_paints_and_answers(
    visit: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    v = visit()
    v.page.set_content(displayed(monkeypatch, [HEAT, HEAT], select="grammar"))
    assert v.page.locator(".selected").all_text_contents() == ["grammar"] * 2
    v.page.locator(".token-content").first.locator("span", has_text="study").hover()
    assert v.page.locator(".selected").all_text_contents() == ["study"] * 2
    assert v.page.locator(".meta-content-item").all_text_contents() == ["language", "music", "grammar"] * 2
    assert v.page.locator(".selected").first.get_attribute("style").startswith("background-color: rgb(")
    assert v.logged == []
