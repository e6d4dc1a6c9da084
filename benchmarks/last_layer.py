"""Time saved by running the last layer only at the tokens that are read: sweeps with and without this, in turn.

The models have the geometry of BERT-base and of a Llama of 6 layers and width 768, and random weights. Prints CPU
seconds of one thread.

    python benchmarks/last_layer.py [--runs 5]
"""

from __future__ import annotations

import argparse
import statistics
import time
from unittest import mock

import numpy as np
import torch
from transformers import BertConfig, BertForMaskedLM, LlamaConfig, LlamaForCausalLM

import hf_saliency as hs
from hf_saliency.score import last_layer


def sweep(explainer: hs.Explainer, text: str, target: hs.Target, least: float) -> tuple[float, np.ndarray]:
    """CPU seconds and scores of a sweep; work below ``least`` runs the whole last layer."""
    with mock.patch.object(last_layer, "WORK", least):
        start = time.process_time()
        scores = explainer(text, target=target).scores
    return time.process_time() - start, scores


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    torch.set_num_threads(1)
    torch.manual_seed(0)
    _, tokenizer = hs.load_demo()
    size = {"vocab_size": 30522, "hidden_size": 768}
    bert = BertForMaskedLM(BertConfig(**size))
    llama = LlamaForCausalLM(
        LlamaConfig(**size, num_hidden_layers=6, num_attention_heads=12, intermediate_size=2048)
    )
    words = "the formal study of grammar is an important part of education".split()
    works = [
        ("masked, 38 tokens, 36 targets", bert, 36, hs.MaskedToken()),
        ("masked, 128 tokens, 16 targets", bert, 126, hs.MaskedToken(list(range(40, 56)))),
        ("causal, 64 tokens", llama, 62, hs.NextToken()),
    ]
    for name, model, length, target in works:
        explainer = hs.Explainer(model, tokenizer, progress=False, fast_products=False)
        text = " ".join(words[i % len(words)] for i in range(length))
        sweep(explainer, text, target, 0)  # the first sweep tests the layer
        pairs = [
            (sweep(explainer, text, target, 0), sweep(explainer, text, target, np.inf)) for _ in range(runs)
        ]
        ratio = statistics.median(part / whole for (part, _), (whole, _) in pairs)
        (seconds, part), (_, whole) = pairs[-1]
        difference = np.abs(part - whole).max() / np.abs(whole).max()
        print(
            f"{name:34} {seconds:6.2f} s, {ratio:.3f} of the time without, scores differ by {difference:.0e}"
        )


if __name__ == "__main__":
    main()
