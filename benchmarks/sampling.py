"""How far are coarse and sampled methods from the sum they should reach, and how does noise change a smoothed map?

Prints two tables, for sentences with one masked word by the bundled model and for reviews by a classifier that the
script trains first. The first has the convergence deltas of discretized integrated gradients and gradient SHAP. The
second shows, for each level of noise, how faithful SmoothGrad, SmoothGrad-squared and VarGrad are, and how similar to
plain saliency and to themselves with another seed.

    python benchmarks/sampling.py [deltas noise] [--texts 12] [--threads 1]
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import time
import warnings
from collections.abc import Sequence

import faithfulness
import numpy as np
import torch
from scipy.stats import spearmanr  # type: ignore[import-untyped]

import hf_saliency as hs

LEVELS = (0.2, 0.5, 1.0)


def maps(task: faithfulness.Task, method: hs.Method) -> list[hs.SaliencyMap]:
    """A map for each text."""
    return list(task.explainer(task.texts, target=task.target, method=method, top_k=0))


def deltas(name: str, task: faithfulness.Task) -> None:
    """Print rows of the first table: the convergence delta as a fraction of the difference of logits."""
    task = dataclasses.replace(task, target=dataclasses.replace(task.target, unit="logit"))
    methods = {
        'discretized_integrated_gradients(factor=0, quadrature="riemann_left")': (
            hs.discretized_integrated_gradients(factor=0, quadrature="riemann_left")
        ),
        **{
            f"discretized_integrated_gradients(factor={factor})": hs.discretized_integrated_gradients(
                factor=factor
            )
            for factor in (0, 1, 2, 3)
        },
        **{f"gradient_shap({count})": hs.gradient_shap(count) for count in (50, 100)},
        "integrated_gradients()": hs.integrated_gradients(),
    }
    for label, method in methods.items():
        start = time.process_time()
        parts = []
        for heat in maps(task, method):
            assert heat.convergence_delta is not None
            delta = heat.convergence_delta[0]
            parts.append(abs(delta / (heat.scores[0].sum() - delta)))
        seconds = (time.process_time() - start) / len(task.texts)
        numbers = f"{statistics.median(parts):.2g} | {max(parts):.2g} | {seconds:.2f}"
        print(f"| {name} | `{label}` | {numbers} |", flush=True)


def alike(first: Sequence[hs.SaliencyMap], second: Sequence[hs.SaliencyMap]) -> float:
    """Median rank correlation of two lists of maps."""
    pairs = zip(first, second, strict=True)
    return float(np.median([spearmanr(a.scores[0], b.scores[0]).statistic for a, b in pairs]))


def noise(name: str, task: faithfulness.Task) -> None:
    """Print rows of the second table."""
    plain = maps(task, hs.saliency())
    metrics = [hs.comprehensiveness(), hs.sufficiency()]
    rows = {("saliency", 0.0): plain}
    for make in (hs.smooth_grad, hs.smooth_grad_squared, hs.var_grad):
        rows |= {(make.__name__, level): maps(task, make(noise_level=level)) for level in LEVELS}
    table = hs.faithfulness(
        task.explainer,
        task.texts,
        target=task.target,
        methods={f"{label} {level}": heats for (label, level), heats in rows.items()},
        metrics=metrics,
        baseline=task.baseline,
    )
    for (label, level), heats in rows.items():
        values = table["value"][table["label"] == f"{label} {level}"]
        numbers = " | ".join(f"{value:.2f}" for value in (*values, alike(heats, plain)))
        print(f"| {name} | `{label}` | {level} | {numbers} |", flush=True)
    for label, level in (("smooth_grad", max(LEVELS)),):
        other = maps(task, hs.smooth_grad(noise_level=level, seed=1))
        print(f"{name}: {label} at {level} with another seed: {alike(rows[label, level], other):.2f}")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tables", nargs="*", metavar="TABLE", help="deltas, noise; by default both")
    parser.add_argument("--texts", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    warnings.filterwarnings("ignore", message=".*do not add up", category=RuntimeWarning)
    tasks = {name: faithfulness.TASKS[name](arguments.texts) for name in ("masked", "classification, mask")}
    if "deltas" in arguments.tables or not arguments.tables:
        print("| task | method | median | largest | CPU seconds a text |\n|---|---|---:|---:|---:|")
        for name, task in tasks.items():
            deltas(name, task)
    if "noise" in arguments.tables or not arguments.tables:
        print("\n| task | method | noise_level | comprehensiveness | sufficiency | Spearman with saliency |")
        print("|---|---|---:|---:|---:|---:|")
        for name, task in tasks.items():
            noise(name, task)


if __name__ == "__main__":
    main()
