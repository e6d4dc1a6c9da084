"""A notebook that Jupyter's client runs: a real browser shows the last value of each cell."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SETUP = """
import sys
sys.path[:0] = {paths!r}
import hf_saliency as hs
from handmade import SENTENCE, saliency_map
heat, signed = saliency_map(SENTENCE), saliency_map(SENTENCE, method="input_x_gradient", signed=True)
"""
CELLS = [
    "heat",
    "hs.page([heat, signed])",
    "hs.show([heat, signed.select(2)])",
    "hs.show(heat, viewer='terminal')",
]


@pytest.fixture(scope="module")
def outputs() -> list[list[Any]]:
    nbclient = pytest.importorskip("nbclient")
    import nbformat.v4

    root = Path(__file__).parents[3]
    setup = SETUP.format(paths=[str(root), str(root / "tests" / "support")])
    cells = [nbformat.v4.new_code_cell(code) for code in (setup, *CELLS)]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python", "language": "python"}}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=metadata)
    nbclient.NotebookClient(notebook, timeout=300).execute()
    return [cell["outputs"] for cell in notebook["cells"][1:]]


def html(outputs: list[Any]) -> str:
    (output,) = outputs
    return "".join(output["data"]["text/html"])


@pytest.mark.filterwarnings("ignore")
def test_results_show_themselves(outputs: list[list[Any]], visit: Callable[..., Any]) -> None:
    bare, page, shown, printed = outputs
    assert "<script" not in html(bare)
    assert all(
        html(each).startswith('<iframe title="Saliency map" sandbox="allow-scripts"')
        for each in (page, shown)
    )
    assert printed[0]["output_type"] == "stream"
    v = visit()
    body = "".join(map(html, (bare, page, shown)))
    v.page.set_content(f'<!doctype html><html lang="en"><title>Notebook</title><body>{body}')
    assert v.page.locator("details summary").first.inner_text().startswith("and ")
    for number, titles in (
        (0, ["gradient norm", "input × gradient"]),
        (1, ["gradient norm", "input × gradient"]),
    ):
        frame = v.page.frame_locator("iframe").nth(number)
        frame.locator('html[data-ready="true"]').wait_for()
        assert frame.locator(".facet-title").all_inner_texts() == titles
        frame.locator(".token-content span", has_text=re.compile("^grammar$")).first.click()
        assert frame.locator(".target-line .label").first.inner_text() == "grammar"
    assert v.logged == []
