"""How far do coarse and sampled methods miss what they add up to, and what does noise do to a smoothed map?

Prints two tables, on eight sentences with one word masked and the bundled model: the convergence deltas of
discretized integrated gradients and gradient SHAP; and for each level of noise how alike SmoothGrad,
SmoothGrad-squared and VarGrad are to plain saliency, and to themselves with another seed.

    python benchmarks/sampling.py [--threads 1]
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings

import numpy as np
import torch
from scipy.stats import spearmanr  # type: ignore[import-untyped]

import hf_saliency as hs

SENTENCES = {
    "She drank hot tea.": "tea",
    "The cat sat on the mat.": "mat",
    "Paris is the capital of France.": "capital",
    "He plays the piano every evening.": "piano",
    "the formal study of grammar is an important part of education": "grammar",
    "The old bridge fell into the river.": "river",
    "Our train was late because of snow.": "snow",
    "They planted two trees behind the house.": "trees",
}


def maps(explainer: hs.Explainer, method: hs.Method) -> list[hs.SaliencyMap]:
    """A map of each sentence."""
    return [explainer(text, target=hs.MaskedToken(word), method=method) for text, word in SENTENCES.items()]


def deltas(explainer: hs.Explainer) -> None:
    """The first table: the convergence delta as a part of the difference of scores."""
    methods = {
        "discretized_integrated_gradients()": hs.discretized_integrated_gradients(),
        **{
            f"discretized_integrated_gradients(factor={factor})": hs.discretized_integrated_gradients(
                factor=factor
            )
            for factor in (0, 2, 3, 4)
        },
        "gradient_shap()": hs.gradient_shap(),
        "gradient_shap(200)": hs.gradient_shap(200),
    }
    print("| method | median | largest | seconds a target |")
    print("|---|---:|---:|---:|")
    for name, method in methods.items():
        start = time.perf_counter()
        parts = []
        for heat in maps(explainer, method):
            assert heat.convergence_delta is not None
            delta = heat.convergence_delta[0]
            parts.append(abs(delta / (heat.scores[0].sum() - delta)))
        seconds = (time.perf_counter() - start) / len(SENTENCES)
        print(f"| `{name}` | {statistics.median(parts):.2g} | {max(parts):.2g} | {seconds:.2f} |", flush=True)


def noise(explainer: hs.Explainer) -> None:
    """The second table: median rank correlations."""
    plain = maps(explainer, hs.saliency())

    def alike(first: list[hs.SaliencyMap], second: list[hs.SaliencyMap]) -> float:
        pairs = zip(first, second, strict=True)
        return float(np.median([spearmanr(a.scores[0], b.scores[0]).statistic for a, b in pairs]))

    print("\n| method | noise_level | with plain saliency | with another seed |")
    print("|---|---:|---:|---:|")
    for make in (hs.smooth_grad, hs.smooth_grad_squared, hs.var_grad):
        for level in (0.1, 0.2, 0.5, 1.0):
            first, second = (maps(explainer, make(noise_level=level, seed=seed)) for seed in (0, 1))
            print(
                f"| `{make.__name__}` | {level} | {alike(first, plain):.2f} | {alike(first, second):.2f} |",
                flush=True,
            )


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    warnings.filterwarnings("ignore", message=".*do not add up", category=RuntimeWarning)
    explainer = hs.Explainer(*hs.load_demo(), progress=False)
    deltas(explainer)
    noise(explainer)


if __name__ == "__main__":
    main()
