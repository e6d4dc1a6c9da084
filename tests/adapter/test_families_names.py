"""Names of families: every model type is tested, refused or listed as not covered; no model is built."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest
import tiny_models
import transformers
from tiny_models import page
from tiny_models.not_covered import NOT_COVERED

from hf_saliency.adapter.families import FAMILIES

CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"
PINNED = f"transformers=={metadata.version('transformers')}" in CONSTRAINTS.read_text().splitlines()


def refused(name: str) -> bool:
    """Whether the package refuses a class by name, always or for some configurations."""
    cls = getattr(transformers, name)
    entries = (FAMILIES.get(base.__name__) for base in cls.__mro__)
    entry = next((entry for entry in entries if entry is not None), None)
    return entry is not None and bool(entry.refused)


def named(head: str, family: str) -> bool:
    return not NOT_COVERED.keys().isdisjoint({family, f"{head}-{family}"})


def test_every_text_model_of_transformers_is_tested_refused_or_named_as_not_covered() -> None:
    tested = {entry.name for entry in tiny_models.entries()}
    missing = [
        f"{head}-{family}: {name}"
        for head in tiny_models.HEADS
        for family, name in tiny_models.mapping(head).items()
        if name not in tested and not named(head, family) and not refused(name)
    ]
    if not PINNED and missing:
        pytest.skip(f"not covered in this release of transformers: {', '.join(missing)}")
    assert missing == []


@pytest.mark.skipif(not PINNED, reason="another release of transformers than the one that is pinned")
def test_nothing_is_named_that_is_not_there() -> None:
    there = {
        key
        for head in tiny_models.HEADS
        for family in tiny_models.mapping(head)
        for key in (family, f"{head}-{family}")
    }
    assert NOT_COVERED.keys() <= there
    assert tiny_models.CONFIGS.keys() <= there
    # A model type in the table may have exceptions for single heads, but not for the whole type.
    assert {key for key in NOT_COVERED if key in tiny_models.CONFIGS} == set()


def test_the_matrix_is_as_large_as_it_says() -> None:
    rows = tiny_models.entries()
    assert len(rows) >= (450 if PINNED else 80)
    assert {row.head for row in rows} == set(tiny_models.HEADS)


def test_every_entry_names_a_class_of_transformers() -> None:
    missing = [name for name in FAMILIES if not hasattr(transformers, name)]
    assert missing == []


@pytest.mark.skipif(not PINNED, reason="another release of transformers than the one that is pinned")
def test_the_page_of_models_is_up_to_date() -> None:
    there = page.PAGE.read_text(encoding="utf-8")
    assert page.page(there) == there, "run: PYTHONPATH=tests/support python -m tiny_models.page"


def test_every_refusal_is_on_the_page() -> None:
    there = page.PAGE.read_text(encoding="utf-8").replace(" ", "").replace("-", "").lower()
    names = [name for name, entry in FAMILIES.items() if entry.refused]
    assert len(names) > 8
    assert [name for name in names if name.removesuffix("PreTrainedModel").lower() not in there] == []
