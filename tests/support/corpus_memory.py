"""Memory of a process that writes and then reads a corpus of many short texts: `python corpus_memory.py 100000`."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import tiny

import hf_saliency as hs

MIB = 2**20


def growth(count: int, folder: Path) -> tuple[float, float]:
    """The growth of memory after the first fifth of the texts, in MiB: while writing, and while reading."""
    process, sizes = psutil.Process(), []
    step = count // 20

    def texts() -> Iterator[str]:
        for number in range(count):
            if number % step == 0 and number:
                sizes.append(process.memory_info().rss)
            yield f"the cat sat on a mat {'and the dog ran' if number % 3 else ''}"

    explainer = hs.Explainer(*tiny.model("sequence_classification", "bert"), progress=False)
    corpus = hs.write_corpus(explainer, texts(), folder, window=64, shard_texts=max(64, count // 20))
    writing = (max(sizes[3:]) - sizes[3]) / MIB
    before = largest = 0
    for number, _ in enumerate(corpus):
        if number == 4 * step:
            before = process.memory_info().rss
        if number % step == 0:
            largest = max(largest, process.memory_info().rss)
    assert len(corpus) == count
    print([round(size / MIB) for size in sizes])
    return writing, (largest - before) / MIB


if __name__ == "__main__":
    clock = time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary) / "corpus"
        written, read = growth(int(sys.argv[1]), place)
        size = sum(path.stat().st_size for path in place.iterdir()) / MIB
    seconds = time.perf_counter() - clock
    print(f"memory grew by {written:.0f} MiB in writing, by {read:.0f} MiB in reading")
    print(f"{size:.1f} MiB on disk, {seconds:.0f} s")
    sys.exit(written > 50 or read > 50)
