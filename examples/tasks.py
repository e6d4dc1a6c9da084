"""Figures for the pages on tasks: trains a model for each page and runs the page's snippets, which draw them.

    python examples/tasks.py [PAGE ...]

Writes ``docs/figures/tasks/*.png``, checks the pages' claims about them (``task_claims.py``), and prints the seconds of
each page; in total about two minutes on one thread. The pages on masked models and on similarity use the bundled model
unchanged. The others train its upper layers and a head, or a separate small model, with texts made from templates
(``task_texts.py``, ``task_models.py``), so that it is known which words a prediction has to depend on.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import task_claims
import task_models
import torch
from PIL import Image

import hf_saliency as hs

DOCS = Path(__file__).parent.parent / "docs"
DPI = 150
Loaded = tuple[Any, Any]


def bundled(steps: int = 0) -> Loaded:
    """The bundled model, which is already trained."""
    return hs.load_demo()


def encoder(steps: int = 0) -> Loaded:
    """The bundled model without its head."""
    model, tokenizer = hs.load_demo()
    return model.bert, tokenizer


MODELS: dict[str, Callable[..., Loaded]] = {
    "masked": bundled,
    "similarity": encoder,
    "classification": task_models.classifier,
    "tokens": task_models.tagger,
    "answers": task_models.answerer,
    "choice": task_models.chooser,
    "own_heads": task_models.counter,
    "causal": task_models.storyteller,
    "seq2seq": task_models.translator,
}


def blocks(name: str) -> list[str]:
    """The code blocks of a page."""
    page = (DOCS / "tasks" / f"{name}.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", page, re.DOTALL)


def snippets(name: str) -> list[str]:
    """The code blocks of a page, except those that load a model by name."""
    return [block for block in blocks(name) if "(name)" not in block]


def draw(name: str, loaded: Loaded, folder: Path) -> dict[str, Any]:
    """Run the snippets of a page in a folder, where they save its figure; return their variables."""
    names: dict[str, Any] = dict(zip(("model", "tokenizer"), loaded, strict=True))
    before = Path.cwd()
    os.chdir(folder)
    try:
        with mpl.rc_context({"savefig.dpi": DPI}):
            for snippet in snippets(name):
                exec(compile(snippet, name, "exec"), names)
        Image.open(f"{name}.png").convert("RGB").save(f"{name}.png", optimize=True)
    finally:
        os.chdir(before)
    return names


def main(names: Sequence[str], folder: Path = DOCS / "figures" / "tasks") -> None:
    """For each page or the named ones, train a model, draw the figure, and check the page's claims about it."""
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or MODELS:
        start = time.perf_counter()
        task_claims.CLAIMS[name](draw(name, MODELS[name](), folder))
        print(f"{name}.png, {time.perf_counter() - start:.0f} s on one thread")


if __name__ == "__main__":
    main(sys.argv[1:])
