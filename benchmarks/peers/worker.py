"""One peer's process: reads "WORK TAB WAY TAB FILE" from its input, runs the way, and writes an .npz file.

python worker.py by_captum MODELS
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import sys
import time
import traceback
import warnings
from pathlib import Path

import numpy as np
import torch
from works import case


def main() -> None:
    """Print the ways of this peer as JSON, then answer each line with "ok" or one line of the error."""
    answers, sys.stdout = sys.stdout, sys.stderr  # a peer's own output must not mix with the answers
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    try:
        ways = importlib.import_module(sys.argv[1]).WAYS
    except Exception as error:  # a peer may fail in any way; the table then lists it as failed
        return print(_line(error), file=answers, flush=True)
    offer = {
        work: {label: [way.definition, way.error] for label, way in named.items()}
        for work, named in ways.items()
    }
    print(json.dumps(offer), file=answers, flush=True)
    warm: set[tuple[str, str]] = set()
    for line in sys.stdin:
        work, way, path = line.rstrip("\n").split("\t")
        try:
            run(ways[work][way].run, work, Path(sys.argv[2]), Path(path), warm=(work, way) in warm)
        except Exception as error:  # as above; the other ways still run
            traceback.print_exc()
            print(_line(error), file=answers, flush=True)
        else:
            warm.add((work, way))
            print("ok", file=answers, flush=True)
    return None


def run(way, work: str, models: Path, path: Path, warm: bool) -> None:  # type: ignore[no-untyped-def]
    """Run a way and write its scores, CPU seconds and memory; the first time, after a smaller warm-up run."""
    loaded = case(work, models)
    if not warm:
        way(loaded, True)
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    before = _peak_since_now()
    start = time.process_time()
    for _ in range(loaded.work.calls):
        rows = way(loaded, False)
    seconds = (time.process_time() - start) / loaded.work.calls
    longest = max(len(row) for row in rows)
    scores = np.full((len(rows), longest), np.nan)
    for place, row in enumerate(rows):
        scores[place, : len(row)] = np.asarray(row)
    np.savez(path, scores=scores, seconds=seconds, memory=_memory("VmHWM") - before)


def _peak_since_now() -> float:
    """Reset the system's record of the process's peak memory; return the memory it has now, in bytes."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _memory("VmRSS")


def _memory(name: str) -> float:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return float("nan")
    return next(float(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"


if __name__ == "__main__":
    main()
