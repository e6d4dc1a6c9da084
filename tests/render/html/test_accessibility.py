"""axe-core finds no violation on the page, on notebook views and on the site; `make axe` fetches it and runs this."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from handmade import saliency_map

import hf_saliency as hs
from hf_saliency.maps.saliency_maps import SaliencyMaps

SITE = Path(__file__).parents[3] / "docs" / "_build" / "html"
AXE = os.environ.get("HF_SALIENCY_AXE", "")
pytestmark = pytest.mark.skipif(not AXE, reason="HF_SALIENCY_AXE names no axe.min.js: make axe")
TABLE = hs.Table(
    {"label": ["saliency", "lime"], "value": [0.5, float("nan")], "n": [3, 12]}, "mean", {"model": "tiny"}
)
TEXT = "the formal study of grammar is a part of education"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", ["page", "code", "facets", "map", "maps", "table"])
def test_axe_finds_no_violation(view: str, scheme: str, visit: Callable[..., Any], tmp_path: Path) -> None:
    heat, signed = saliency_map(TEXT), saliency_map(TEXT, signed=True, method="input_x_gradient")
    path = tmp_path / "page.html"
    views = {"map": heat, "maps": SaliencyMaps([heat, signed]), "table": TABLE}
    if view in views:
        head = '<!doctype html><html lang="en"><head><title>Notebook</title></head>'
        body = f"<body><main><h1>Notebook</h1>{views[view]._repr_html_()}</main></body></html>"
        path.write_text(head + body, "utf-8")
    else:
        code = saliency_map("if x:\n\tgo\n\tstop\n", split=r"\S+|\s")
        hs.page({"page": [heat], "code": [code], "facets": [heat, signed]}[view], path)
    page = visit(color_scheme=scheme).open(path).page
    assert violations(page) == []


@pytest.mark.skipif(not (SITE / "index.html").exists(), reason="the site is not built: make docs")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "name", ["index", "getting_started", "tutorials/masked", "methods", "reference/explain"]
)
def test_axe_finds_no_violation_on_the_site(name: str, scheme: str, visit: Callable[..., Any]) -> None:
    page = visit(color_scheme=scheme).page
    page.goto((SITE / f"{name}.html").as_uri())
    assert violations(page) == []


def violations(page: Any) -> list[tuple[str, list[str]]]:
    """Return the rules that a page breaks, with the first elements that break them."""
    page.evaluate(Path(AXE).read_text("utf-8"))
    # A frame with a notebook's view is a separate document, which the test above checks.
    broken = page.evaluate("async () => (await axe.run(document, {iframes: false})).violations")
    return [(each["id"], [node["html"][:200] for node in each["nodes"][:3]]) for each in broken]
