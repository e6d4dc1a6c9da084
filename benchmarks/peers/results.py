"""Results of the measurements, and their Markdown tables."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

MEBIBYTE = 2**20


@dataclass
class Result:
    """One way of doing a work: the CPU seconds and memory of each run, and the scores of the last."""

    way: str
    definition: str = ""
    allowed: float = 0.0
    seconds: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    scores: np.ndarray | None = None
    difference: float | None = None
    failure: str = ""

    def add(self, scores: np.ndarray, seconds: float, memory: float) -> None:
        """Add the numbers of one run; ``seconds`` are for all rows of scores."""
        self.seconds.append(seconds / len(scores))
        self.memory.append(memory)
        self.scores = scores

    @property
    def longest(self) -> float:
        """CPU seconds of the longest run."""
        return 0.0 if self.scores is None else max(self.seconds) * len(self.scores)

    @property
    def cost(self) -> float:
        """CPU seconds per row: the median of the runs."""
        return statistics.median(self.seconds)


def compare(results: Sequence[Result], references: dict[str, np.ndarray]) -> list[str]:
    """Record how far each way is from the numbers of its definition; return a line for each that is too far."""
    failures = []
    for result in results:
        if result.scores is None or result.definition not in references:
            continue
        result.difference = difference(result.scores, references[result.definition])
        if not result.difference <= result.allowed:
            failures.append(f"{result.way}: {result.difference:.1e} is above {result.allowed:.0e}")
    return failures


def difference(scores: np.ndarray, reference: np.ndarray) -> float:
    """The largest difference relative to the largest score of its row, in the rows that ``scores`` has."""
    if len(scores) > len(reference):  # ``scores`` repeats each row
        reference = np.repeat(reference, len(scores) // len(reference), axis=0)
    reference = reference[: len(scores)]
    if scores.shape != reference.shape or (np.isnan(scores) != np.isnan(reference)).any():
        return float("inf")
    largest = np.nanmax(np.abs(reference), axis=1, keepdims=True)
    return float(np.nanmax(np.abs(scores - reference) / largest))


def table(title: str, unit: str, results: Sequence[Result], ours: str) -> str:
    """The Markdown of one work; ratios are relative to the way named ``ours``."""
    base = next((result.cost for result in results if result.way == ours and result.seconds), float("nan"))
    lines = [
        f"### {title}",
        "",
        f"| way | CPU ms a {unit} | times {ours} | peak memory, MiB | difference |",
        "|---|---:|---:|---:|---:|",
    ]
    for result in results:
        if not result.seconds:
            lines.append(f"| {result.way} | - | - | - | {_cell(result.failure)} |")
            continue
        away = "other definition" if result.difference is None else f"{result.difference:.0e}"
        memory = max(result.memory) / MEBIBYTE
        lines.append(
            f"| {result.way} | {1000 * result.cost:.3g} | {result.cost / base:.2f} | {memory:.0f} | {away} |"
        )
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|") or "no result"
