"""The gallery is complete, its images are small, and every figure in it is fit for print."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from handmade import need_fonts, outside, overlapping
from matplotlib.figure import Figure

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "figures" / "gallery"

sys.path.insert(0, str(ROOT / "examples"))
try:
    gallery = importlib.import_module("gallery")
finally:
    sys.path.remove(str(ROOT / "examples"))

CASES: Sequence[Any] = gallery.CASES


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_nothing_overlaps_and_nothing_leaves_the_canvas(case: Any) -> None:
    need_fonts(case.code)
    drawn = case.draw()
    for figure in [drawn] if isinstance(drawn, Figure) else drawn:
        assert overlapping(figure) == []
        assert outside(figure) == []


def test_page_shows_every_figure_and_its_code() -> None:
    page = (ROOT / "docs" / "gallery.md").read_text("utf-8")
    shown = re.findall(r"\(figures/gallery/([\w-]+\.png)\)", page)
    assert set(shown) == {path.name for path in IMAGES.glob("*.png")}
    assert len(CASES) + len(list(gallery.others())) >= 70
    for case in CASES:
        assert case.caption in page
        assert case.code in page
        assert f"{case.name}.png" in shown or f"{case.name}-1.png" in shown


def test_images_are_small() -> None:
    assert sum(path.stat().st_size for path in IMAGES.iterdir()) < 3e6


def test_figures_of_the_readme_come_from_the_gallery() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    images = re.findall(r"!\[[^]]*\]\(([^)]+)\)", readme)
    assert images
    assert all(image.startswith("docs/figures/gallery/") and (ROOT / image).exists() for image in images)
