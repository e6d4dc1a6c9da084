"""Which method ranks tokens as the model does? A table for each task, and two figures.

Every method runs with its default arguments in three tasks, in nats: the bundled masked language model on parts of
sentences of Newton's Opticks (one masked word per text), a small GPT-2 on stories (the last name), and a classifier on
reviews (the predicted label). The two small models are trained within a minute. Maps are kept in a folder, so that an
interrupted run can continue.

    python benchmarks/faithfulness.py [TASK ...] [--texts 50] [--slow] [--folder maps] [--write docs/which_method.md]
"""

from __future__ import annotations

import argparse
import re
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch

import hf_saliency as hs
from hf_saliency.attribution.registry import METHODS

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "examples"))
SLOW = ("sequential_integrated_gradients", "discretized_integrated_gradients")
LEFT_OUT = ("random_baseline",)  # every table has five seeds of random orders instead
COLUMN = 6  # column of the masked token
LAST_NAME = 17  # index of the last name among a story's tokens
BEGIN, END = "<!-- table {}: begin -->", "<!-- table {}: end -->"
FIGURES = ROOT / "docs" / "figures" / "which_method"
DRAWN = ("gradient_norm", "input_x_gradient", "attn_lrp", "integrated_gradients", "leave_one_out")


@dataclass(frozen=True)
class Task:
    """A model, texts, and the targets that are explained."""

    explainer: hs.Explainer
    texts: list[str]
    target: Any
    baseline: Any = None


def masked(count: int) -> Task:
    """Parts of sentences, of 10 to 20 tokens, whose sixth token is a whole word of four letters or more."""
    explainer = hs.Explainer(*hs.load_demo(), progress=False)
    text = re.sub(r"\s+", " ", (ROOT / "examples" / "data" / "opticks.txt").read_text(encoding="utf-8"))
    chosen = []
    for sentence in re.findall(r"\b[A-Za-z][^.?!;:,]{30,100}[.?!;:,]", text):
        tokens = explainer.encode(sentence).tokens
        if not 12 <= len(tokens) <= 22:
            continue
        token, following = tokens[COLUMN], tokens[COLUMN + 1]
        word = sentence[token.start : token.end]
        if len(word) >= 4 and word.isalpha() and sentence[token.end : following.start] == " ":
            chosen.append(sentence)
    Random(0).shuffle(chosen)
    if len(chosen) < count:
        raise SystemExit(f"only {len(chosen)} parts of sentences are suitable: lower --texts")
    return Task(explainer, chosen[:count], hs.MaskedToken([COLUMN], unit="log_prob"))


def causal(count: int) -> Task:
    """Stories that end with the name of the person who first gave the thing away."""
    import task_models
    import task_texts

    explainer = hs.Explainer(*task_models.storyteller(), progress=False)
    random = Random(2)
    texts = [task_texts.story(random) for _ in range(count)]
    return Task(explainer, texts, hs.NextToken([LAST_NAME], unit="log_prob"))


def classification(count: int, baseline: Any = None) -> Task:
    """Reviews that say whether a dish was liked."""
    import task_models
    import task_texts

    explainer = hs.Explainer(*task_models.classifier(), progress=False)
    random = Random(1)
    texts = [task_texts.review(random)[0] for _ in range(count)]
    return Task(explainer, texts, hs.Label(unit="log_prob"), baseline)


TASKS: dict[str, Callable[[int], Task]] = {
    "masked": masked,
    "causal": causal,
    "classification, mask": classification,
    "classification, mean": lambda count: classification(count, hs.mean_embedding),
}


def explained(task: Task, names: list[str], folder: Path) -> dict[str, hs.Corpus]:
    """The maps of each method that the model allows, read from the folder if they exist."""
    maps = {}
    for name in names:
        try:
            task.explainer(task.texts[0], target=task.target, method=name, top_k=0)
        except hs.SaliencyError as error:
            print(f"without {name}: {error}", flush=True)
            continue
        maps[name] = hs.write_corpus(
            task.explainer, task.texts, folder / name, target=task.target, method=name, top_k=0
        )
    return maps


def cost(task: Task, name: str) -> str:
    """Forward and backward passes of a method for the first text, counted at the model."""
    rows = {"forward": 0, "backward": 0}

    def backward(gradient: torch.Tensor) -> None:
        rows["backward"] += len(gradient)

    def forward(module: Any, arguments: Any, output: Any) -> None:
        logits = output.logits
        rows["forward"] += len(logits)
        if logits.requires_grad:
            logits.register_hook(backward)

    handle = task.explainer.text_model.model.register_forward_hook(forward)
    try:
        task.explainer(task.texts[0], target=task.target, method=name, top_k=0)
    finally:
        handle.remove()
    return f"{rows['forward']} + {rows['backward']}"


def markdown(table: hs.Table, costs: dict[str, str]) -> str:
    """A Markdown table with a row per method and a column per metric: the mean with its interval."""
    groups = list(dict.fromkeys(table["group"].tolist()))
    better = dict(zip(table["group"].tolist(), table["better"].tolist(), strict=True))
    heads = [f"{name.replace('_', ' ')} ({better[name]})" for name in groups]
    lines = [f"| method | passes | {' | '.join(heads)} |", f"|---|---:|{'---:|' * len(groups)}"]
    for label in dict.fromkeys(table["label"].tolist()):
        cells = []
        for name in groups:
            row = table.select((table["label"] == label) & (table["group"] == name))
            low, high = row["low"][0], row["high"][0]
            cells.append(f"{row['value'][0]:.2f} [{low:.2f}, {high:.2f}]")
        head = f"`{label}`" if label in METHODS else label
        lines.append(f"| {head} | {costs.get(label, '')} | {' | '.join(cells)} |")
    return "\n".join(lines)


def write(page: Path, name: str, text: str) -> None:
    """Put a table between its two marker lines in a page."""
    head, rest = page.read_text(encoding="utf-8").split(BEGIN.format(name))
    tail = rest.split(END.format(name))[1]
    page.write_text(f"{head}{BEGIN.format(name)}\n\n{text}\n\n{END.format(name)}{tail}", encoding="utf-8")


def draw(task: Task, table: hs.Table, maps: dict[str, Any]) -> None:
    """Draw the table as dots, and the curves behind some of its rows."""
    FIGURES.mkdir(parents=True, exist_ok=True)
    hs.figure(table, hs.Dots(), width=7.2).savefig(FIGURES / "dots.png", dpi=150)
    some = {name: maps[name] for name in DRAWN}
    curves = hs.masking_curves(task.explainer, task.texts, target=task.target, methods=some)
    hs.figure(curves, hs.Curves(), width=4.5).savefig(FIGURES / "curves.png", dpi=150)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("tasks", nargs="*", metavar="TASK", help=f"by default all: {', '.join(TASKS)}")
    parser.add_argument("--texts", type=int, default=50)
    parser.add_argument("--slow", action="store_true", help=f"{' and '.join(SLOW)} as well")
    parser.add_argument("--folder", type=Path, default=Path("maps"), help="where maps are kept")
    parser.add_argument(
        "--write", type=Path, help="the page whose tables are replaced; draws the figures too"
    )
    arguments = parser.parse_args()
    names = [name for name in METHODS if name not in LEFT_OUT and (arguments.slow or name not in SLOW)]
    warnings.filterwarnings("ignore", ".*do not add up.*")
    for name in arguments.tasks or TASKS:
        task = TASKS[name](arguments.texts)
        start = time.process_time()
        folder = arguments.folder / f"{name.split(',')[0]} {arguments.texts}"
        maps: dict[str, Any] = dict(explained(task, names, folder))
        middle = time.process_time()
        table = hs.faithfulness(
            task.explainer, task.texts, target=task.target, methods=maps, baseline=task.baseline
        )
        end = time.process_time()
        print(f"{name}: {middle - start:.0f} CPU seconds of methods, {end - middle:.0f} of masking")
        text = f"{arguments.texts} texts:\n\n" + markdown(table, {label: cost(task, label) for label in maps})
        print(f"{text}\n", flush=True)
        if arguments.write:
            write(arguments.write, name, text)
            if name == "masked":
                draw(task, table, maps)


if __name__ == "__main__":
    main()
