"""Imports: rooms import only rooms below them, third-party packages only in their homes, and there are no cycles."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import hf_saliency as hs

PACKAGE = Path(hs.__file__).parent
NAME = PACKAGE.name
ROOT = Path(__file__).parents[2]

# The rooms that each room may import besides itself. "maps.spans" means only that module.
BELOW = {
    "errors": "synonyms",
    "palette": "",
    "synonyms": "",
    "progress": "",
    "recipe": "",
    "maps": "errors palette synonyms",
    "adapter": "errors progress palette synonyms maps.spans",
    "targets": "errors palette maps.spans adapter",
    "score": "errors palette maps.spans adapter targets",
    "attribution": "errors progress recipe synonyms",
    "explain": "errors progress palette synonyms maps adapter targets score attribution",
    "render": "errors palette synonyms maps",
    "corpus": "errors progress palette maps targets explain",
    "metrics": "errors palette recipe maps explain corpus",
    "demo": "errors progress",
}
EVERYTHING = {"cli", "__init__", "__main__"}

# The rooms and modules that may import each third-party package.
HOMES = {
    "tqdm": "progress",
    "transformers": "adapter demo",
    "torch": "adapter targets score attribution explain demo",
    "captum": "attribution explain",
    "matplotlib": "render",
    "fontTools": "render",
    "textualheatmap": "render",
    "pypdf": "maps.attachment",
    "PIL": "maps.attachment",
    "pyarrow": "corpus",
    "ray": "corpus",
    "rich": "cli render.terminal",
    "typer": "cli",
}

# These methods may import `render`, although `maps` is below it: users expect a result to show itself.
SHOWS_ITSELF = {
    ("maps.saliency_map", "SaliencyMap.plot"),
    ("maps.saliency_map", "SaliencyMap._repr_html_"),
    ("maps.table", "Table.plot"),
}

Import = tuple[str, str, bool]  # importing module, imported module, whether only for type checkers


def imports(root: Path) -> Iterator[Import]:
    """Yield every import in a package's files, also inside functions; module names omit the package's name."""
    paths = {module_name(root, path): path for path in sorted(root.rglob("*.py"))}
    for name, path in paths.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        spared = {id(node) for body in shows_itself(tree, name) for node in ast.walk(body)}
        typing = {id(node) for block in ast.walk(tree) if is_typing(block) for node in ast.walk(block)}
        folder = name if path.name == "__init__.py" else name.rpartition(".")[0]
        for node in ast.walk(tree):
            for imported in modules_of(node, folder, set(paths)):
                if not (id(node) in spared and room(imported) == "render"):
                    yield name, imported, id(node) in typing


def module_name(root: Path, path: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_typing(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def shows_itself(tree: ast.Module, module: str) -> Iterator[ast.AST]:
    for owner in tree.body:
        for method in owner.body if isinstance(owner, ast.ClassDef) else ():
            if (
                isinstance(method, ast.FunctionDef)
                and (module, f"{owner.name}.{method.name}") in SHOWS_ITSELF
            ):
                yield method


def modules_of(node: ast.AST, folder: str, modules: set[str]) -> Iterator[str]:
    """Yield the modules that a statement imports: ours without the package's name, others with their full name."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.name.removeprefix(f"{NAME}.") if alias.name != NAME else ""
    elif isinstance(node, ast.ImportFrom):
        above = [NAME, *filter(None, folder.split("."))]
        above = above[: len(above) + 1 - node.level] if node.level else []
        base = ".".join([*above, *([node.module] if node.module else [])])
        inside = base == NAME or base.startswith(f"{NAME}.")
        base = base.removeprefix(NAME).removeprefix(".") if inside else base
        for alias in node.names:
            full = f"{base}.{alias.name}".removeprefix(".")
            yield full if inside and full in modules else base


def room(module: str) -> str:
    return module.split(".")[0] or "__init__"


def allowed(places: str, module: str) -> bool:
    return any(module == place or module.startswith(f"{place}.") for place in places.split())


def violations(root: Path) -> list[str]:
    ours = {room(module_name(root, path)) for path in root.rglob("*.py")}
    unwanted = []
    for importer, imported, typing in imports(root):
        here, there = room(importer), room(imported)
        if there in HOMES:
            wrong = not typing and not allowed(HOMES[there], importer)
        elif there not in ours or here == there or here in EVERYTHING:
            continue
        else:
            wrong = not allowed(BELOW.get(here, ""), imported)
        if wrong:
            unwanted.append(f"{importer} imports {imported or NAME}")
    return unwanted


def cycle(root: Path) -> list[str]:
    """Return a cycle of modules that import each other, also inside functions; empty if there is none."""
    edges: dict[str, set[str]] = {}
    for importer, imported, typing in imports(root):
        if not typing and imported != importer and importer:
            edges.setdefault(importer, set()).add(imported)
    done: set[str] = set()

    def circle(module: str, path: list[str]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return []
        done.add(module)
        return next(filter(None, (circle(to, [*path, module]) for to in sorted(edges.get(module, ())))), [])

    return next(filter(None, (circle(module, []) for module in sorted(edges))), [])


def test_rooms_see_only_the_rooms_below_and_packages_stay_at_home() -> None:
    assert {room(importer) for importer, _, _ in imports(PACKAGE)} >= {"maps", "adapter", "explain", "render"}
    assert violations(PACKAGE) == []


def test_there_is_no_import_cycle() -> None:
    assert cycle(PACKAGE) == []


def test_every_room_is_in_the_table() -> None:
    rooms = {room(module_name(PACKAGE, path)) for path in PACKAGE.rglob("*.py")}
    assert rooms <= {*BELOW, *EVERYTHING}


CLEAN = {
    "__init__.py": "import lazy_loader",
    "errors.py": "",
    "maps/__init__.py": "",
    "maps/spans.py": "from hf_saliency.errors import SaliencyError",
    "maps/saliency_map.py": "from . import spans\nimport numpy\nclass SaliencyMap:\n"
    "    def plot(self):\n        from hf_saliency.render.figure import figure",
    "explain/explainer.py": "from ..score.score import Score\nfrom .. import attribution\nimport torch, captum",
    "cli/__init__.py": "import rich\nfrom ..render import figure",
    "attribution/__init__.py": "",
    "attribution/norm.py": "import torch\nfrom .other import x\nfrom ..errors import y\nimport captum.attr",
    "attribution/other.py": "if TYPE_CHECKING:\n    from .norm import z",
    "adapter/__init__.py": "",
    "adapter/model.py": "import transformers\nfrom hf_saliency.maps import spans",
    "score/score.py": "from hf_saliency.adapter.model import M",
    "render/__init__.py": "",
    "render/figure.py": "import matplotlib\nif TYPE_CHECKING:\n    import torch\nfrom .marks.mark import M",
    "render/marks/__init__.py": "",
    "render/marks/mark.py": "from ...maps.saliency_map import x",
}


def package(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / NAME / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return folder / NAME


def test_a_clean_package_passes(tmp_path: Path) -> None:
    root = package(tmp_path, CLEAN)
    assert violations(root) == []
    assert cycle(root) == []


@pytest.mark.parametrize(
    ("file", "statement", "imported"),
    [
        ("attribution/norm.py", "from hf_saliency.adapter import model", "adapter.model"),
        ("attribution/norm.py", "from ..render import figure", "render.figure"),
        ("attribution/norm.py", "from .. import adapter", "adapter"),
        ("attribution/norm.py", "from ..score.score import Score", "score.score"),
        ("attribution/norm.py", "def f():\n    import hf_saliency.maps.saliency_map", "maps.saliency_map"),
        ("attribution/norm.py", "from hf_saliency import Explainer", ""),
        ("attribution/norm.py", "import hf_saliency as hs", ""),
        ("attribution/__init__.py", "from .. import render", "render"),
        ("attribution/norm.py", "import transformers", "transformers"),
        ("adapter/model.py", "from hf_saliency.attribution.norm import x", "attribution.norm"),
        ("adapter/model.py", "if TYPE_CHECKING:\n    from ..render import figure", "render.figure"),
        ("adapter/model.py", "from ..maps.saliency_map import SaliencyMap", "maps.saliency_map"),
        ("adapter/model.py", "from matplotlib import pyplot", "matplotlib"),
        ("score/score.py", "from ..explain.explainer import Explainer", "explain.explainer"),
        ("render/marks/mark.py", "from ...adapter import model", "adapter.model"),
        ("render/marks/mark.py", "from ...explain import explainer", "explain.explainer"),
        ("render/marks/mark.py", "import torch.nn as nn", "torch.nn"),
        ("render/figure.py", "try:\n    import captum\nexcept ImportError:\n    pass", "captum"),
        ("maps/saliency_map.py", "from hf_saliency.render import figure", "render.figure"),
        ("maps/saliency_map.py", "def plot(): from hf_saliency.render import figure", "render.figure"),
        ("maps/saliency_map.py", "import torch", "torch"),
        ("maps/spans.py", "import pypdf", "pypdf"),
        ("explain/explainer.py", "from hf_saliency.render.figure import figure", "render.figure"),
        ("explain/explainer.py", "import transformers", "transformers"),
        ("cli/__init__.py", "import torch", "torch"),
    ],
)
def test_each_violation_is_found(file: str, statement: str, imported: str, tmp_path: Path) -> None:
    root = package(tmp_path, {**CLEAN, file: f"{CLEAN[file]}\n{statement}"})
    assert violations(root) == [f"{module_name(root, root / file)} imports {imported or NAME}"]


def test_a_cycle_is_found(tmp_path: Path) -> None:
    root = package(tmp_path, {**CLEAN, "maps/spans.py": "def f():\n    from . import saliency_map"})
    assert set(cycle(root)) == {"maps.saliency_map", "maps.spans"}


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
    """Return the heavy packages that a fresh interpreter has loaded after some code; warnings are errors."""
    code = f"{code}\nimport sys; print(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    command = [sys.executable, "-W", "error", "-c", code]
    return set(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())


def test_a_notebook_without_widgets_gets_no_warning_of_its_bars() -> None:
    kernel = """
import sys, types
sys.modules["ipykernel.zmqshell"] = sys.modules["IPython"] = types.ModuleType("IPython")
sys.modules["IPython"].get_ipython = lambda: None
sys.modules["ipywidgets"] = None  # as if it were not installed
"""

    def said(code: str) -> str:
        command = [sys.executable, "-c", kernel + code]
        return subprocess.run(command, check=True, capture_output=True, text=True).stderr

    if "IProgress not found" not in said("import tqdm.auto"):
        pytest.skip("older releases of tqdm do not take this for a notebook")
    assert said("import hf_saliency.progress, tqdm.auto") == ""
    for name in ("adapter", "attribution", "demo"):  # these rooms import packages that import the bars
        assert "import hf_saliency.progress " in (PACKAGE / name / "__init__.py").read_text("utf-8")


def test_the_package_itself_imports_nothing_heavy() -> None:
    assert loaded_after("import hf_saliency; hf_saliency.SaliencyError, dir(hf_saliency)") == set()
    assert loaded_after("import numpy") == {"numpy"}  # the function does notice imports


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


def test_dir_lists_the_public_names() -> None:
    assert set(hs.__all__) >= {"Explainer", "SaliencyMap", "figure"}
    assert set(dir(hs)) >= set(hs.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(
        AttributeError, match="hf_saliency has no attribute 'Explaner'. Did you mean Explainer\\?"
    ):
        hs.Explaner  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'Explaner'"):
        from hf_saliency import Explaner  # noqa: F401
    assert not hasattr(hs, "torch")


def test_the_files_that_contributing_names_are_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = {path.removeprefix("hf_saliency/") for path in re.findall(r"`([\w/]+\.py)`", text)}
    places = {path: [PACKAGE / path, ROOT / path] for path in named if "/" in path}
    assert len(places) > 15
    assert [path for path, found in places.items() if not any(map(Path.exists, found))] == []
