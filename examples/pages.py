"""Figures for pages that are mostly tables, drawn from the tables themselves or from the calls that they list.

    python examples/pages.py [PAGE ...]

Writes ``docs/figures/{performance,corpus_scale,saliency,completeness,reproducible}.png``; each takes a few seconds.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

import hf_saliency as hs

DOCS = Path(__file__).parent.parent / "docs"
FIGURES = DOCS / "figures"
DPI = 150
TEXT = "the formal study of grammar is an important part of education"
OURS, GREY, RULE = "#1f5fa8", "#707070", "#c8c8c8"

# A marker and a colour for each peer; the markers alone distinguish the peers.
WAYS = {
    "the article's loop": ("s", "#8c5a14"),
    "Captum": ("o", "#b3382c"),
    "inseq": ("^", "#2f7d4f"),
    "interpreto": ("D", "#7a4fa3"),
    "transformers-interpret": ("v", "#3b3b3b"),
}


def table(page: str, header: str) -> list[list[str]]:
    """The rows of the table in a page whose first line begins with ``header``."""
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    lines = text.split(f"| {header} |", 1)[1].split("\n\n", 1)[0].split("\n")[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def axes(width: float, height: float) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width, height), layout="constrained")
    ax = figure.add_subplot()
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return figure, ax


def ratios() -> dict[str, list[tuple[str, float]]]:
    """Each peer's times relative to this package's, by work, from the page on performance."""
    works: dict[str, list[tuple[str, float]]] = {}
    for work, way, _, ratio, *_ in table("performance", "work | way"):
        peer = next((name for name in WAYS if way.startswith(name)), None)
        if peer:
            works.setdefault(work, []).append((peer, float(ratio)))
    return works


def performance() -> Figure:
    """A dot for each way of each peer; a dot to the right of 1 takes longer than this package."""
    works = ratios()
    figure, ax = axes(6.5, 3.6)
    ax.set_xscale("log")
    ax.axvline(1, color=OURS, linewidth=2, zorder=1)
    for row, points in enumerate(works.values()):
        ax.axhline(row, color=RULE, linewidth=0.6, zorder=0)
        for peer, ratio in points:
            marker, color = WAYS[peer]
            ax.plot(ratio, row, marker, color=color, markersize=6, markeredgecolor="white", zorder=2)
    for peer, (marker, color) in WAYS.items():
        ax.plot([], [], marker, color=color, markersize=6, label=peer)
    ax.plot([], [], color=OURS, linewidth=2, label="hf-saliency")
    ax.set_yticks(range(len(works)), list(works))
    ax.invert_yaxis()
    ticks = (0.5, 1, 2, 4, 8)
    ax.xaxis.set(major_locator=FixedLocator(ticks), minor_locator=NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
    ax.set_xlim(0.45, 10)
    ax.set_xlabel("CPU time over that of hf-saliency")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def hours(cell: str) -> float:
    """A time such as "16 min" or "6.0 h"."""
    number, unit = cell.split()
    return float(number) / (60 if unit == "min" else 1)


def corpus_scale() -> Figure:
    """Hours for a million sentences by machine, from the page on large corpora."""
    rows = table("corpus_scale", "machine | seconds a target")
    figure, ax = axes(6.5, 2.3)
    ax.set_xscale("log")
    for row, (_, _, one_word, every_word) in enumerate(rows):
        few, many = hours(one_word), hours(every_word)
        ax.plot([few, many], [row, row], color=RULE, linewidth=2, zorder=0)
        ax.plot(few, row, "o", color=OURS, markersize=7)
        ax.plot(many, row, "s", color="#b3382c", markersize=7)
    ax.plot([], [], "o", color=OURS, label="one word a sentence")
    ax.plot([], [], "s", color="#b3382c", label="every word")
    ax.set_yticks(range(len(rows)), [machine for machine, *_ in rows])
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ticks = {1 / 60: "1 min", 1 / 6: "10 min", 1: "1 h", 10: "10 h"}
    ax.xaxis.set(major_locator=FixedLocator(list(ticks)), minor_locator=NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: ticks[value]))
    ax.set_xlim(1 / 60, 12)
    ax.set_xlabel("calculated for a million sentences")
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


SHOWN = (
    "Madsen, ROAR and FMM",
    "LIT, gradient norm",
    "inseq, `saliency`",
    "inseq, `input_x_gradient`",
    "ferret, `Gradient (x Input)`",
    "Captum's BERT tutorials",
)


def saliency() -> Figure:
    """The scores of six tools for one word, computed with the calls that the page lists."""
    calls = {tool: call.strip("`") for tool, _, call in table("saliency", "tool | quantity | here")}
    names = {"hs": hs, "explainer": hs.Explainer(*hs.load_demo()), "text": TEXT, "word": "grammar"}
    maps = [eval(re.sub(r"\.(scores|normalized\(.*\))$", "", calls[tool]), names) for tool in SHOWN]
    titles = [tool.replace("`", "") for tool in SHOWN]
    options = {"title": titles, "ncols": 3, "scale": "separate", "width": 6.5}
    return hs.figure(maps, hs.Bars(top=5, sort="size"), **options)


def completeness() -> Figure:
    """Cumulative scores of two methods from the baseline; only one method reaches the score of the text."""
    explainer = hs.Explainer(*hs.load_demo())
    target = hs.MaskedToken("grammar", unit="log_prob")
    methods = {"integrated gradients": hs.integrated_gradients(), "input × gradient": hs.input_x_gradient()}
    maps = {name: explainer(TEXT, target=target, method=method) for name, method in methods.items()}
    first = maps["integrated gradients"]
    score = first.targets[0].score
    assert first.convergence_delta is not None
    baseline = score - float(first.scores.sum() - first.convergence_delta[0])
    figure = Figure(figsize=(6.5, 2.8), layout="constrained")
    for ax, (name, heat) in zip(figure.subplots(1, 2, sharey=True), maps.items(), strict=True):
        steps = baseline + np.concatenate([[0.0], np.cumsum(heat.scores[0])])
        places = np.arange(len(steps) - 1)
        for place, label, value in ((0, "baseline", baseline), (1, "text", score)):
            ax.axhline(value, color=GREY, linewidth=1, linestyle="--" if place else ":", label=label)
        colors = [OURS if after >= before else "#b3382c" for before, after in pairwise(steps)]
        ax.bar(places, np.diff(steps), bottom=steps[:-1], color=colors, width=0.8)
        ax.set_xticks(places, heat.labels, rotation=90)
        ax.set_title(
            f"{name}: {'arrives' if abs(steps[-1] - score) < 0.1 else 'ends elsewhere'}", fontsize=10
        )
        ax.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylim(baseline - 0.5, score + 0.3)
    figure.axes[0].set_ylabel("log-probability, nats")
    figure.axes[0].legend(frameon=False, loc=(0.02, 0.6))
    return figure


def reproducible() -> Figure:
    """A figure, and a second figure drawn from the first one's file alone."""
    heat = hs.Explainer(*hs.load_demo())(TEXT, target=hs.MaskedToken("grammar"))
    with tempfile.TemporaryDirectory() as folder:
        hs.figure(heat, width="acl").savefig(f"{folder}/grammar.pdf")
        (again,) = hs.read_maps(f"{folder}/grammar.pdf")
    marks = [hs.Highlight(), hs.Bars(top=6, sort="size")]
    return hs.figure([heat, again], marks, title=["the figure", "drawn from its file"], ncols=2, width=6.5)


PAGES: dict[str, Callable[[], Figure]] = {
    each.__name__: each for each in (performance, corpus_scale, saliency, completeness, reproducible)
}


def main() -> None:
    for name in sys.argv[1:] or PAGES:
        with mpl.rc_context({"font.family": "DejaVu Sans", "font.size": 9}):
            PAGES[name]().savefig(FIGURES / f"{name}.png", dpi=DPI)
        print(f"wrote: docs/figures/{name}.png")


if __name__ == "__main__":
    main()
