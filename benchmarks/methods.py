"""How much does each method cost, for one target of one sentence?

Explains the word "grammar" of a sentence of 39 tokens by every method with its default arguments and the bundled model.
Prints a table of the largest number of passes that each method takes, and of CPU seconds, the best of some runs. A pass
is one row of the model's batch.

    python benchmarks/methods.py [--write docs/methods.md]
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

import hf_saliency as hs
from hf_saliency.attribution.registry import METHODS

SENTENCE = (
    "context the formal study of grammar is an important part of education from a young age through advanced "
    "learning though the rules taught in schools are not a grammar in the sense most linguists use"
)
FREE = 36  # tokens of the sentence that may change
# The table is between these two lines of a page.
BEGIN, END = "<!-- table of methods: begin -->", "<!-- table of methods: end -->"


@contextmanager
def counted(module: torch.nn.Module) -> Iterator[dict[str, int]]:
    """Count the rows that go forward and backward through a module."""
    rows = {"forward": 0, "backward": 0}

    def backward(gradient: torch.Tensor) -> None:
        rows["backward"] += len(gradient)

    def forward(module: Any, arguments: Any, output: torch.Tensor) -> None:
        rows["forward"] += len(output)
        if output.requires_grad:
            output.register_hook(backward)

    handle = module.register_forward_hook(forward)
    try:
        yield rows
    finally:
        handle.remove()


def table(runs: int) -> str:
    """A Markdown table with a row per method."""
    model, tokenizer = hs.load_demo()
    explainer = hs.Explainer(model, tokenizer, progress=False)
    target = hs.MaskedToken(slice(SENTENCE.index("grammar"), SENTENCE.index("grammar") + len("grammar")))
    lines = [
        "| method | sign | unit | forward | backward | CPU seconds | published in |",
        "|---|---|---|---:|---:|---:|---|",
    ]
    for name, make in METHODS.items():
        method, seconds = make(), []
        for _ in range(runs):
            start = time.process_time()
            with counted(model.cls) as rows:
                explainer(SENTENCE, target=target, method=method)
            seconds.append(time.process_time() - start)
        # An upper limit: sampling methods evaluate each subset of a short text only once.
        forward, backward = method.passes(FREE) if method.passes else (rows["forward"], rows["backward"])
        sign = "signed" if method.signed else "unsigned"
        lines.append(
            f"| `{name}` | {sign} | {method.unit} | {forward:,} | {backward:,} | {min(seconds):.3f} | "
            f"{method.citation or '-'} |"
        )
        print(lines[-1], flush=True)
    return "\n".join(lines)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--write", type=Path, help="a page whose table is replaced")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    warnings.filterwarnings("ignore", message=".*do not add up", category=RuntimeWarning)
    found = table(arguments.runs)
    if arguments.write:
        page = arguments.write.read_text("utf-8")
        before, rest = page.split(BEGIN)
        after = rest.split(END)[1]
        arguments.write.write_text(f"{before}{BEGIN}\n\n{found}\n\n{END}{after}", "utf-8")


if __name__ == "__main__":
    main()
