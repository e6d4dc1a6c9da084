"""A corpus on Ray: by one call, and as a plain program for users with their own pipeline.

    python examples/ray_corpus.py [--output FOLDER] [--workers N]

It needs the extra `cluster`. RAY_ADDRESS names a running cluster; without it Ray starts on this machine. Each worker is
one process with its own model, which is loaded once.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import ray

import hf_saliency as hs

TEXTS = [
    "She drank hot tea.",
    "He wrote a letter.",
    "The dog ran to the river.",
    "Paris is the capital of France.",
]


class Explaining:
    """A worker of another pipeline: it takes a batch of texts and returns their strongest words."""

    def __init__(self) -> None:
        self.explainer = hs.Explainer(*hs.load_demo(), progress=False)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        maps = self.explainer([str(text) for text in batch["text"]])
        words = [heat.drop_special().words() for heat in maps]
        strongest = [heat.labels[heat.scores.sum(axis=0).argmax()] for heat in words]
        return {"text": batch["text"], "strongest": strongest}


def main(folder: Path, workers: int) -> None:
    """Run both ways."""
    if "RAY_ADDRESS" in os.environ:
        ray.init()
    else:  # a processor for each worker, and one for reading
        ray.init(num_cpus=workers + 1, include_dashboard=False)
    corpus = hs.write_corpus(hs.Explainer(*hs.load_demo()), TEXTS, folder, engine="ray", workers=workers)
    print(corpus)

    rows = ray.data.from_items([{"text": text} for text in TEXTS])
    results = rows.map_batches(Explaining, batch_size=2, compute=ray.data.ActorPoolStrategy(size=workers))
    for row in results.take_all():
        print(f"{row['text']:40} {row['strongest']}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("ray-corpus-output"))
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    main(options.output, options.workers)
