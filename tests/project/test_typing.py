"""Type checkers see the annotations, and a script that they accept runs.

mypy checks the script in `make lint`, and pyright in `make check-release`.
"""

from __future__ import annotations

import importlib.resources
import runpy
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "support" / "user_script.py"


def test_the_package_says_that_it_is_typed() -> None:
    assert (importlib.resources.files("hf_saliency") / "py.typed").is_file()


def test_the_script_that_type_checkers_accept_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(SCRIPT))
    assert (tmp_path / "figure.pdf").stat().st_size > 1000
