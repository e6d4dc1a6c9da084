"""Every file of the package: its names are nouns or verbs of the domain, and it has at most 500 lines."""

from __future__ import annotations

import ast
from pathlib import Path

import hf_saliency as hs

FILES = sorted(Path(hs.__file__).parent.rglob("*.py"))
# Participles and pronouns that do not describe a value.
EMPTY = frozenset("one found own given thing things it them said told asked parted".split())


def names(tree: ast.AST) -> set[str]:
    """Return the names that the code binds: variables, arguments, fields, functions and classes."""
    nodes = list(ast.walk(tree))
    bound = {
        *(node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)),
        *(node.arg for node in nodes if isinstance(node, ast.arg)),
        *(node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)),
        *(node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)),
    }
    return {name.strip("_") for name in bound}


def test_names_say_what_they_hold() -> None:
    empty = {path.name: names(ast.parse(path.read_text(encoding="utf-8"))) & EMPTY for path in FILES}
    assert {name: words for name, words in empty.items() if words} == {}


def test_files_have_500_lines_at_most() -> None:
    assert len(FILES) > 150
    lines = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {name: count for name, count in lines.items() if count > 500} == {}


def test_each_kind_of_name_is_seen() -> None:
    code = "found = 1\ndef given(own, *, it): self.told = [one for one in own]\nclass thing: said: int\n"
    assert names(ast.parse(code)) & EMPTY == {"found", "given", "own", "it", "told", "one", "thing", "said"}
