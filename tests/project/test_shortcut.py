"""The example of planted shortcuts: each kind determines the label by its rule, and decoys do not."""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

import hf_saliency as hs

EXAMPLES = str(Path(__file__).parents[2] / "examples")


@pytest.fixture
def shortcut(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(EXAMPLES)
    yield __import__("shortcut")
    for name in ("shortcut", "task_models", "task_texts"):
        sys.modules.pop(name, None)


def decided(kind: str, words: list[str]) -> int | None:
    """Return the label of a text by the rule of a kind of shortcut, or None if the text has no shortcut."""
    letters = [word for word in words if word in ("x", "y", "z")]
    if kind == "single":
        return {"x": 0, "y": 1}[letters[0]] if letters else None
    if kind == "context":
        return {"x": 0, "y": 1}[next(e for e in letters if e != "z")] if len(letters) == 2 else None
    return {"xy": 0, "yx": 1}.get("".join(letters))


@pytest.mark.parametrize("kind", ["single", "context", "ordered"])
def test_a_shortcut_decides_and_a_decoy_does_not(shortcut: Any, kind: str) -> None:
    random = Random(3)
    for _ in range(50):
        text = shortcut.planted(kind, random)
        assert decided(kind, text.text.split()) == text.label
        assert sorted(text.letters) == sorted(w for w in text.text.split() if w in ("x", "y", "z"))
        assert decided(kind, shortcut.plain(kind, random).text.split()) is None
    labels = [shortcut.planted(kind, random).label for _ in range(100)]
    assert 30 < sum(labels) < 70


def test_the_tables_are_joined_by_kind(shortcut: Any) -> None:
    heat = hs.SaliencyMap(
        ("x y",),
        (hs.Token("x", 0, 1), hs.Token("y", 2, 3)),
        (hs.TargetRow("liked", None, 1.0),),
        np.array([[2.0, 1.0]]),
        "saliency",
    )
    table = hs.ground_truth({"saliency": heat}, [[True, False]], metrics=["precision_at_k", "mean_rank"])
    joined = shortcut.joined({"single": table, "ordered": table}, "precision_at_k")
    assert joined["group"].tolist() == ["single", "single", "ordered", "ordered"]
    assert joined["value"][0] == 1
    assert "| `saliency` | 1.00 | 1.00 | 1.00 | 1.00 |" in shortcut.markdown({"a": table, "b": table})
