"""The examples in docstrings run and print the output that they show."""

from __future__ import annotations

import ast
import doctest
import importlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import hf_saliency as hs

PACKAGE = Path(hs.__file__).parent
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)
WITHOUT_EXAMPLE: set[str] = set()  # public names; must stay empty


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # so that examples may write files
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


def test_private_names_have_a_docstring_of_three_lines_at_most() -> None:
    """Longer explanations belong in comments next to the code."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in PACKAGE.rglob("*.py")}
    texts = [(path.stem, *text) for path, tree in trees.items() for text in private_docstrings(tree, False)]
    assert len(texts) > 300
    lines = [(file, name, len(list(filter(str.strip, text.splitlines())))) for file, name, text in texts]
    assert [each for each in lines if each[-1] > 3] == []


def test_a_docstring_starts_with_its_verb_or_noun() -> None:
    """A reader stumbles over "What a row keeps", but not over "Memory that a row keeps"."""
    texts = re.findall(
        r'"""(?:What|Where|Why|Of|If) .*',
        "\n".join(p.read_text(encoding="utf-8") for p in PACKAGE.rglob("*.py")),
    )
    assert texts == []


def private_docstrings(node: ast.AST, private: bool) -> Iterator[tuple[str, str]]:
    """Yield names that begin with an underscore, and names defined inside these, with their docstrings."""
    for child in ast.iter_child_nodes(node):
        inside = private
        if isinstance(child, ast.ClassDef | ast.FunctionDef):
            inside = private or (child.name.startswith("_") and not child.name.startswith("__"))
            text = ast.get_docstring(child)
            if inside and text:
                yield child.name, text
        yield from private_docstrings(child, inside)
