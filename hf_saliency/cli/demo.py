"""The sentence, the files and the log of ``hf-saliency demo``."""

from __future__ import annotations

import itertools
import json
import platform
from collections.abc import Sequence
from pathlib import Path

import hf_saliency as hs
from hf_saliency.cli.outputs import predictions_table

SENTENCE = (
    "context the formal study of grammar is an important part of education from a young age through advanced "
    "learning though the rules taught in schools are not a grammar in the sense most linguists use"
)
SENTENCE_WORDS = ["grammar", "education", "linguists"]


def demo_files(folder: Path, heat: hs.SaliencyMap) -> list[Path]:
    """Write the scores, then the figures, so that no scores are lost if a figure fails."""
    from hf_saliency.maps.storage import write_file

    scores, table, data = (
        folder / name for name in ("scores.json", "predictions.tsv", "textual_heatmap.json")
    )
    heat.save(scores)
    write_file(table, predictions_table(heat).encode())
    write_file(data, json.dumps(heat.to_textual_heatmap(), ensure_ascii=False).encode())
    files = [scores, table, data]
    matrix = hs.figure(heat, mark=hs.Matrix(), width=6.75)
    highlight = hs.figure(heat, mark=hs.Highlight(), targets=SENTENCE_WORDS, width=6.75)
    for name, figure in (("matrix", matrix), ("highlight", highlight)):
        for ending in (".pdf", ".png"):
            files.append(folder / f"{name}{ending}")
            figure.savefig(files[-1])
    return files


def demo_log(heat: hs.SaliencyMap, explainer: hs.Explainer, clock: Sequence[float]) -> list[str]:
    """Return the facts of the run, one per line."""
    about = dict(heat.provenance)
    name, kind, dtype, tokenizer = (about.pop(key) for key in ("model", "class", "dtype", "tokenizer"))
    answers = [[prediction.class_id for prediction in target.predictions] for target in heat.targets]
    first, among = (
        sum(target.class_id in ids[:k] for target, ids in zip(heat.targets, answers, strict=True))
        for k in (1, 3)
    )
    parts = [later - earlier for earlier, later in itertools.pairwise(clock)]
    count = len(heat.targets)
    return [
        f"versions  Python {platform.python_version()}, " + ", ".join(f"{k} {v}" for k, v in about.items()),
        f"model     {name} ({kind}, {dtype}, on the CPU), {tokenizer}",
        f"text      {heat.texts[0]}",
        f"explained {count} targets x {len(heat.tokens)} tokens, {heat.method} {dict(heat.arguments)}, "
        f"{heat.targets[0].unit}, {explainer.batch_tokens} tokens a batch",
        f"result    the true token is the first prediction at {first} of {count} targets, "
        f"among the top 3 at {among}",
        "seconds   {:.1f} to load, {:.1f} to explain, {:.1f} to write".format(*parts),
    ]
