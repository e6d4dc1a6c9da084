"""Which words does the bundled model look at for nouns and for verbs, and at which distance? A study of a small corpus.

    python examples/corpus_study.py [--output FOLDER] [--texts N]

The corpus is WordNet's examples in `data/wordnet_senses.tsv`: each sentence has one marked word with a known part of
speech. The script masks the word, and compares the connectivity of its position to the others with leaving one token
out. Both corpora are folders, so an interrupted run can continue. The script needs the extra `corpus`.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

import hf_saliency as hs

DATA = Path(__file__).parent / "data" / "wordnet_senses.tsv"
PARTS = {"n": "noun", "v": "verb"}
METHODS = {"Connectivity": hs.gradient_norm(), "Leave one out": hs.leave_one_out()}


def sentences(most: int | None = None) -> list[dict[str, str | int]]:
    """The examples of nouns and verbs as rows: a key, the text, the masked word and its part of speech."""
    rows: list[dict[str, str | int]] = []
    with DATA.open(encoding="utf-8", newline="") as file:
        for sense in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            for number, marked in enumerate(sense["examples"].split("|")):
                part = PARTS.get(sense["synset"][0])
                before, word, after = marked.split("*")
                text = before + word + after
                # A word that occurs twice would be two targets, and very short examples have too few distances.
                if part and text.split().count(word) == 1 and len(text.split()) >= 5:
                    key = f"{sense['synset']} {sense['word']} {number}"
                    rows.append({"key": key, "text": text, "word": word, "part": part})
    unique = list({row["text"]: row for row in rows}.values())
    if most is None:
        return unique
    return [row for part in PARTS.values() for row in [r for r in unique if r["part"] == part][: most // 2]]


def others(heat: hs.SaliencyMap) -> hs.SaliencyMap:
    """The map without the columns of the masked word, since leaving one token out never removes that word."""
    masked = {position for target in heat.targets for position in target.positions}
    return heat.part(range(len(heat)), [i for i in range(len(heat.tokens)) if i not in masked])


def main(folder: Path, most: int | None) -> None:
    """Write the missing parts of both corpora, and draw the three figures."""
    explainer = hs.Explainer(*hs.load_demo())
    rows = sentences(most)
    corpora = {
        name: hs.write_corpus(
            explainer,
            rows,
            folder / method.name,
            target=hs.MaskedToken(unit="log_prob"),
            method=method,
            key="key",
            target_column="word",
            columns=["part"],
        )
        for name, method in METHODS.items()
    }
    corpus = corpora["Connectivity"]
    print(*corpora.values(), sep="\n")

    share = {"normalize": "row_sum", "columns": "context", "groups": corpus.column("part")}
    words = hs.summarize(corpus, by="word", **share)
    frequent = words.select((words["n"] >= min(10, max(words["n"]))) & np.char.isalpha(words["label"]))
    hs.figure(frequent, hs.Ranking(top=20), width=3.25).savefig(folder / "words.pdf")
    for row in zip(
        *(frequent.select(slice(8))[name] for name in ("group", "label", "value", "n")), strict=True
    ):
        print("{}: {:10} {:.3f} of the row in {} sentences".format(*row))

    distances = hs.summarize(corpus, by="position", **share)
    near = distances.select(abs(distances["position"]) <= 6)
    hs.figure(near, hs.Profile(), width=3.25).savefig(folder / "distances.pdf")
    for row in zip(*(near[name] for name in ("position", "group", "value", "n")), strict=True):
        print("{:+d} {}: {:.3f} of the row in {} sentences".format(*row))

    keys = set.intersection(*(set(each.keys()) for each in corpora.values()))
    table = hs.agreement_matrix({name: map(others, each.select(keys)) for name, each in corpora.items()})
    hs.figure(table, hs.Agreements(), width=3.25).savefig(folder / "agreement.pdf")
    print(f"rank correlation of the two methods: {table['value'][1]:.2f} over {table['n'][1]} sentences")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("corpus-study-output"))
    parser.add_argument("--texts", type=int, help="Maximum number of sentences.")
    options = parser.parse_args()
    main(options.output, options.texts)
