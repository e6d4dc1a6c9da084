"""How long do a figure, a page and a map's file take, from a map to the bytes of the file?

    python benchmarks/figures.py
    python benchmarks/figures.py large      # 512 targets and more, once each

Prints a Markdown table of CPU seconds. For figures of a paper's size, the first column is the first figure of that kind
in a process, which reads fonts and finds nothing cached; the second column is the median of five more.
"""

from __future__ import annotations

import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import hf_saliency as hs

REPEATS = 5


def sweep(tokens: int, targets: int, seed: int = 0) -> hs.SaliencyMap:
    """Random scores over a text of ``tokens`` words of two to nine letters."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(2, 10, tokens)
    words = ["".join(generator.choice(list("abcdefghijklmnopqrstuvwxyz"), length)) for length in lengths]
    text = " ".join(words)
    ends = np.cumsum(lengths + 1) - 1
    columns = [hs.Token(word, int(end) - len(word), int(end)) for word, end in zip(words, ends, strict=True)]
    rows = [hs.TargetRow(columns[i].piece, i, 1.0, masked=True) for i in range(targets)]
    scores = generator.random((targets, tokens)).astype(np.float32)
    return hs.SaliencyMap((text,), tuple(columns), tuple(rows), scores, "random")


def seconds(draw: Callable[[], object]) -> float:
    """CPU seconds of one call."""
    start = time.process_time()
    draw()
    return time.process_time() - start


def saved(
    heat: hs.SaliencyMap, mark: hs.Highlight | hs.Matrix | hs.Bars | hs.Arcs, kind: str, width: float = 6.75
) -> Callable[[], int]:
    """A function that draws a map, writes it as a file of some kind and returns its number of bytes."""

    def draw() -> int:
        buffer = io.BytesIO()
        hs.figure(heat, mark, width=width).savefig(buffer, format=kind)
        return buffer.tell()

    return draw


def large() -> None:
    """Time figures and files of long texts, in a process that has drawn before."""
    square, half, text, file = sweep(512, 512), sweep(300, 300), sweep(1200, 1), sweep(1000, 1000)
    saved(sweep(5, 5), hs.Matrix(), "pdf")()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "map.json"

        def save() -> int:
            file.save(path)
            return path.stat().st_size

        cases: dict[str, Callable[[], int]] = {
            "page, 512 x 512": lambda: len(hs.page(square).html),
            "Matrix, 512 x 512, pdf": saved(square, hs.Matrix(), "pdf", 9),
            "Matrix, 512 x 512, png": saved(square, hs.Matrix(), "png", 9),
            "Matrix, 300 x 300, pdf": saved(half, hs.Matrix(), "pdf"),
            "Matrix, 300 x 300, svg": saved(half, hs.Matrix(), "svg"),
            "Highlight, 1,200 tokens, pdf": saved(text, hs.Highlight(), "pdf"),
            "map, 1,000 x 1,000, save": save,
            "map, 1,000 x 1,000, load": lambda: hs.SaliencyMap.load(path).scores.nbytes,
        }
        print("| what | CPU, s | bytes |\n|---|---|---|")
        for name, case in cases.items():
            start = time.process_time()
            size = case()
            print(f"| {name} | {time.process_time() - start:.2f} | {size:,} |", flush=True)


def main() -> None:
    """Time each kind of figure."""
    if sys.argv[1:] == ["large"]:
        large()
        return
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
