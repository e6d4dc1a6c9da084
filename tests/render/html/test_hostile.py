"""Two hundred hostile strings, everywhere in a map: none of them runs in a real browser."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hostile
import numpy as np
import pytest
from render.html.test_notebook import displayed

import hf_saliency as hs
from hf_saliency.maps.fields import Prediction, TargetRow
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.maps.spans import Token
from hf_saliency.render.html.parts import clean, harmless
from hf_saliency.render.passage import passage

STRINGS = hostile.strings(200)
ALLOWED = set(
    "HTML HEAD META TITLE STYLE BODY H1 P NOSCRIPT DIV SPAN BDI BUTTON FIGURE I FIGCAPTION DETAILS SUMMARY TABLE "
    "THEAD TBODY TR TH TD DL DT DD FOOTER SCRIPT B BR MAIN H2 NAV SECTION HEADER A".split()
)


def a_map(own: str, other: str, third: str) -> SaliencyMap:
    """Return a complete sweep in which every string is made of the arguments."""
    text = f"{own} {other}"
    places = [m.span() for m in re.finditer(r"[^\s<>]+|[<>]", text)]
    tokens = tuple(Token(own, a, b) for a, b in places)
    answers = (Prediction(third, 0, 0.5), Prediction(own, 1, 0.25))
    rows = tuple(TargetRow(text[a:b] + third, i, 1.0, predictions=answers) for i, (a, b) in enumerate(places))
    scores = np.random.default_rng(0).uniform(0.1, 1, (len(rows), len(tokens)))
    return SaliencyMap(
        (text,), tokens, rows, scores, other, {"a": third}, provenance={"model": own, third: other}
    )


def chunks(size: int) -> list[list[str]]:
    return [STRINGS[i : i + size] for i in range(0, len(STRINGS), size)]


INSPECT = """() => ({
  hacked: window.hacked ?? null,
  tags: [...new Set([...document.querySelectorAll("*")].map(e => e.tagName))],
  handlers: [...document.querySelectorAll("*")].flatMap(e => e.getAttributeNames()).filter(n => n.startsWith("on")),
  scripts: document.scripts.length,
  ready: document.documentElement.dataset.ready ?? null,
})"""


def inspected(v: Any, scripts: int) -> dict[str, Any]:
    found: dict[str, Any] = v.page.evaluate(INSPECT)
    assert found["hacked"] is None
    assert set(found["tags"]) <= ALLOWED
    assert found["handlers"] == []
    assert found["scripts"] == scripts
    assert v.logged == []
    assert all(url.startswith(("file:", "about:")) for url in v.requested)
    return found


def test_they_do_run_where_nothing_is_escaped(visit: Callable[..., Any]) -> None:
    ran = 0
    for part in chunks(20)[:4]:
        v = visit()
        v.page.route("**/*", lambda route: route.abort())
        v.page.set_content("".join(f"<div>{text.encode(errors='replace').decode()}</div>" for text in part))
        ran += v.page.evaluate("window.hacked ?? 0")
    assert ran > 5  # some strings stop the parser before it reaches the next ones


EXPLORE = """() => [...document.querySelectorAll(".facet")].map(facet => {
  const words = facet.querySelectorAll(".selectable");
  for (const kind of ["mouseover", "click"]) words[words.length - 1].dispatchEvent(new Event(kind));
  return [".facet-title", ".token-content", ".label"].map(name => facet.querySelector(name).textContent);
})"""


def test_no_string_runs_on_a_page(visit: Callable[..., Any], tmp_path: Path) -> None:
    for part in chunks(20):
        owns = part[::2]  # the other half is in the neighbours' answers and labels
        maps = [a_map(own, part[2 * i + 1], part[(2 * i + 2) % len(part)]) for i, own in enumerate(owns)]
        v = visit().open(
            hs.page(maps, tmp_path / "page.html", title=owns, heading=part[0], provenance="none")
        )
        assert inspected(v, scripts=3)["ready"] == "true"
        found = v.page.evaluate(EXPLORE)
        for (title, content, label), own, one in zip(found, owns, maps, strict=True):
            assert title == clean(own)
            assert content == harmless(passage(one).text)
            assert label in {clean(target.label) for target in one.targets[-2:]}
        inspected(v, scripts=3)


def test_no_string_runs_without_the_policy_either(visit: Callable[..., Any], tmp_path: Path) -> None:
    for part in chunks(50):
        maps = [a_map(own, part[0], part[1]) for own in part[::5]]
        path = Path(hs.page(maps, tmp_path / "page.html", heading=part[0]))
        text = path.read_text(encoding="utf-8")
        path.write_text(
            re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text), encoding="utf-8"
        )
        inspected(visit().open(path), scripts=4)


def test_no_string_runs_where_a_map_shows_itself(visit: Callable[..., Any]) -> None:
    v = visit()
    for part in chunks(20):
        found = "".join(
            a_map(own, other, own)._repr_html_() for own, other in zip(part[::2], part[1::2], strict=True)
        )
        v.page.set_content(f"<!doctype html><title>x</title>{found}")
        inspected(v, scripts=0)
    assert "<script" not in found


def test_no_string_runs_in_a_notebook(visit: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    v = visit()
    for part in chunks(10):
        one = a_map(" ".join(part[2:]), part[0], part[1])
        other = dataclasses.replace(one, method=part[2])
        html = displayed(monkeypatch, [one, other], title=part[:2])
        v.page.set_content(f"<!doctype html><title>x</title>{html.encode(errors='replace').decode()}")
        inspected(v, scripts=4)
        titles = v.page.locator(".facet-title").all_text_contents()
        assert titles == [clean(text) for text in part[:2]]


def test_textualheatmap_alone_does_run_them(visit: Callable[..., Any]) -> None:
    """The guard of show() is needed until TextualHeatmap itself escapes, and then this test fails."""
    textualheatmap = pytest.importorskip("textualheatmap")
    pieces: list[str] = []

    class Handle:
        def update(self, shown: Any) -> None:
            pieces.append(shown.data)

    def display(shown: Any, **options: Any) -> Handle:
        pieces.append(shown.data if hasattr(shown, "_repr_html_") else "")
        return Handle()

    heatmap = textualheatmap.TextualHeatmap(facet_titles=["a"], display_fn=display)
    heatmap.set_data([[{"token": f"</script><img src=x onerror={hostile.RUN}>", "meta": [], "heat": [1.0]}]])
    v = visit()
    v.page.set_content("".join(pieces))
    v.page.wait_for_function("window.hacked")
