"""How many files of the package must a reader open to follow one call?

Counts the files in which a function runs, after a call that fills the caches: a masked sweep, a classifier with
integrated gradients, and a figure with its PDF. Fails if a count is above its limit. Where oneDNN is faster,
``score/products.py`` would be one more; it is off here, so that the counts do not depend on the processor.

    python benchmarks/files_opened.py [--list]
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import BertConfig, BertForSequenceClassification

import hf_saliency as hs

PACKAGE = Path(hs.__file__).parent


def files_opened(call: Callable[[], Any]) -> set[str]:
    """The files of the package in which a function runs during a call."""
    files: set[str] = set()

    def note(frame: Any, event: str, argument: Any) -> None:
        if event == "call":
            files.add(frame.f_code.co_filename)

    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(None)
    paths = [Path(name) for name in files if name.startswith(str(PACKAGE))]
    return {str(path.relative_to(PACKAGE)) for path in paths}


def main() -> int:
    """Print the counts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--list", action="store_true", help="print the files, too")
    arguments = parser.parse_args()
    text = "She drank hot tea."
    model, tokenizer = hs.load_demo()
    explainer = hs.Explainer(model, tokenizer, progress=False, fast_products=False)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
    )
    classifier = hs.Explainer(
        BertForSequenceClassification(config).eval(), tokenizer, progress=False, fast_products=False
    )
    method = hs.integrated_gradients(n_steps=5)
    heat = explainer(text)
    calls: dict[str, tuple[int, Callable[[], Any]]] = {
        "masked sweep": (28, lambda: explainer(text)),
        "classifier, integrated gradients": (27, lambda: classifier(text, method=method)),
        "figure and its PDF": (25, lambda: hs.figure(heat).savefig(io.BytesIO(), format="pdf")),
    }
    failed = False
    for name, (limit, call) in calls.items():
        call()
        files = files_opened(call)
        failed = failed or len(files) > limit
        print(f"{name}: {len(files)} files, at most {limit}")
        if arguments.list:
            print("\n".join(f"    {file}" for file in sorted(files)))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
