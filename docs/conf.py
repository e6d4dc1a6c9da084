"""The documentation site: Markdown pages, executed notebooks, and a reference of every public name."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

from docutils.nodes import SkipNode
from docutils.utils.math import latex2mathml

HERE = Path(__file__).parent
ROOT = HERE.parent
STUB = ROOT / "hf_saliency" / "__init__.pyi"

project = "hf-saliency"
author = "The hf-saliency developers"
project_copyright = author
version = release = importlib.metadata.version("hf-saliency")

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx_copybutton",
]
exclude_patterns = ["_build", "**/.ipynb_checkpoints"]

# Notebooks run when the site is built: on this checkout, without a network, on one core.
os.environ |= {
    "PYTHONPATH": str(ROOT),
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
}
# Markdown as GitHub shows it.
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 4
nb_execution_mode = "cache"
nb_execution_timeout = 600  # of a cell, on a machine that is busy
nb_execution_raise_on_error = True
nb_merge_streams = True
nb_output_stderr = "remove"  # progress bars, and paths of the machine that built the site
nb_execution_show_tb = True

autodoc_typehints = "none"  # numpydoc's sections say it, in the reader's words
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "furo"
pygments_dark_style = "github-dark"  # names of modules are not underlined like links
html_title = "hf-saliency"
html_static_path = ["_static"]
templates_path = ["_templates"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_copy_source = False  # its link stands outside of all landmarks, and the source is in the repository
html_math_renderer = "mathml"  # browsers draw it themselves: the site needs no network

# External links, by `make linkcheck`: a server may be slow, or refuse a program once.
linkcheck_timeout = 30
linkcheck_retries = 3

ROOMS = {
    "explain": "Explaining",
    "targets": "Targets: what is explained",
    "attribution": "Methods and Captum classes",
    "score": "Baselines",
    "maps": "Results",
    "render": "Figures, pages and terminals",
    "metrics": "Faithfulness and sanity",
    "corpus": "Corpora",
    "adapter": "Model families",
    "demo": "The bundled model",
    "errors": "Errors",
}


def public_names() -> dict[str, list[tuple[str, str]]]:
    """The module and name of every public object, by room, from the one list in the package's stub."""
    names = defaultdict(list)
    for node in ast.parse(STUB.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                names[node.module.split(".")[0]].append((node.module, alias.name))
    return names


def write_reference(app: Any) -> None:
    """One page a room, and a list of them; pages that do not change keep their time, so that a build is quick."""
    import hf_saliency

    folder = HERE / "reference"
    folder.mkdir(exist_ok=True)
    rooms = public_names()
    for room, title in ROOMS.items():
        if room not in rooms:
            continue
        parts = [f"# {title}\n"]
        for _, name in rooms[room]:
            documented = getattr(hf_saliency, name)
            directive = f".. autofunction:: hf_saliency.{name}"
            if not callable(documented):
                directive = f".. autodata:: hf_saliency.{name}"
            elif isinstance(documented, type):
                directive = f".. autoclass:: hf_saliency.{name}\n   :members:"
            parts.append(f"## {name}\n\n```{{eval-rst}}\n{directive}\n```\n")
        write(folder / f"{room}.md", "\n".join(parts))
    listing = "\n".join(room for room in ROOMS if room in rooms)
    write(
        folder / "index.md",
        f"# Reference\n\nEvery public name, grouped by the part of the package that it comes from.\n\n"
        f"```{{toctree}}\n:maxdepth: 2\n\n{listing}\n```\n",
    )


def write(path: Path, text: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def escape_shapes(app: Any, what: str, name: str, documented: Any, options: Any, lines: list[str]) -> None:
    """The star of a shape such as ``"*targets tokens"`` begins no emphasis."""
    shaped = re.compile(r"\b(Float|Int|Bool|Shaped)\[")
    lines[:] = [line.replace("*", r"\*") if shaped.search(line) else line for line in lines]


def mathml(body: Any, node: Any, display: bool) -> None:
    """Write a formula as MathML, by the converter that comes with docutils."""
    lines = [
        str(line)
        for line in latex2mathml.tex2mathml(
            node.astext().replace(r"\dots", r"\ldots"), as_block=display
        ).splitlines()
    ]
    body.body.append(f'<div class="math">{"".join(lines)}</div>' if display else "".join(lines))
    raise SkipNode


def setup(app: Any) -> None:
    app.add_html_math_renderer(
        "mathml",
        (lambda body, node: mathml(body, node, display=False), None),
        (lambda body, node: mathml(body, node, display=True), None),
    )
    app.connect("builder-inited", write_reference)
    app.connect("autodoc-process-docstring", escape_shapes, priority=400)  # before numpydoc reads it
