"""How fast are integrated gradients, compared with Captum by hand and with steps as needed?

Prints two tables. The first takes 50 steps for one masked target of a text of 64 tokens, with BERT-base geometry and
random weights. It compares Captum's LayerIntegratedGradients over ids, with several sizes of ``internal_batch_size``,
and this package, which return the same numbers. The second is a sweep of the article's sentence by the bundled model,
with 50 fixed steps and with a tolerance.

    python benchmarks/integrated_gradients.py
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from captum.attr import LayerIntegratedGradients
from masked_sweep import MEBIBYTE, Case, case_of, measure
from transformers import BertConfig, BertForMaskedLM

import hf_saliency as hs

STEPS = 50
SENTENCE = (
    "context the formal study of grammar is an important part of education from a young age through advanced "
    "learning though the rules taught in schools are not a grammar in the sense most linguists use"
)


def captum(case: Case, positions: list[int], internal_batch_size: int) -> np.ndarray:
    """Captum on the model's own embedding; the baseline has the mask token everywhere but at the two special tokens."""
    ids = case.masked(positions)
    baselines = torch.full_like(ids, case.tokenizer.mask_token_id)
    baselines[:, [0, -1]] = ids[:, [0, -1]]
    embedding = case.model.get_input_embeddings()
    method = LayerIntegratedGradients(lambda ids: case.model(ids).logits, embedding)
    values = method.attribute(
        ids,
        baselines,
        target=[(position, case.ids[position]) for position in positions],
        n_steps=STEPS,
        internal_batch_size=internal_batch_size,
    )
    return values.sum(dim=-1).detach().numpy()


def ours(case: Case, positions: list[int]) -> np.ndarray:
    """This package, which also finds the top-3 predictions and the convergence delta."""
    explainer = hs.Explainer(case.model, case.tokenizer, progress=False)
    target = hs.MaskedToken(positions)
    return explainer(case.text, target=target, method=hs.integrated_gradients(STEPS)).scores


def one_target(threads: int, tokens: int) -> None:
    """Print the first table."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    _, tokenizer = hs.load_demo()
    case = case_of(tokens, BertForMaskedLM(BertConfig()).eval(), tokenizer)
    positions = case.some[3:4]
    ways: dict[str, Callable[[Case, list[int]], np.ndarray]] = {
        f"Captum, internal_batch_size={size}": (lambda c, p, size=size: captum(c, p, size))
        for size in (1, 4, 8, 16, 25, 50)
    }
    ways["hf_saliency"] = ours
    found = {name: [measure(way, case, positions) for _ in range(2)] for name, way in ways.items()}
    best = min(found["hf_saliency"], key=lambda one: one.seconds)
    print(f"\n{STEPS} steps, {tokens} tokens, one target, {threads} thread{'s' * (threads > 1)}\n")
    print("| way | seconds | times hf_saliency | peak memory, MiB |")
    print("|---|---|---|---|")
    for name, timings in found.items():
        fast = min(timings, key=lambda one: one.seconds)
        memory = max(one.memory for one in timings) / MEBIBYTE
        print(f"| {name} | {fast.seconds:.2f} | {fast.seconds / best.seconds:.2f} | {memory:.0f} |")
    agree = max(float(np.abs(one[0].rows - best.rows).max()) for one in found.values())
    print(
        f"\nlargest difference, relative to the largest score: {agree / np.abs(best.rows).max():.1e}",
        flush=True,
    )


def as_needed(threads: int) -> None:
    """Print the second table."""
    torch.set_num_threads(threads)
    explainer = hs.Explainer(*hs.load_demo(), progress=False)
    exact = explainer(SENTENCE, method=hs.integrated_gradients(300)).scores
    scale = np.abs(exact).max(axis=1)
    methods = {
        f"{STEPS} steps": hs.integrated_gradients(STEPS),
        "tolerance=1e-2": hs.integrated_gradients(tolerance=1e-2),
        "tolerance=1e-3": hs.integrated_gradients(tolerance=1e-3),
        "tolerance=1e-4": hs.integrated_gradients(tolerance=1e-4),
    }
    explainer(SENTENCE, target=hs.MaskedToken("grammar"), method=methods["tolerance=1e-2"])
    print(f"\nsweep of {len(exact)} targets, bundled model, {threads} thread{'s' * (threads > 1)}\n")
    print(
        "| integrated gradients | seconds | times faster | largest error of a token, of its row's largest |"
    )
    print("|---|---|---|---|")
    first = None
    for name, method in methods.items():
        seconds = []
        for _ in range(2):
            start = time.perf_counter()
            heat = explainer(SENTENCE, method=method)
            seconds.append(time.perf_counter() - start)
        first = first or min(seconds)
        error = (np.abs(heat.scores - exact).max(axis=1) / scale).max()
        print(f"| {name} | {min(seconds):.2f} | {first / min(seconds):.2f} | {error:.1e} |", flush=True)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args()
    for threads in arguments.threads:
        one_target(threads, arguments.tokens)
        as_needed(threads)


if __name__ == "__main__":
    main()
