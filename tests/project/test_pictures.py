"""Pictures on pages that are mostly tables: they show the numbers of these tables."""

from __future__ import annotations

import functools
import re
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


@functools.cache
def script() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "examples" / "pages.py"))


def test_pages_show_the_pictures_that_the_script_draws() -> None:
    shown = {
        name
        for path in (ROOT / "docs").rglob("*.md")
        for name in re.findall(r"\]\([./]*figures/(\w+)\.png\)", path.read_text("utf-8"))
    }
    for name in script()["PAGES"]:
        assert name in shown
        assert (ROOT / "docs" / "figures" / f"{name}.png").exists()


def test_a_dot_for_each_time_of_a_peer() -> None:
    page = (ROOT / "docs" / "performance.md").read_text("utf-8")
    table = page.split("| work | way |")[1].split("\n\n")[0]
    rows = [line.split("|")[1:5] for line in table.splitlines() if "hf-saliency" not in line][1:]
    (ax,) = script()["performance"]().axes
    dots = [line.get_data() for line in ax.lines if len(line.get_xdata()) == 1]
    assert len(dots) == len(rows)
    assert sorted(x[0] for x, _ in dots) == sorted(float(row[3]) for row in rows)
    assert [label.get_text() for label in ax.get_yticklabels()] == [*{row[0].strip(): 0 for row in rows}]


def test_hours_of_a_million_sentences() -> None:
    assert script()["hours"]("45 min") == pytest.approx(0.75)
    (ax,) = script()["corpus_scale"]().axes
    ends = [line.get_xdata() for line in ax.lines if len(line.get_xdata()) == 2]
    assert np.allclose(ends[0], [16 / 60, 6.0])
