"""Versions agree everywhere: the ranges, the lowest versions that are tested, and the citation."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
RANGES = dict(re.fullmatch(r"([\w-]+)>=([\d.]+)", each).groups() for each in PROJECT["dependencies"])  # type: ignore[union-attr,misc]


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text("utf-8").splitlines()
    return dict(match.groups() for line in lines if (match := re.match(r"([\w.-]+)==([\w.]+)", line)))  # type: ignore[misc]


@pytest.mark.parametrize("name", sorted(set(RANGES) - {"torch"}))
def test_the_lowest_version_that_is_stated_is_the_one_that_is_tested(name: str) -> None:
    lowest = pins("constraints-lowest.txt")[name]
    assert lowest == RANGES[name] or re.fullmatch(re.escape(RANGES[name]) + r"(\.0)+", lowest)


def test_every_dependency_is_pinned() -> None:
    assert set(RANGES) <= set(pins("constraints.txt"))


def test_the_citation_has_the_version() -> None:
    assert f"\nversion: {PROJECT['version']}\n" in (ROOT / "CITATION.cff").read_text("utf-8")


def test_the_page_on_versions_is_complete() -> None:
    text = (ROOT / "docs" / "versions.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| (\S+) \| (\S+) and later \|", text, flags=re.MULTILINE))
    pretty = {"PyTorch": "torch"}
    assert {pretty.get(name, name.lower()): floor for name, floor in rows.items()} == {
        **RANGES,
        "python": "3.11",
    }
    extras = set(re.findall(r"^\| `(\w+)` \|", text, flags=re.MULTILINE))
    assert extras == set(PROJECT["optional-dependencies"]) - {"dev", "docs", "release"}
