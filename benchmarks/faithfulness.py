"""Which method ranks tokens as the model does? A table for each task.

Every method in its default arguments, on sentences of Newton's Opticks by the bundled masked language model (one masked
word a sentence, nats) and on reviews by a classifier trained within seconds (the predicted label, nats).

    python benchmarks/faithfulness.py [--texts 12] [--slow] [--write PAGE.md]
"""

from __future__ import annotations

import argparse
import re
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import hf_saliency as hs
from hf_saliency.attribution.registry import METHODS

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "examples"))
SLOW = ("sequential_integrated_gradients", "discretized_integrated_gradients")
LEFT_OUT = ("random_baseline",)  # five seeds of random orders are in every table
COLUMN = 6  # of the masked token
TOKENS = 15  # what the passes of a method are counted for
BEGIN, END = "<!-- table {}: begin -->", "<!-- table {}: end -->"


def sentences(explainer: hs.Explainer, count: int) -> list[str]:
    """Sentences of 10 to 24 tokens whose sixth token is a whole word of four letters or more."""
    text = re.sub(r"\s+", " ", (ROOT / "examples" / "data" / "opticks.txt").read_text(encoding="utf-8"))
    chosen = []
    for sentence in re.findall(r"[A-Z][^.?!;:]{30,120}[.]", text):
        tokens = explainer.encode(sentence).tokens
        if not 12 <= len(tokens) <= 26:
            continue
        token, following = tokens[COLUMN], tokens[COLUMN + 1]
        word = sentence[token.start : token.end]
        if len(word) >= 4 and word.isalpha() and sentence[token.end : following.start] == " ":
            chosen.append(sentence)
    Random(0).shuffle(chosen)
    if len(chosen) < count:
        raise SystemExit(f"there are only {len(chosen)} such sentences")
    return chosen[:count]


def tables(count: int, names: list[str]) -> Iterator[tuple[str, hs.Table]]:
    """The table of each task, by its name."""
    explainer = hs.Explainer(*hs.load_demo(), progress=False)
    target: Any = hs.MaskedToken([COLUMN], unit="log_prob")
    yield "masked", hs.faithfulness(explainer, sentences(explainer, count), target=target, methods=names)
    import task_models
    import task_texts

    explainer = hs.Explainer(*task_models.classifier(), progress=False)
    random = Random(1)
    reviews = [task_texts.review(random)[0] for _ in range(count)]
    target = hs.Label(unit="log_prob")
    for name, baseline in (("classification, mask", None), ("classification, mean", hs.mean_embedding)):
        yield (
            name,
            hs.faithfulness(explainer, reviews, target=target, methods=names, baseline=baseline),
        )


def markdown(table: hs.Table) -> str:
    """A row a method, a column a metric: the mean with its interval."""
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
        passes = METHODS[label]().passes if label in METHODS else None
        cost = "{} + {}".format(*passes(TOKENS)) if passes else ""
        lines.append(f"| `{label}` | {cost} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--texts", type=int, default=12)
    parser.add_argument("--slow", action="store_true", help=f"{' and '.join(SLOW)} as well")
    parser.add_argument("--write", type=Path, help="the page whose tables are replaced")
    arguments = parser.parse_args()
    names = [name for name in METHODS if name not in LEFT_OUT and (arguments.slow or name not in SLOW)]
    warnings.filterwarnings("ignore", ".*do not add up.*")
    start = time.perf_counter()
    for name, table in tables(arguments.texts, names):
        text = f"{arguments.texts} texts.\n\n{markdown(table)}"
        print(f"{name}, {time.perf_counter() - start:.0f} s\n{text}\n", flush=True)
        if arguments.write:
            page = arguments.write.read_text(encoding="utf-8")
            head, rest = page.split(BEGIN.format(name))
            tail = rest.split(END.format(name))[1]
            page = f"{head}{BEGIN.format(name)}\n{text}\n{END.format(name)}{tail}"
            arguments.write.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
