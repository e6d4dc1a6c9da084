"""The examples in docstrings run and give what they say."""

from __future__ import annotations

import doctest
import importlib
import os
from pathlib import Path

import pytest

import hf_saliency as hs

PACKAGE = Path(hs.__file__).parent
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)
WITHOUT_EXAMPLE: set[str] = set()  # public names; to stay empty


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where examples may write files
    module = importlib.import_module(name.removesuffix(".__init__"))
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    found = doctest.testmod(module, optionflags=flags)
    assert found.attempted > 0
    assert found.failed == 0, os.linesep.join(["see the output above", name])


def test_every_public_name_has_an_example() -> None:
    public = {name: getattr(hs, name) for name in hs.__all__}
    assert {
        name for name, value in public.items() if callable(value) and ">>> " not in (value.__doc__ or "")
    } == WITHOUT_EXAMPLE
