"""Memory: a batch that would not fit is never started."""

from __future__ import annotations

import gc
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch

import hf_saliency as hs
from hf_saliency.explain import memory

TEXT = "The formal study of grammar is an important part of the study of grammar."


def with_graph() -> int:
    """The number of tensors that hold a graph."""
    gc.collect()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return sum(isinstance(each, torch.Tensor) and each.grad_fn is not None for each in gc.get_objects())


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Any]]:
    """The arguments and the result of each measurement; passes of any size are measured."""
    found: list[tuple[Any, Any]] = []
    measure = memory.activations

    def note(*arguments: Any) -> Any:
        found.append((arguments, measure(*arguments)))
        return found[-1][1]

    monkeypatch.setattr(memory, "activations", note)
    monkeypatch.setattr(memory, "WORTH", 1)
    return found


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize(("head", "family"), [("masked", "bert"), ("causal", "gpt2")])
def test_a_long_row_keeps_what_was_measured_on_a_short_one(
    head: str, family: str, attention: str, measured: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_SAMPLE", 8)
    model, tokenizer = tiny.model(head, family, attn_implementation=attention)
    hs.Explainer(model, tokenizer)(TEXT)
    ((score, text_model, batch), need), *_ = measured
    graphs = with_graph()
    saved = memory._saved(score, text_model, batch, batch.tokens)
    assert with_graph() == graphs  # no graph outlives its measurement
    assert need.bytes(1, batch.tokens) == pytest.approx(saved, rel=0.05)
    assert batch.tokens > 12


def test_a_budget_that_does_not_fit_is_halved_and_the_scores_are_the_same(
    measured: list[Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    explainer = hs.Explainer(*tiny.masked_lm("bert"))
    whole = explainer(TEXT)
    (_, _, batch), need = measured[0]
    two = int(2.1 * memory._BESIDE * need.bytes(1, batch.tokens))
    monkeypatch.setattr(memory, "free_memory", lambda: two)
    caplog.set_level(logging.INFO, "hf_saliency")
    parts = explainer(TEXT)
    np.testing.assert_allclose(parts.scores, whole.scores, rtol=1e-10, atol=1e-14)
    assert all("memory is short (about" in record.message for record in caplog.records)
    assert caplog.records


def test_a_row_that_would_not_fit_is_refused_before_it_is_tried(
    measured: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    explainer = hs.Explainer(*tiny.masked_lm("bert"))
    monkeypatch.setattr(memory, "free_memory", lambda: 1000)
    with pytest.raises(
        hs.SaliencyError, match=r"a single text of \d+ tokens does not fit into memory \(about"
    ):
        explainer(TEXT)
    monkeypatch.setattr(memory, "free_memory", lambda: None)
    assert len(explainer(TEXT))


def test_few_tokens_are_not_measured(measured: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "WORTH", 4096)
    hs.Explainer(*tiny.masked_lm("bert"))(TEXT)
    assert not measured


def test_free_memory_is_the_least_that_machine_and_groups_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(name: str, text: str) -> None:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    monkeypatch.setattr(memory, "_ROOT", tmp_path)
    write("proc/meminfo", "MemTotal: 9000 kB\nMemAvailable:    8000 kB\n")
    assert memory.free_memory() == 8000 * 1024
    write("proc/self/cgroup", "5:cpu:/a\n4:memory:/a\n0::/b/c\n")
    for folder in ("b/c", "b"):
        write(f"sys/fs/cgroup/{folder}/memory.max", "max\n")
        write(f"sys/fs/cgroup/{folder}/memory.current", "5000\n")
        write(f"sys/fs/cgroup/{folder}/memory.stat", "anon 1\nactive_file 200\ninactive_file 300\n")
    assert memory.free_memory() == 8000 * 1024
    write("sys/fs/cgroup/b/memory.max", "6000\n")
    assert memory.free_memory() == 1500
    write("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "900")
    write("sys/fs/cgroup/memory/a/memory.usage_in_bytes", "1000")
    write("sys/fs/cgroup/memory/a/memory.stat", "")
    assert memory.free_memory() == 0
    (tmp_path / "proc/self/cgroup").write_bytes(b"0::/\xff\n0::/b\n")  # a name that is not UTF-8
    assert memory.free_memory() == 1500


@pytest.mark.parametrize(
    "method", ["gradient_norm", "input_x_gradient", "integrated_gradients", "leave_one_out"]
)
def test_what_a_call_held_is_freed_when_it_returns(method: str) -> None:
    """A reference cycle would keep rows, encodings and scores alive until Python collects cycles."""
    explainer = hs.Explainer(*tiny.masked_lm("bert"), progress=False)
    explainer(["a dog ran", "a cat"], method=method)
    gc.collect()
    gc.disable()
    try:
        explainer(["a dog ran", "a cat"], method=method)
        assert gc.collect() == 0
    finally:
        gc.enable()
