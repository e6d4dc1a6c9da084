"""The figures of the README: one sentence, every position masked in turn, drawn two ways.

    python examples/masked_sweep.py [FOLDER]

Writes ``highlight.png`` and ``matrix.png`` into the folder (``docs/figures`` by default); takes a few seconds.
"""

from __future__ import annotations

import sys
from pathlib import Path

import hf_saliency as hs

SENTENCE = (
    "context the formal study of grammar is an important part of education from a young age through advanced "
    "learning though the rules taught in schools are not a grammar in the sense most linguists use"
)


def main(folder: Path) -> None:
    """Explain the sentence with the bundled model and draw it."""
    folder.mkdir(parents=True, exist_ok=True)
    explainer = hs.Explainer(*hs.load_demo())
    heat = explainer(SENTENCE)
    chosen = heat.select(3, "education", "schools")
    hs.figure(chosen, mark=hs.Highlight(), width=6.75).savefig(folder / "highlight.png", dpi=200)
    hs.figure(heat, mark=hs.Matrix(), width=6.75).savefig(folder / "matrix.png", dpi=200)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/figures"))
