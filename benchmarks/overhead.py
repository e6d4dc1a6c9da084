"""How much does a call cost besides the model? Gradients of a tiny classifier, compared with Captum and a tokenizer.

A model of 2 layers and width 64 takes so little time that the ratio shows Python's work. Both ways explain the label
that the model predicts for the same text, in turn. Prints the median of the CPU seconds.

    python benchmarks/overhead.py [--runs 200]
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import captum.attr
import torch
from transformers import BertConfig, BertForSequenceClassification

import hf_saliency as hs

TEXT = "the formal study of grammar is an important part of education"


def seconds(call: Callable[[], Any]) -> float:
    """CPU seconds of one call."""
    start = time.process_time()
    call()
    return time.process_time() - start


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=200)
    runs = parser.parse_args().runs
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    _, tokenizer = hs.load_demo()
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=128,
    )
    model = BertForSequenceClassification(config).eval()
    explainer = hs.Explainer(model, tokenizer, progress=False)
    embedding, texts = model.get_input_embeddings(), [TEXT] * 64

    def captum_alone(predicted: bool) -> Any:
        batch = tokenizer(TEXT, return_tensors="pt")
        embeds = embedding(batch["input_ids"]).detach().requires_grad_()

        def logits(embeds: torch.Tensor) -> torch.Tensor:
            values: torch.Tensor = model(inputs_embeds=embeds, attention_mask=batch["attention_mask"]).logits
            return values

        label = 1
        if predicted:
            with torch.no_grad():
                label = int(logits(embeds).argmax())
        return captum.attr.Saliency(logits).attribute(embeds, target=label).norm(dim=-1)

    calls: dict[str, tuple[int, Callable[[], Any]]] = {
        "Captum's saliency, a label given": (1, lambda: captum_alone(False)),
        "Captum's saliency, the label predicted": (1, lambda: captum_alone(True)),
        "this package": (1, lambda: explainer(TEXT, method="saliency")),
        "this package, a list of 64": (64, lambda: explainer(texts, method="saliency")),
        "this package, a stream of 64": (64, lambda: list(explainer.stream(texts, method="saliency"))),
    }
    times: dict[str, list[float]] = {name: [] for name in calls}
    for run in range(runs + 3):
        for name, (count, call) in calls.items():
            if count > 1 and run % 8:
                continue
            taken = seconds(call) / count
            if run >= 3:
                times[name].append(taken)
    base = statistics.median(times["Captum's saliency, a label given"])
    for name, taken in times.items():
        median = statistics.median(taken)
        print(f"{name:40} {1000 * median:7.3f} ms a text, {median / base:5.2f} of Captum's")


if __name__ == "__main__":
    main()
