"""The comparison with other packages: its tables and checks, tested without these packages."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
from pathlib import Path
from typing import Any

import captum.attr
import numpy as np
import pytest
import textualheatmap

ROOT = Path(__file__).parents[2]
PEERS = ROOT / "benchmarks" / "peers"


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(PEERS))
    yield importlib.import_module("results")
    sys.modules.pop("results")


def test_table(results: Any) -> None:
    ours, peer = results.Result("ours", "norm", 1e-4), results.Result("peer", "norm", 1e-4)
    missing = results.Result("other", failure="ImportError: no | such module")
    for seconds in (4.0, 1.0, 1.2):  # for two rows, so 2.0, 0.5 and 0.6 s a row
        ours.add(np.array([[1.0, -2.0], [0.5, 0.25]]), seconds, 2**20)
    peer.add(np.array([[1.0, -2.0 + 1e-5]]), 1.5, 3 * 2**20)
    assert results.compare([ours, peer, missing], {"norm": ours.scores}) == []
    assert results.table("a sweep", "target", [ours, peer, missing], "ours").splitlines()[2:] == [
        "| way | CPU ms a target | times ours | peak memory, MiB | difference |",
        "|---|---:|---:|---:|---:|",
        "| ours | 600 | 1.00 | 1 | 0e+00 |",
        "| peer | 1.5e+03 | 2.50 | 3 | 5e-06 |",
        "| other | - | - | - | ImportError: no \\| such module |",
    ]


def test_difference(results: Any) -> None:
    reference = np.array([[1.0, -4.0, np.nan], [10.0, 0.0, 2.0]])
    scores = reference + np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    assert results.difference(scores, reference) == pytest.approx(0.1)
    assert results.difference(scores[:1], reference) == 0
    assert results.difference(scores.repeat(2, axis=0)[2:], reference[1:]) == pytest.approx(0.1)
    assert results.difference(scores[:, :2], reference) == float("inf")
    assert results.difference(np.nan_to_num(scores), reference) == float("inf")


def test_numbers_that_differ_are_named(results: Any) -> None:
    peer = results.Result("peer", "norm", 1e-4)
    peer.add(np.array([[1.0, 2.0]]), 1.0, 0.0)
    (line,) = results.compare([peer], {"norm": np.array([[1.0, 2.1]])})
    assert line.startswith("peer: ")


def test_every_peer_has_a_list_of_pinned_packages() -> None:
    driver = (PEERS / "compare.py").read_text(encoding="utf-8")
    lists = {path.stem for path in (ROOT / "constraints-peers").glob("*.txt")}
    assert lists == {
        peer for peer in ("inseq", "interpreto", "transformers-interpret", "ferret") if f'"{peer}"' in driver
    }
    for peer in lists:
        lines = (ROOT / "constraints-peers" / f"{peer}.txt").read_text(encoding="utf-8").split("\n")
        packages = [line for line in lines if line and not line.startswith("#")]
        assert packages
        assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in packages)
        assert not any(line.startswith("torch==") for line in packages)


# inseq 0.7.1: the identifiers in attr/step_functions.py, and those of its attribution methods.
STEP_FUNCTIONS = """logit probability entropy crossentropy perplexity contrast_logits contrast_prob contrast_logits_diff
contrast_prob_diff pcxmi kl_divergence in_context_pvi mc_dropout_prob_avg top_p_size""".split()
INSEQ_METHODS = """attention deeplift discretized_integrated_gradients gradient_shap input_x_gradient
integrated_gradients layer_deeplift layer_gradient_x_activation layer_integrated_gradients lime occlusion reagent
saliency sequential_integrated_gradients value_zeroing""".split()


def test_the_page_on_inseq_names_what_inseq_has() -> None:
    page = (ROOT / "docs" / "coming_from" / "inseq.md").read_text("utf-8")
    scores = re.findall(r'(?:attributed_fn=|step_scores=\[)"(\w+)"', page)
    assert len(scores) >= 4
    assert set(scores) <= {*STEP_FUNCTIONS}
    absent = re.findall(r"`(\w+)`", page.split("## Not here")[1])
    assert set(absent) <= {*STEP_FUNCTIONS, *INSEQ_METHODS}


@pytest.mark.parametrize(
    ("page", "classes"),
    [
        ("captum", {"LayerIntegratedGradients": captum.attr.LayerIntegratedGradients}),
        ("textualheatmap", {"TextualHeatmap": textualheatmap.TextualHeatmap}),
    ],
)
def test_the_code_of_installed_peers_fits_their_signatures(page: str, classes: dict[str, Any]) -> None:
    """A call is recognised by the name of the class or of one of its methods."""
    text = (ROOT / "docs" / "coming_from" / f"{page}.md").read_text("utf-8")
    code = "\n".join(re.findall(r"^```py\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE))
    (cls,) = classes.values()
    checked = 0
    for call in [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]:
        name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
        function = classes.get(name) or getattr(cls, name, None)
        if function is not None:
            bound = [None] * (function is not cls)  # self
            keywords = {str(keyword.arg): None for keyword in call.keywords}
            inspect.signature(function).bind(*bound, *call.args, **keywords)
            checked += 1
    assert checked == 2
