"""The table in ``docs/models.md``, made from the tables that the tests run on.

PYTHONPATH=tests/support python -m tiny_models.page      # writes it into the page
"""

from __future__ import annotations

import re
from pathlib import Path

import transformers

import tiny_models
from hf_saliency.adapter.families import FAMILIES
from tiny_models.decoders import DECODERS, RECURRENT
from tiny_models.encoder_decoders import ENCODER_DECODERS
from tiny_models.encoders import ENCODERS
from tiny_models.experts import EXPERTS
from tiny_models.not_covered import NOT_COVERED
from tiny_models.traits import FLOAT32, NO_LEFT_PADDING

PAGE = Path(__file__).parents[3] / "docs" / "models.md"
BEGIN, END = "<!-- from here on written by tiny_models.page -->\n", "<!-- to here -->\n"

COLUMNS = {
    "masked": "masked LM",
    "causal": "causal LM",
    "sequence_classification": "text labels",
    "token_classification": "token labels",
    "question_answering": "answers",
    "multiple_choice": "choices",
    "seq2seq": "seq2seq",
}
GROUPS = {
    "Encoders": ENCODERS,
    "Decoders": DECODERS,
    "Decoders with recurrent layers": RECURRENT,
    "Decoders with a mixture of experts": EXPERTS,
    "Encoder-decoders": ENCODER_DECODERS,
}


def padless(family: str) -> bool:
    """Whether padding changes the results of a model type, so that only rows of equal length share a batch."""
    names = [entry.name for entry in tiny_models.entries() if entry.family == family]
    bases = {base.__name__ for name in names for base in getattr(transformers, name).__mro__}
    return any(
        FAMILIES[name].pads is False for name in bases & FAMILIES.keys() if name.endswith("PreTrainedModel")
    )


def table(families: dict[str, object], heads: dict[str, set[str]]) -> list[str]:
    """The lines of a table with one row for each model type."""
    lines = [
        f"| model type | {' | '.join(COLUMNS.values())} | notes |",
        f"|---|{':-:|' * len(COLUMNS)}---|",
    ]
    for family in sorted(set(families) & heads.keys()):
        marks = ["✓" if head in heads[family] else "" for head in COLUMNS]
        exact = family in tiny_models.FLOAT32_ONLY
        notes = [
            "all in float32" if exact else "parts in float32" if family in FLOAT32 else "",
            "equal lengths" if padless(family) else "",
            "no left padding" if "causal" in heads[family] and family in NO_LEFT_PADDING else "",
        ]
        lines.append(f"| {family} | {' | '.join(marks)} | {', '.join(filter(None, notes))} |")
    return lines


def text() -> str:
    """The text between the marks."""
    rows = tiny_models.entries()
    heads: dict[str, set[str]] = {}
    for row in rows:
        heads.setdefault(row.family, set()).add(row.head)
    parts = [
        f"{len(rows)} models: {len(heads)} model types by the heads that they have in transformers "
        f"{transformers.__version__}.\n"
    ]
    for title, families in GROUPS.items():
        parts.append(f"### {title}\n")
        parts.append("\n".join(table(families, heads)) + "\n")
    parts.append("### Not covered yet\n")
    parts.append(
        "Named in the tests, so that nothing is left out unseen. They may work by the general rules; nobody has "
        "looked.\n"
    )
    reasons: dict[str, list[str]] = {}
    for name, reason in NOT_COVERED.items():
        reasons.setdefault(reason, []).append(name)
    lines = ["| model type | why |", "|---|---|"]
    lines += [f"| {', '.join(names)} | {reason} |" for reason, names in sorted(reasons.items())]
    parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def page(old: str) -> str:
    """The page with its table brought up to date."""
    return re.sub(
        f"{re.escape(BEGIN)}.*{re.escape(END)}", lambda _: f"{BEGIN}\n{text()}\n{END}", old, flags=re.DOTALL
    )


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
