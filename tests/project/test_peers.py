"""The comparison with other packages: its tables and its checks, without the packages."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

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
    for seconds in (4.0, 1.0, 1.2):  # two rows: 2.0, 0.5 and 0.6 s each
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
