"""Kill a process at random moments while it writes a corpus, and check its files: `python corpus_kills.py 50`."""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

import numpy as np
import tiny
import torch

import hf_saliency as hs
from hf_saliency.corpus.folder import shards

TEXTS = 120
WORDS = [
    "the cat sat",
    "a dog ran",
    "she learn ing music",
    "he was not young",
    "",
    "the formal study of grammar",
]


def rows() -> list[dict[str, str]]:
    """Texts of several lengths with keys; every sixth one is empty and fails."""
    return [{"id": f"text {i}", "text": WORDS[i % len(WORDS)], "group": "ab"[i % 2]} for i in range(TEXTS)]


def write(folder: Path) -> hs.Corpus:
    """Write the whole corpus, or the rest of it if a part exists."""
    explainer = hs.Explainer(*tiny.masked_lm("bert"), progress=False)
    return hs.write_corpus(explainer, rows(), folder, key="id", columns=["group"], window=2, shard_texts=4)


def start(folder: Path) -> int:
    """Start a process that writes the corpus, and return its id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        write(folder)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def files(folder: Path) -> list[Path]:
    """The finished files of a folder."""
    return list(folder.glob("*-*.parquet"))


def check(folder: Path, expected: hs.Corpus | None = None) -> int:
    """Check that every file is whole and no key occurs twice, and return the number of keys."""
    keys = [
        key
        for kind in ("maps", "failures")
        for s in shards(folder, kind)
        for key in s.table()["key"].to_pylist()
    ]
    assert len(keys) == len(set(keys)), "a key is there twice"
    if expected is not None:
        corpus = hs.read_corpus(folder)
        assert corpus.complete
        assert set(keys) == {row["id"] for row in rows()}, "a key is lost"
        assert corpus.keys() == expected.keys()
        assert corpus.failures.equals(expected.failures)
        for heat, other in zip(corpus, expected, strict=True):
            assert (heat.texts, heat.tokens) == (other.texts, other.tokens)
            np.testing.assert_allclose(heat.scores, other.scores, rtol=1e-9)
    return len(keys)


def kills(count: int, folder: Path, seed: int = 0) -> list[int]:
    """Kill ``count`` writers, then let one finish; return the number of finished texts after each kill."""
    rng = random.Random(seed)
    expected = write(folder / "whole")
    steps = max(1, len(files(folder / "whole")) // count)
    left, place = [], folder / "killed"
    for _ in range(count):
        goal = len(files(place)) + rng.randint(0, steps)
        child = start(place)
        ended = (0, 0)
        while len(files(place)) < goal and ended == (0, 0):
            time.sleep(0.001)
            ended = os.waitpid(child, os.WNOHANG)
        if ended == (0, 0):
            time.sleep(rng.random() * 0.02)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        else:  # a fast machine finishes the corpus before the last kill
            assert ended[1] == 0
        left.append(check(place) if (place / "corpus.json").exists() else 0)
    _, status = os.waitpid(start(place), 0)
    assert status == 0
    check(place, expected)
    return left


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    torch.set_num_threads(1)  # a process forked while OpenMP has threads waits for them for ever
    with tempfile.TemporaryDirectory() as temporary:
        print(kills(int(sys.argv[1]), Path(temporary)))
