"""How much do streams, folders and Ray's workers cost in addition to the explanations themselves?

    python benchmarks/corpus.py cost [--texts 1500]      a stream over a list, a folder over a stream; CPU seconds
    python benchmarks/corpus.py once [--texts 1000000]   one corpus of short texts: rate, memory, size of the folder
    python benchmarks/corpus.py workers [--texts 960]    two workers of Ray over two separate processes

Each process takes one thread. The tiny model is a classifier of 2 layers and width 16, which spends most of its time in
Python. With the other model, the bundled one, every word is masked in turn. The script needs the extras `corpus` and
`cluster`.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import torch
from transformers import BertConfig, BertForSequenceClassification

import hf_saliency as hs

WORDS = (
    "the a she he they we old young small red river dog cat teacher letter song winter road house garden wrote read "
    "saw found left made kept lost under over near behind with without and but slowly often never again today"
).split()


WINDOW = 16  # texts that share batches in the comparison of workers; small, so that each worker has several windows


def texts(count: int, shortest: int = 3, longest: int = 10) -> Iterator[str]:
    """Short texts of random words, the same in each run."""
    rng = random.Random(0)
    for _ in range(count):
        yield " ".join(rng.choices(WORDS, k=rng.randint(shortest, longest)))


def tiny() -> hs.Explainer:
    """A classifier that takes almost no time."""
    torch.manual_seed(0)
    _, tokenizer = hs.load_demo()
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    config = BertConfig(vocab_size=len(tokenizer), **sizes)
    return hs.Explainer(BertForSequenceClassification(config).eval(), tokenizer, progress=False)


def bundled() -> hs.Explainer:
    """The bundled masked language model."""
    return hs.Explainer(*hs.load_demo(), progress=False)


def milliseconds(call: Callable[[], object], count: int) -> float:
    """CPU milliseconds per text."""
    start = time.process_time()
    call()
    return 1000 * (time.process_time() - start) / count


def cost(count: int) -> None:
    """Time a list, a stream and a folder in turn; print medians."""
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
    """CPU milliseconds per text of a call with a list, of a stream, and of writing a folder."""
    count = len(listed)
    with tempfile.TemporaryDirectory() as folder:
        return (
            milliseconds(lambda: explainer(listed), count),
            milliseconds(lambda: sum(1 for _ in explainer.stream(listed)), count),
            milliseconds(lambda: hs.write_corpus(explainer, listed, Path(folder) / "corpus"), count),
        )


def once(count: int) -> None:
    """Write one corpus; print the peak memory after each twentieth of the texts."""
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


def processes(number: int, count: int, folder: Path) -> None:
    """Run ``number`` processes that each write their part of the texts into a separate folder."""
    command = [sys.executable, __file__, "part", "--texts", str(count // number), "--output"]
    started = [subprocess.Popen([*command, str(folder / str(i))]) for i in range(number)]
    if any(process.wait() for process in started):
        raise SystemExit("a process failed")


def part(count: int, folder: Path) -> None:
    """Write one process's part of the texts."""
    hs.write_corpus(bundled(), texts(count), folder, window=WINDOW, shard_texts=WINDOW)


class Meter(threading.Thread):
    """Processor seconds of all processes that this one starts, including those that have ended."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seconds: dict[int, float] = {}
        self.ended = threading.Event()

    def run(self) -> None:
        """Read the processes' times twice a second."""
        while not self.ended.wait(0.5):
            for child in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    times = child.cpu_times()
                    self.seconds[child.pid] = times.user + times.system

    def total(self, run: Callable[[], object]) -> float:
        """Processor seconds of a call, those of this process included."""
        self.start()
        start = time.process_time()
        run()
        own = time.process_time() - start
        self.ended.set()
        self.join()
        return own + sum(self.seconds.values())


def workers(count: int, rounds: int) -> None:
    """Time two workers and two processes in turn, with few texts and with many; the difference excludes start-up."""
    explainer = bundled()

    def on_ray(count: int, folder: Path) -> None:
        options = {"window": WINDOW, "shard_texts": WINDOW, "engine": "ray", "workers": 2}
        hs.write_corpus(explainer, texts(count), folder / "ray", **options)

    ways: dict[str, Callable[[int, Path], None]] = {
        "one process": lambda count, folder: processes(1, count, folder),
        "two processes": lambda count, folder: processes(2, count, folder),
        "two workers": on_ray,
    }
    few = count // 4
    clock: dict[tuple[str, int], float] = {}
    cpu: dict[tuple[str, int], float] = {}
    for _ in range(rounds):  # other work on the machine only makes a run longer, so the shortest one counts
        for number in (few, count):
            for way, run in ways.items():
                start = time.perf_counter()
                with tempfile.TemporaryDirectory() as folder:
                    used = Meter().total(functools.partial(run, number, Path(folder)))
                taken = time.perf_counter() - start
                clock[way, number] = min(taken, clock.get((way, number), taken))
                cpu[way, number] = min(used, cpu.get((way, number), used))
                print(f"{way}, {number} texts: {taken:.1f} s, {used:.1f} CPU seconds", flush=True)
    more = count - few
    for way in ways:
        rate = more / (clock[way, count] - clock[way, few])
        used = 1000 * (cpu[way, count] - cpu[way, few]) / more
        print(f"{way}: {rate:.2f} texts a second, {used:.1f} CPU ms per text", end="; ")
        print(f"the first {few} texts took {clock[way, few]:.0f} s, {cpu[way, few]:.0f} CPU seconds")


def main() -> None:
    """Run a part of the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "part",
        choices=["cost", "once", "workers", "part"],
        help="the benchmark; workers runs part in its processes",
    )
    parser.add_argument("--texts", type=int)
    parser.add_argument("--rounds", type=int, default=2, help="repetitions of workers")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["HF_SALIENCY_FAST_PRODUCTS"] = "0"  # a calibration may end differently in each process
    torch.set_num_threads(1)
    if options.part == "cost":
        cost(options.texts or 1500)
    elif options.part == "once":
        once(options.texts or 1_000_000)
    elif options.part == "workers":
        workers(options.texts or 960, options.rounds)
    else:
        part(options.texts, options.output)


if __name__ == "__main__":
    main()
