"""How fast is a masked-LM sweep, compared with the article's notebook, Captum by hand and the processor's own limit?

One model (BERT-base geometry, random weights), one process, one run: all ways explain positions of the same
text, and must return the same numbers. Prints a Markdown table for each length and thread count.

    python benchmarks/masked_sweep.py                 # 38 and 128 tokens, one thread and two
    python benchmarks/masked_sweep.py --tokens 512    # 36 positions of the longest text (some minutes)
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import psutil
import torch
from captum.attr import LayerGradientXActivation
from torch import Tensor
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerBase

import hf_saliency as hs
from hf_saliency.score.products import Products

MEBIBYTE = 2**20
MOST = 36  # positions that the batched ways explain; further positions of a longer text cost the same


@dataclass(frozen=True)
class Case:
    """A text, its token ids, the positions that the slow ways explain, and those that the fast ways explain."""

    model: BertForMaskedLM
    tokenizer: PreTrainedTokenizerBase
    text: str
    ids: list[int]
    some: list[int]
    more: list[int]

    def masked(self, positions: list[int]) -> Tensor:
        """One row of ids for each position, masked there."""
        rows = torch.tensor([self.ids] * len(positions))
        rows[range(len(positions)), positions] = self.tokenizer.mask_token_id
        return rows


@dataclass(frozen=True)
class Timing:
    """Seconds of one way per position, and its peak memory above the memory in use before."""

    seconds: float
    memory: int
    rows: np.ndarray


def article_loop(case: Case, positions: list[int]) -> np.ndarray:
    """The loop of the article's notebook: a dense one-hot input, one position at a time, ``backward()``."""
    found = []
    table = case.model.get_input_embeddings().weight
    for position, ids in zip(positions, case.masked(positions), strict=True):
        one_hot = torch.nn.functional.one_hot(ids[None], len(table)).float().requires_grad_()
        logits = case.model(inputs_embeds=one_hot @ table).logits
        logits[0, position].topk(3)
        logits[0, position, case.ids[position]].backward()
        found.append(one_hot.grad[0].norm(dim=-1))
        case.model.zero_grad()
    return torch.stack(found).numpy()


def captum(case: Case, positions: list[int], rows_a_call: int) -> np.ndarray:
    """Captum's layer method on the embedding, with a tuple target for each row."""
    embedding = case.model.get_input_embeddings()
    method = LayerGradientXActivation(lambda ids: case.model(ids).logits, embedding, multiply_by_inputs=False)
    found = []
    for start in range(0, len(positions), rows_a_call):
        part = positions[start : start + rows_a_call]
        target = [(position, case.ids[position]) for position in part]
        gradient = method.attribute(case.masked(part), target=target)
        with torch.no_grad():
            found += [(row @ embedding.weight.T).norm(dim=-1) for row in gradient]
    return torch.stack(found).numpy()


def ours(case: Case, positions: list[int]) -> np.ndarray:
    """This package, with the top-3 predictions of every mask."""
    explainer = hs.Explainer(case.model, case.tokenizer, progress=False)
    return explainer(case.text, target=hs.MaskedToken(positions), top_k=3).scores


def measure(way: Callable[[Case, list[int]], np.ndarray], case: Case, positions: list[int]) -> Timing:
    """Time one way after a warm-up row, and watch the process's memory meanwhile."""
    way(case, positions[:1])
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    process = psutil.Process()
    before = peak = process.memory_info().rss
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.005):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    rows = way(case, positions)
    seconds = time.perf_counter() - start
    done.set()
    watcher.join()
    return Timing(seconds / len(positions), peak - before, rows)


def matrix_limit(case: Case) -> float:
    """Seconds per position if the encoder's matrix products, forward and back to the input, were all the work."""
    return matrix_work(case.model, len(case.ids)) / max(product_rates(case.model).values())


def matrix_work(model: BertForMaskedLM, tokens: int) -> int:
    """Floating-point operations of the encoder's matrix products per position, forward and back to the input."""
    config = model.config
    weights = sum(layer.weight.numel() for layer in _products(model)) // config.num_hidden_layers
    return 4 * config.num_hidden_layers * (tokens * weights + 2 * tokens * tokens * config.hidden_size)


def _products(model: BertForMaskedLM) -> list[torch.nn.Linear]:
    return [module for module in model.bert.encoder.modules() if isinstance(module, torch.nn.Linear)]


@torch.no_grad()
def product_rates(
    model: BertForMaskedLM,
    rows: int = 1024,
    most: int | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Floating-point operations per second of each path when multiplying the encoder's weights (at most ``most``)."""
    layers = _products(model)[:most]
    inputs = {size: torch.randn(rows, size) for layer in layers for size in layer.weight.shape}
    work = 4 * rows * sum(layer.weight.numel() for layer in layers)
    rates = {}
    for name, products in (("default", Products()), ("oneDNN", Products({False: 0, True: 0}))):
        times = []
        for attempt in range(4):
            start = clock()
            with products.entered():
                for layer in layers:
                    torch.nn.functional.linear(inputs[layer.in_features], layer.weight)
                    torch.mm(inputs[layer.out_features], layer.weight)
            if attempt:
                times.append(clock() - start)
        rates[name] = work / min(times)
    return rates


def case_of(tokens: int, model: BertForMaskedLM, tokenizer: PreTrainedTokenizerBase) -> Case:
    """A text of ``tokens`` tokens, special ones included, and eight positions spread over it."""
    sentence = (
        "context the formal study of grammar is an important part of education from a young age through advanced "
        "learning though the rules taught in schools are not a grammar in the sense most people use "
    )
    words = (sentence * 20).split()
    text = " ".join(words[: tokens - 2])
    ids = tokenizer(text)["input_ids"]
    assert len(ids) == tokens, "every word of the sentence is one token"
    spread = np.linspace(1, tokens - 2, 8).astype(int).tolist()
    rest = [position for position in range(1, tokens - 1) if position not in spread]
    return Case(model, tokenizer, text, ids, spread, [*spread, *rest][:MOST])


def report(case: Case, threads: int) -> None:
    """Measure every way on one text and print the table."""
    torch.set_num_threads(threads)
    ways: list[tuple[str, Callable[[Case, list[int]], np.ndarray], list[int]]] = [
        ("the article's notebook", article_loop, case.some),
        ("Captum, one row", lambda c, p: captum(c, p, 1), case.some),
        ("Captum, batched", lambda c, p: captum(c, p, 16), case.more),
        ("hf_saliency", ours, case.more),
    ]
    limit = matrix_limit(case)
    timings = {name: measure(way, case, positions) for name, way, positions in ways}
    limit = min(limit, matrix_limit(case))  # the processor's speed drifts: the best rate before and after
    best = timings["hf_saliency"]
    print(
        f"\n{len(case.ids)} tokens, {threads} thread{'s' * (threads > 1)}, limit {limit:.4f} s a position\n"
    )
    print("| way | seconds a position | times hf_saliency | of the limit | peak memory, MiB |")
    print("|---|---|---|---|---|")
    for name, timing in timings.items():
        print(
            f"| {name} | {timing.seconds:.4f} | {timing.seconds / best.seconds:.2f} | "
            f"{limit / timing.seconds:.2f} | {timing.memory / MEBIBYTE:.0f} |"
        )
    agree = max(
        float(np.abs(timings[name].rows / best.rows[: len(positions)] - 1).max())
        for name, _, positions in ways[:3]
    )
    print(f"\nlargest relative difference between the ways: {agree:.1e}", flush=True)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tokens", type=int, nargs="+", default=[38, 128])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args()
    torch.manual_seed(0)
    model = BertForMaskedLM(BertConfig()).eval()
    _, tokenizer = hs.load_demo()
    for tokens in arguments.tokens:
        case = case_of(tokens, model, tokenizer)
        for threads in arguments.threads:
            report(case, threads)


if __name__ == "__main__":
    main()
