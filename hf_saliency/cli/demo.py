"""What ``hf-saliency demo`` explains and writes."""

from __future__ import annotations

import itertools
import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import hf_saliency as hs

if TYPE_CHECKING:
    from hf_saliency.maps.saliency_map import SaliencyMap


def tab_separated(saliency_map: SaliencyMap) -> str:
    """The targets' predictions as a table for other programs; probabilities are parts of 1."""
    most = max((len(target.predictions) for target in saliency_map.targets), default=0)
    heads = [f"{name}_{rank}" for rank in range(1, most + 1) for name in ("prediction", "probability")]
    rows = [["position", "target", saliency_map.targets[0].unit, "rank", *heads]]
    for target in saliency_map.targets:
        ids = [each.index for each in target.predictions]
        rank = str(ids.index(target.index) + 1) if target.index in ids else ""
        answers = [cell for each in target.predictions for cell in (each.label, f"{each.probability:.6g}")]
        rows.append([str(target.position), target.label, f"{target.score:.6g}", rank, *answers])
    return "".join("\t".join(" ".join(cell.split()) for cell in row) + "\n" for row in rows)


SENTENCE = (
    "context the formal study of grammar is an important part of education from a young age through advanced "
    "learning though the rules taught in schools are not a grammar in the sense most linguists use"
)
SENTENCE_WORDS = ["grammar", "education", "linguists"]


def demo_files(folder: Path, heat: hs.SaliencyMap) -> list[Path]:
    """The scores first: should a figure fail, they are not lost."""

    scores, table, data = (
        folder / name for name in ("scores.json", "predictions.tsv", "textual_heatmap.json")
    )
    heat.save(scores)
    table.write_text(tab_separated(heat), encoding="utf-8")
    data.write_text(json.dumps(heat.to_textual_heatmap(), ensure_ascii=False), encoding="utf-8")
    files = [scores, table, data]
    matrix = hs.figure(heat, mark=hs.Matrix(), width=6.75)
    highlight = hs.figure(heat, mark=hs.Highlight(), targets=SENTENCE_WORDS, width=6.75)
    for name, figure in (("matrix", matrix), ("highlight", highlight)):
        for ending in (".pdf", ".png"):
            files.append(folder / f"{name}{ending}")
            figure.savefig(files[-1])
    return files


def demo_log(heat: hs.SaliencyMap, explainer: hs.Explainer, clock: Sequence[float]) -> list[str]:
    """What was done, a line each."""
    about = dict(heat.provenance)
    name, kind, dtype, tokenizer = (about.pop(key) for key in ("model", "class", "dtype", "tokenizer"))
    answers = [[each.index for each in target.predictions] for target in heat.targets]
    first, among = (
        sum(target.index in given[:k] for target, given in zip(heat.targets, answers, strict=True))
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
