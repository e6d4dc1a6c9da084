"""The pages of docs/tasks: their snippets run and draw the figures of the page, with models trained for them."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny

import hf_saliency as hs
from hf_saliency.adapter import tasks as adapter_tasks

ROOT = Path(__file__).parents[2]
PAGES, FIGURES = ROOT / "docs/tasks", ROOT / "docs/figures/tasks"

sys.path.insert(0, str(ROOT / "examples"))
try:
    tasks = importlib.import_module("tasks")
finally:
    sys.path.remove(str(ROOT / "examples"))

STEPS = {"tokens": 0, "causal": 20, "seq2seq": 60}  # enough for the models to find or write something


def test_every_page_is_here_and_shows_its_figure() -> None:
    assert {path.stem for path in PAGES.glob("*.md")} - {"index"} == set(tasks.MODELS)
    for name in tasks.MODELS:
        shown = re.findall(
            r"\]\(\.\./figures/tasks/([\w-]+)\.png\)", (PAGES / f"{name}.md").read_text("utf-8")
        )
        assert shown == [name]
    assert {path.name for path in FIGURES.iterdir()} == {f"{name}.png" for name in tasks.MODELS}
    assert sum(path.stat().st_size for path in FIGURES.iterdir()) < 6e5


@pytest.mark.parametrize("name", tasks.MODELS)
@pytest.mark.filterwarnings("ignore:integrated_gradients")  # a model trained for few steps has a rough path
def test_the_snippets_of_a_page_run_and_draw(name: str, tmp_path: Path) -> None:
    model, tokenizer = tasks.MODELS[name](steps=STEPS.get(name, 1))
    (load,) = (block for block in tasks.blocks(name) if ".from_pretrained(name)" in block)
    task, *_ = adapter_tasks.tasks_of(model.encoder if name == "own_heads" else model)
    assert f"{task.auto_class}.from_pretrained(name)" in load
    names = tasks.draw(name, (model, tokenizer), tmp_path)
    assert (tmp_path / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
    found: list[Any] = []
    for value in names.values():
        found += value if isinstance(value, list) else [value]
    maps = [one for one in found if isinstance(one, hs.SaliencyMap)]
    assert maps
    assert all((one.scores != 0).any() for one in maps)
    claim = tasks.task_claims.CLAIMS[name]
    if name in ("masked", "similarity"):
        claim(names)
    else:  # the model has learned little
        with pytest.raises(AssertionError):
            claim(names)


def test_each_page_has_a_claim() -> None:
    assert set(tasks.task_claims.CLAIMS) == set(tasks.MODELS)


def test_the_page_shows_the_module_that_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "task_models", tasks.task_models)  # inspect looks here for the source
    (shown,) = (block for block in tasks.blocks("own_heads") if "class Counter" in block)
    assert shown == f"from torch import Tensor, nn\n\n\n{inspect.getsource(tasks.task_models.Counter)}"


def test_the_snippet_for_a_model_of_sentence_transformers_runs(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    for part in (tiny.of_class("BertModel"), tiny.tokenizer()):
        part.save_pretrained(tmp_path / "transformer")
    layers = [Transformer(str(tmp_path / "transformer")), Pooling(16, "mean"), Normalize()]
    SentenceTransformer(modules=layers, device="cpu").save(str(tmp_path / "whole"))
    (snippet,) = (one for one in tasks.blocks("similarity") if "SentenceTransformer(name)" in one)
    names: dict[str, Any] = {"name": str(tmp_path / "whole"), "hs": hs}
    exec(compile(snippet, "similarity", "exec"), names)
    assert names["own"].scores.any()


def test_training_repeats_itself_and_learns() -> None:
    def losses(steps: int) -> tuple[float, float]:
        model, tokenizer = tasks.task_models.translator(steps)
        given = tokenizer("16 march 1704", return_tensors="pt")
        labels = tokenizer("1704 - m03 - d16", return_tensors="pt").input_ids
        return model(**given, labels=labels).loss.item(), model.lm_head.weight.sum().item()

    first = losses(20)
    assert losses(20) == first
    assert first[0] < losses(1)[0] - 1
