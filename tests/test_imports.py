"""Imports: rooms stay apart, third-party packages stay at home, and the package itself costs nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import hf_saliency as hs

PACKAGE = Path(hs.__file__).parent
NAME = PACKAGE.name
ROOMS = {"attribution", "adapter", "render"}

# What each part may import of the others. The hall is every module at the top but the ones named here.
HALL_FOR = {
    "attribution": {"errors", "terms"},
    "adapter": {"errors", "failures", "given", "spans", "terms"},
    "render": {
        *("alignment", "comparison", "errors", "palette", "record", "row_selection", "saliency_map", "spans"),
        *("storage", "textual_heatmap", "word_columns"),
    },
}
MEETING = {"attribution", "adapter"}
ROOMS_FOR = {
    "explainer": MEETING,
    "explanation": MEETING,
    "provenance": MEETING,
    "found": MEETING,
    "result": MEETING,
    "shared_gradients": MEETING,
    "cli": ROOMS,
    "terminal": ROOMS,
    "showing": {"render"},
    "demo": set(),
    "captum_views": set(),
    "__init__": ROOMS,
}
ENTRANCES = {*ROOMS_FOR, *ROOMS}  # what the hall may not import

HOMES = {
    "transformers": {"adapter", "demo"},
    "torch": {"attribution", "adapter", "explainer", "found", "captum_views", "shared_gradients", "demo"},
    "captum": {"attribution", "adapter", "explainer", "captum_views", "shared_gradients"},
    "matplotlib": {"render"},
    "pypdf": {"carriers"},
    "textualheatmap": {"render"},
    "fontTools": {"render"},
    "rich": {"cli", "terminal"},
    "typer": {"cli", "terminal"},
}


def imports(root: Path) -> Iterator[tuple[str, str, bool]]:
    """(importing module, imported module, only for type checkers) of every import in a package's files."""
    modules = {module_name(root, path) for path in root.rglob("*.py")}
    for path in sorted(root.rglob("*.py")):
        name = module_name(root, path)
        folder = name if path.name == "__init__.py" else name.rpartition(".")[0]
        tree = ast.parse(path.read_text(encoding="utf-8"))
        typing = {
            id(inner)
            for block in ast.walk(tree)
            if is_typing(block)
            for b in block.body
            for inner in ast.walk(b)
        }
        for node in ast.walk(tree):
            for target in targets(node, folder, modules):
                yield name, target, id(node) in typing


def module_name(root: Path, path: Path) -> str:
    parts = path.relative_to(root.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_typing(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def targets(node: ast.AST, folder: str, modules: set[str]) -> Iterator[str]:
    """The modules that one statement imports: relative ones resolved, other names by where they live."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        above = folder.split(".")[: len(folder.split(".")) + 1 - node.level] if node.level else []
        base = ".".join([*above, *([node.module] if node.module else [])])
        for alias in node.names:
            full = f"{base}.{alias.name}"
            if full in modules:
                yield full
            elif base == NAME and alias.name in hs._HOME:
                yield f"{NAME}.{hs._HOME[alias.name]}"  # through the lazy door
            else:
                yield base


def part(module: str) -> str:
    """The room or the module of the hall that a module is in."""
    return module.split(".")[1] if "." in module else "__init__"


def violations(root: Path) -> list[str]:
    found = []
    for importer, imported, typing in imports(root):
        here = part(importer)
        top = imported.split(".")[0]
        if top in HOMES and here not in HOMES[top] and not typing:
            found.append(f"{importer} imports {imported}")
        if top != NAME or here == part(imported):
            continue
        there = part(imported)
        if here in ROOMS:
            allowed = there in HALL_FOR[here]
        elif here in ROOMS_FOR:
            allowed = there in ROOMS_FOR[here] or there not in ROOMS
        else:
            allowed = there not in ENTRANCES
        if not allowed:
            found.append(f"{importer} imports {imported}")
    return found


def test_rooms_stay_apart_and_packages_at_home() -> None:
    assert {part(importer) for importer, _, _ in imports(PACKAGE)} >= {*ROOMS, "explainer", "saliency_map"}
    assert violations(PACKAGE) == []


CLEAN = {
    "__init__.py": "",
    "errors.py": "",
    "spans.py": "from hf_saliency.errors import SaliencyError",
    "saliency_map.py": "from . import spans\nimport numpy",
    "storage.py": "from .saliency_map import SaliencyMap\nif 1:\n    import json",
    "explainer.py": "from .adapter.score import Score\nfrom . import attribution, __version__\nimport torch",
    "cli.py": "import rich\nfrom .render import figure",
    "attribution/__init__.py": "",
    "attribution/norm.py": "import torch\nfrom .other import x\nfrom ..errors import y\nimport captum.attr",
    "attribution/other.py": "",
    "adapter/__init__.py": "from . import score",
    "adapter/score.py": "import transformers\nfrom hf_saliency import spans",
    "render/__init__.py": "",
    "render/figure.py": "import matplotlib\nif TYPE_CHECKING:\n    import torch\nfrom .marks.mark import M",
    "render/marks/__init__.py": "",
    "render/marks/mark.py": "from ...saliency_map import x\nfrom ..figure import y",
}


def package(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / NAME / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / NAME


def test_a_clean_package_passes(tmp_path: Path) -> None:
    assert violations(package(tmp_path, CLEAN)) == []


@pytest.mark.parametrize(
    ("file", "statement", "imported"),
    [
        ("attribution/norm.py", "from hf_saliency.adapter import score", "adapter.score"),
        ("attribution/norm.py", "from ..render import figure", "render.figure"),
        ("attribution/norm.py", "from .. import adapter", "adapter"),
        ("attribution/norm.py", "from ..adapter.score import Score", "adapter.score"),
        ("attribution/norm.py", "def f():\n    import hf_saliency.saliency_map", "saliency_map"),
        ("attribution/norm.py", "from hf_saliency import Explainer", "explainer"),
        ("attribution/norm.py", "import hf_saliency as hs", ""),
        ("attribution/__init__.py", "from .. import render", "render"),
        ("attribution/norm.py", "import transformers", "transformers"),
        ("adapter/score.py", "from hf_saliency.attribution.norm import x", "attribution.norm"),
        ("adapter/score.py", "if TYPE_CHECKING:\n    from ..render import figure", "render.figure"),
        ("adapter/score.py", "from ..saliency_map import SaliencyMap", "saliency_map"),
        ("adapter/score.py", "from matplotlib import pyplot", "matplotlib"),
        ("render/marks/mark.py", "from ...adapter import score", "adapter.score"),
        ("render/marks/mark.py", "from ... import explainer", "explainer"),
        ("render/marks/mark.py", "import torch.nn as nn", "torch.nn"),
        ("render/figure.py", "try:\n    import captum\nexcept ImportError:\n    pass", "captum"),
        ("saliency_map.py", "from .render import figure", "render.figure"),
        ("saliency_map.py", "from hf_saliency.explainer import Explainer", "explainer"),
        ("saliency_map.py", "import torch", "torch"),
        ("storage.py", "import matplotlib", "matplotlib"),
        ("spans.py", "from .adapter import score", "adapter.score"),
        ("explainer.py", "from .render.figure import figure", "render.figure"),
        ("explainer.py", "import transformers", "transformers"),
        ("cli.py", "import torch", "torch"),
    ],
)
def test_each_violation_is_found(file: str, statement: str, imported: str, tmp_path: Path) -> None:
    root = package(tmp_path, {**CLEAN, file: f"{CLEAN[file]}\n{statement}"})
    importer = module_name(root, root / file)
    own = imported.split(".")[0] not in HOMES
    assert violations(root) == [f"{importer} imports {f'{NAME}.{imported}'.rstrip('.') if own else imported}"]


HEAVY = (
    "torch",
    "captum",
    "transformers",
    "matplotlib",
    "numpy",
    "jaxtyping",
    "rich",
    "typer",
    "tqdm",
    "IPython",
)


def loaded_after(code: str) -> set[str]:
    """Which of the heavy packages a fresh interpreter holds after some code, with warnings as errors."""
    code = f"{code}\nimport sys; print(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    command = [sys.executable, "-W", "error", "-c", code]
    return set(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())


def test_the_package_itself_imports_nothing_heavy() -> None:
    assert loaded_after("import hf_saliency; hf_saliency.SaliencyError, dir(hf_saliency)") == set()
    assert loaded_after("import numpy") == {"numpy"}  # it can see


def test_results_need_numpy_alone() -> None:
    assert loaded_after("from hf_saliency import SaliencyMap, Token, TargetRow, Prediction") == {
        "numpy",
        "jaxtyping",
    }


def test_figures_need_no_model() -> None:
    loaded = loaded_after("import hf_saliency as hs; hs.figure, hs.Highlight, hs.Matrix, hs.page, hs.show")
    assert "matplotlib" in loaded
    assert not loaded & {"torch", "captum", "transformers", "rich", "typer", "IPython"}


@pytest.mark.parametrize("name", hs.__all__)
def test_every_public_name_is_there(name: str) -> None:
    value = getattr(hs, name)
    assert name in dir(hs)
    assert value is getattr(hs, name)
    assert getattr(value, "__module__", NAME).split(".")[0] == NAME
    assert value.__doc__


def test_the_lists_of_names_agree() -> None:
    assert hs.__all__ == sorted(hs.__all__)
    assert set(hs.__all__) == set(hs._HOME)
    tree = ast.parse(Path(hs.__file__).read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if is_typing(node)]
    declared = {
        alias.name: str(node.module).removeprefix(f"{NAME}.")
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert declared == hs._HOME


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'hf_saliency' has no attribute 'Explaner'"):
        hs.Explaner  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'Explaner'"):
        from hf_saliency import Explaner  # noqa: F401
    assert not hasattr(hs, "torch")
