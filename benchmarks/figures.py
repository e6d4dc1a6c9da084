"""How long does a figure take, from a map to the bytes of its file?

    python benchmarks/figures.py

Prints a Markdown table. The first column is a process's first figure of that kind, fonts read and nothing cached;
the second the median of five more.
"""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Callable

import numpy as np

import hf_saliency as hs

REPEATS = 5


def sweep(tokens: int, targets: int, seed: int = 0) -> hs.SaliencyMap:
    """Random scores over a text of so many words of two to nine letters."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(2, 10, tokens)
    words = ["".join(generator.choice(list("abcdefghijklmnopqrstuvwxyz"), length)) for length in lengths]
    text = " ".join(words)
    ends = np.cumsum(lengths + 1) - 1
    columns = [hs.Token(word, int(end) - len(word), int(end)) for word, end in zip(words, ends, strict=True)]
    rows = [hs.TargetRow(columns[i].piece, i, 1.0, masked=True) for i in range(targets)]
    return hs.SaliencyMap((text,), tuple(columns), tuple(rows), generator.random((targets, tokens)), "random")


def seconds(draw: Callable[[], object]) -> float:
    """For one call."""
    start = time.perf_counter()
    draw()
    return time.perf_counter() - start


def saved(
    heat: hs.SaliencyMap, mark: hs.Highlight | hs.Matrix | hs.Bars | hs.Arcs, kind: str
) -> Callable[[], None]:
    """What draws a map and writes it as a file of some kind."""

    def draw() -> None:
        hs.figure(heat, mark, width=6.75).savefig(io.BytesIO(), format=kind)

    return draw


def main() -> None:
    """Time each kind of figure."""
    square, text = sweep(128, 128), sweep(300, 1)
    cases = {
        "Matrix, 128 x 128": (square, hs.Matrix()),
        "Highlight, 300 tokens": (text, hs.Highlight()),
        "Bars, 300 tokens": (text, hs.Bars(top=40)),
        "Arcs, 128 targets": (square, hs.Arcs()),
    }
    print("| figure | file | first, s | then, s |\n|---|---|---|---|")
    for name, (heat, mark) in cases.items():
        for kind in ("pdf", "svg", "png", "pgf"):
            draw = saved(heat, mark, kind)
            first = seconds(draw)
            then = statistics.median(seconds(draw) for _ in range(REPEATS))
            print(f"| {name} | {kind} | {first:.2f} | {then:.2f} |", flush=True)


if __name__ == "__main__":
    main()
