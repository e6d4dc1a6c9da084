"""How fast are other packages, Captum by hand and this package on the same work, and do their numbers agree?

Makes an environment for each peer (under build/peers) and starts one process in each. The processes do the same work in
turn, on one thread; the median of the CPU seconds counts. All load the same weights and save scores as .npz files.

    python benchmarks/peers/compare.py                          # all of it
    python benchmarks/peers/compare.py --quick                  # each way once
    python benchmarks/peers/compare.py --only masked-38 tiny
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from environments import BUILD, ROOT, python_of
from models import make_models
from results import Result, compare, table
from works import OURS, REFERENCE, WORKS, case as load

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent))  # for the other benchmarks
SETTINGS = {
    f"{OURS}, oneDNN": "1",
    f"{OURS}, no oneDNN": "0",
}  # values of HF_SALIENCY_FAST_PRODUCTS; the plain name lets the calibration choose
PEERS = {  # the module of this folder that runs each peer
    "captum": "by_captum",
    OURS: "by_hf_saliency",
    **dict.fromkeys(SETTINGS, "by_hf_saliency"),
    "inseq": "by_inseq",
    "interpreto": "by_interpreto",
    "transformers-interpret": "by_transformers_interpret",
    "ferret": "by_ferret",
}
HOME = {"captum", OURS, *SETTINGS}  # peers that run in this package's own environment
LONG = 5.0  # CPU seconds; a way that takes longer runs at most twice
SWEEPS = ("masked", "causal")  # works that also run with each setting


class Peer:
    """A peer's process and its ways: by work and name, the definition and the allowed error."""

    def __init__(self, name: str, python: Path, models: Path) -> None:
        self.name, self.failure = name, ""
        self.offer: dict[str, dict[str, tuple[str, float]]] = {}
        paths = [str(HERE.parent), str(ROOT), os.environ.get("PYTHONPATH", "")] if name in HOME else []
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(paths),
            "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            "HF_SALIENCY_FAST_PRODUCTS": SETTINGS.get(name, ""),
            "TOKENIZERS_PARALLELISM": "false",
        }
        log = (BUILD / f"{name.replace(', ', '-')}.log").open("w", encoding="utf-8")
        self.process = subprocess.Popen(
            [str(python), str(HERE / "worker.py"), PEERS[name], str(models)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment,
        )
        answer = self._answer()
        if answer.startswith("{"):
            self.offer = json.loads(answer)
        else:
            self.failure = answer

    def _answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip() or f"the process ended with {self.process.wait()}"

    def run(self, work: str, way: str, path: Path) -> str:
        """Run a way once; returns "ok" or the error."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(f"{work}\t{way}\t{path}\n")
            self.process.stdin.flush()
        except OSError as error:
            return f"the process ended: {error}"
        return self._answer()

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def start(names: list[str], models: Path) -> tuple[list[Peer], dict[str, str]]:
    """Start a process for each peer; return the processes, and the reason for each peer without one."""
    peers, missing = [], {}
    for name in names:
        try:
            python = Path(sys.executable) if name in HOME else python_of(name)
        except (OSError, RuntimeError) as error:
            missing[name] = f"not installed: {error}"
            continue
        peer = Peer(name, python, models)
        if peer.failure:
            missing[name] = f"not imported: {peer.failure}"
            peer.close()
        else:
            peers.append(peer)
    return peers, missing


def measure(work: str, peers: list[Peer], repeats: int, folder: Path) -> tuple[list[Result], list[str]]:
    """Run all ways of a work in turn, ``repeats`` times; return the results, and a line for each that disagrees."""
    results: list[tuple[Peer, str, Result]] = []
    references: dict[str, np.ndarray] = {}
    path = folder / "scores.npz"
    for peer in peers:
        if peer.name in SETTINGS and not work.startswith(SWEEPS):
            continue
        for way, (definition, allowed) in peer.offer.get(work, {}).items():
            if not way.startswith(REFERENCE):
                name = way.replace(OURS, peer.name) if peer.name in SETTINGS else way
                results.append((peer, way, Result(name, definition, allowed)))
            elif peer.name == OURS and peer.run(work, way, path) == "ok":
                references[definition] = np.load(path)["scores"]
    for _ in range(repeats):
        for peer, way, result in results:
            if result.failure or (len(result.seconds) > 1 and result.longest > LONG):
                continue
            print(f"{work}: {result.way}", file=sys.stderr, flush=True)
            answer = peer.run(work, way, path)
            if answer == "ok":
                with np.load(path) as numbers:
                    result.add(numbers["scores"], float(numbers["seconds"]), float(numbers["memory"]))
            else:
                result.failure = answer
    for _, _, result in results:
        if result.way == OURS and result.scores is not None:
            references.setdefault(result.definition, result.scores)
    every = [result for _, _, result in results]
    return every, compare(every, references)


def rates(models: Path) -> dict[str, float]:
    """Floating-point operations per CPU second of each path of float32 products, with BERT-base's weights."""
    from masked_sweep import product_rates

    return product_rates(load("masked-38", models).model, rows=512, most=12, clock=time.process_time)


def limits(models: Path, measured: dict[str, list[Result]], fast: dict[str, float]) -> str:
    """A table of masked sweeps: the time of the products alone, by either path, as a fraction of each way's time."""
    from masked_sweep import matrix_work

    model = load("masked-38", models).model
    lines = ["### Limits", "", *(f"- {name}: {rate / 1e9:.1f} GFLOP/s" for name, rate in fast.items()), ""]
    lines += [
        "| work | way | of the default rate's limit | of the best rate's limit |",
        "|---|---|---:|---:|",
    ]
    for work, results in measured.items():
        for result in results:
            if work.startswith("masked") and result.seconds:
                best = matrix_work(model, int(work.split("-")[1])) / result.cost
                default, most = best / fast["default"], best / max(fast.values())
                lines.append(f"| {WORKS[work].title} | {result.way} | {default:.2f} | {most:.2f} |")
    return "\n".join(lines)


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=WORKS, default=list(WORKS), metavar="WORK")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS), metavar="PEER")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="run each way only once")
    options = parser.parse_args()
    from device import calibrated, processor

    torch.set_num_threads(1)
    models = BUILD / "models"
    models.mkdir(parents=True, exist_ok=True)
    make_models(models)
    peers, missing = start(options.peers, models)
    print(f"{processor()}, 1 thread, torch {torch.__version__}, {datetime.date.today()}", flush=True)
    print(calibrated(), flush=True)
    fast = rates(models) if any(work.startswith("masked") for work in options.only) else {}
    measured: dict[str, list[Result]] = defaultdict(list)
    failures: list[str] = []
    for work in options.only:
        measured[work], disagreements = measure(work, peers, 1 if options.quick else options.repeats, BUILD)
        failures += [f"{work}: {line}" for line in disagreements]
        print(f"\n{table(WORKS[work].title, WORKS[work].unit, measured[work], OURS)}", flush=True)
    for peer in peers:
        peer.close()
    for name, reason in missing.items():
        print(f"\n- {name}: {reason}")
    if fast:
        again = rates(models)
        print(f"\n{limits(models, measured, {name: max(fast[name], again[name]) for name in fast})}")
    if failures:
        sys.exit("\nnumbers that should agree do not:\n" + "\n".join(failures))


if __name__ == "__main__":
    main()
