"""One prediction, six methods: which words did it depend on? A figure for both columns of a paper.

    python examples/compare_methods.py [--output FOLDER]

Uses the bundled model, so nothing is downloaded; takes a few seconds.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import hf_saliency as hs

TEXT = "The doctor told the patient to stay in the hospital until the wound had healed."
WORD = "doctor"


def methods() -> dict[str, hs.Method]:
    """Methods by panel title: two show how strong a dependence is, four also whether a token speaks for or against."""
    return {
        "Gradient norm (connectivity)": hs.gradient_norm(),
        "SmoothGrad": hs.smooth_grad(n_samples=50),
        "Relevance (AttnLRP)": hs.attn_lrp(),
        "Integrated gradients": hs.integrated_gradients(tolerance=1e-3),
        "Leave one word out": hs.leave_one_out(feature="word"),
        "Shapley values of words": hs.shapley_sampling(20, feature="word"),
    }


def main(folder: Path) -> None:
    """Explain one masked word by six methods, and draw them as panels."""
    folder.mkdir(parents=True, exist_ok=True)
    explainer = hs.Explainer(*hs.load_demo())
    target = hs.MaskedToken(WORD)
    maps = [explainer(TEXT, target=target, method=method).words() for method in methods().values()]
    for name, heat in zip(methods(), maps, strict=True):
        scores = heat.drop_special().normalized("row_max")[0]
        labels = heat.drop_special().labels
        strongest = sorted(range(len(scores)), key=lambda i: -abs(scores[i]))[:3]
        print(f"{name:30} {', '.join(f'{labels[i]} {scores[i]:+.2f}' for i in strongest)}")
    figure = hs.figure(maps, mark=hs.Highlight(), ncols=2, width=6.75, title=list(methods()))
    figure.savefig(folder / "compare_methods.pdf")
    figure.savefig(folder / "compare_methods.png", dpi=200)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("compare-methods-output"))
    main(parser.parse_args().output)
