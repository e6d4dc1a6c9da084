"""What do streams, folders and Ray's workers cost beside the explanations themselves?

    python benchmarks/corpus.py cost [--texts 1500]      a stream over a list, a folder over a stream; CPU seconds
    python benchmarks/corpus.py once [--texts 1000000]   one corpus of short texts: rate, memory, size of the folder
    python benchmarks/corpus.py workers [--texts 960]    two workers of Ray over two separate processes

Each process takes one thread. The tiny model is a classifier of 2 layers and width 16, whose time is mostly Python's;
the other one is the bundled model, of which every word is masked in turn. It needs the extras `corpus` and `cluster`.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from transformers import BertConfig, BertForSequenceClassification

import hf_saliency as hs

WORDS = (
    "the a she he they we old young small red river dog cat teacher letter song winter road house garden wrote read "
    "saw found left made kept lost under over near behind with without and but slowly often never again today"
).split()


def texts(count: int, shortest: int = 3, longest: int = 10) -> Iterator[str]:
    """Short texts of random words, the same in each run."""
    rng = random.Random(0)
    for _ in range(count):
        yield " ".join(rng.choices(WORDS, k=rng.randint(shortest, longest)))


def tiny() -> hs.Explainer:
    """A classifier that takes no time."""
    torch.manual_seed(0)
    _, tokenizer = hs.load_demo()
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    config = BertConfig(vocab_size=len(tokenizer), **sizes)
    return hs.Explainer(BertForSequenceClassification(config).eval(), tokenizer, progress=False)


def bundled() -> hs.Explainer:
    """The bundled masked language model."""
    return hs.Explainer(*hs.load_demo(), progress=False)


def milliseconds(call: Callable[[], object], count: int) -> float:
    """CPU milliseconds a text."""
    start = time.process_time()
    call()
    return 1000 * (time.process_time() - start) / count


def cost(count: int) -> None:
    """A list, a stream and a folder in turn; medians."""
    for name, explainer, number in (("tiny", tiny(), count), ("bundled", bundled(), max(count // 12, 1))):
        rounds = [round_of(explainer, list(texts(number))) for _ in range(6)][1:]  # the first one warms up
        listed, stream, folder = (statistics.median(taken) for taken in zip(*rounds, strict=True))
        writing = statistics.median(written - streamed for _, streamed, written in rounds)
        print(
            f"{name}, ms a text: list {listed:.3f}, stream {stream:.3f}, folder {folder:.3f}",
            f"  stream over list {statistics.median(s / t for t, s, _ in rounds):.3f}",
            f"  writing {writing:.3f} ms a text, {100 * writing / folder:.1f} % of the time",
            sep="\n",
        )


def round_of(explainer: hs.Explainer, listed: list[str]) -> tuple[float, float, float]:
    """CPU milliseconds a text: of a call with a list, of a stream, and into a folder."""
    count = len(listed)
    with tempfile.TemporaryDirectory() as folder:
        return (
            milliseconds(lambda: explainer(listed), count),
            milliseconds(lambda: sum(1 for _ in explainer.stream(listed)), count),
            milliseconds(lambda: hs.write_corpus(explainer, listed, Path(folder) / "corpus"), count),
        )


def once(count: int) -> None:
    """One corpus, with the largest memory after each twentieth."""
    explainer, sizes = tiny(), []
    start, cpu = time.perf_counter(), time.process_time()

    def watched() -> Iterator[str]:
        for number, text in enumerate(texts(count)):
            if number and number % max(count // 20, 1) == 0:
                sizes.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
                print(f"{number} texts, {time.perf_counter() - start:.0f} s, {sizes[-1]:.0f} MiB", flush=True)
            yield text

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "corpus"
        corpus = hs.write_corpus(explainer, watched(), folder)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        files = [path.stat().st_size for path in folder.iterdir()]
        print(
            f"{len(corpus)} maps in {seconds:.0f} s: {count / seconds:.0f} texts a second, "
            f"{1000 * cpu / count:.2f} ms of a processor a text",
            f"{len(files)} files, {sum(files) / 2**20:.0f} MiB, {sum(files) / count:.0f} bytes a text",
            sep="\n",
        )
        print(f"largest memory {sizes[0]:.0f} MiB after a twentieth, {sizes[-1]:.0f} MiB near the end")


def independent(count: int, window: int, folder: Path) -> float:
    """Texts a second of two processes, each of which writes half of the texts into a folder of its own."""
    command = [sys.executable, __file__, "half", "--texts", str(count // 2), "--window", str(window)]
    places = [folder / "left", folder / "right"]
    processes = [subprocess.Popen([*command, "--output", str(place)]) for place in places]
    if any(process.wait() for process in processes):
        raise SystemExit("a process failed")
    return sum(rate(place, window, workers=1) for place in places)


def half(count: int, window: int, folder: Path) -> None:
    """What each of the two processes does."""
    hs.write_corpus(bundled(), texts(count), folder, window=window, shard_texts=window)


def rate(folder: Path, window: int, *, workers: int) -> float:
    """Texts a second between files, of which each holds a window: without the start of processes and models."""
    moments = sorted(path.stat().st_mtime for path in folder.glob("maps-*.parquet"))[workers - 1 :]
    return window * (len(moments) - 1) / (moments[-1] - moments[0])


def workers(count: int, window: int) -> None:
    """One worker, two independent processes and two workers in turn."""
    explainer = bundled()
    rates: dict[str, list[float]] = {"one process": [], "two processes": [], "two workers": []}
    for _ in range(3):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            half(count // 2, window, folder / "alone")
            rates["one process"].append(rate(folder / "alone", window, workers=1))
            rates["two processes"].append(independent(count, window, folder))
            start, cpu = time.perf_counter(), time.process_time()
            hs.write_corpus(
                explainer,
                texts(count),
                folder / "ray",
                window=window,
                shard_texts=window,
                engine="ray",
                workers=2,
            )
            whole, own = time.perf_counter() - start, time.process_time() - cpu
            rates["two workers"].append(rate(folder / "ray", window, workers=2))
        shown = ", ".join(f"{name} {taken[-1]:.1f}" for name, taken in rates.items())
        print(f"texts a second: {shown}; with Ray's start {count / whole:.1f}")
        print(f"  the process that writes takes {1000 * own / count:.2f} ms a text", flush=True)
    medians = {name: statistics.median(taken) for name, taken in rates.items()}
    print(f"two workers over two processes: {medians['two workers'] / medians['two processes']:.3f}")


def main() -> None:
    """Run a part of the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=["cost", "once", "workers", "half"], help="half: of workers")
    parser.add_argument("--texts", type=int)
    parser.add_argument("--window", type=int, default=16)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    if options.part == "cost":
        cost(options.texts or 1500)
    elif options.part == "once":
        once(options.texts or 1_000_000)
    elif options.part == "workers":
        workers(options.texts or 960, options.window)
    else:
        half(options.texts, options.window, options.output)


if __name__ == "__main__":
    main()
