"""The gallery: every kind of figure, drawn with the bundled model or maps made by hand.

    python examples/gallery.py [NAME ...]

Writes ``docs/figures/gallery/*.png`` and the page ``docs/gallery.md``; takes about a minute. With names, only
those figures are redrawn. The README shows two of these figures.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import inspect
import itertools
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from gallery_maps import (
    CAPITAL,
    SENTENCE,
    STORY,
    classified,
    explained,
    explainer,
    made,
    tokenizers,
)
from gallery_tokenizers import (
    CHAT,
    CODE,
    PROSE,
    byte_fallback,
    byte_level,
    conversed,
    tokenized,
    unigram,
    word_piece,
)
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from PIL import Image

import hf_saliency as hs

DOCS = Path(__file__).parent.parent / "docs"
DPI = 150


@dataclass(frozen=True)
class Case:
    """A figure's chapter and caption, and the function that draws the figure or its pages."""

    chapter: str
    caption: str
    draw: Callable[[], Figure | Sequence[Figure]]

    @property
    def name(self) -> str:
        return self.draw.__name__

    @property
    def code(self) -> str:
        """The body of the function."""
        lines = textwrap.dedent(inspect.getsource(self.draw)).splitlines()
        start = next(i for i, line in enumerate(lines) if line.startswith("def ")) + 1
        return textwrap.dedent("\n".join(lines[start:])).replace("return ", "")


CASES: list[Case] = []


def case(
    chapter: str, caption: str
) -> Callable[[Callable[[], Figure | Sequence[Figure]]], Callable[[], object]]:
    """Make a function one of the gallery's cases."""

    def add(draw: Callable[[], Figure | Sequence[Figure]]) -> Callable[[], object]:
        CASES.append(Case(chapter, caption, draw))
        return draw

    return add


# --- running text


@case("Running text", "One masked word of a short sentence, in a column of an ACL paper.")
def short() -> Figure:
    return hs.figure(explained(CAPITAL), targets="capital", width="acl")


@case("Running text", "Three masked words, a block for each.")
def highlight() -> Figure:
    return hs.figure(explained(), targets=[3, "education", "schools"], width=6.75)


@case("Running text", "One word.")
def one_word() -> Figure:
    return hs.figure(made("grammar"), width="acl")


@case("Running text", "A signed method: blue tokens are evidence against the word.")
def signed() -> Figure:
    heat = explained(method="integrated_gradients", word="education")
    return hs.figure(heat, width="acl-2col")


@case("Running text", "Log-probability instead of a logit, each row divided by its sum.")
def row_sum() -> Figure:
    heat = explainer()(CAPITAL, target=hs.MaskedToken("capital", unit="log_prob"))
    return hs.figure(heat, normalize="row_sum", width="acl")


@case("Running text", "One word against another.")
def against() -> Figure:
    heat = explainer()(SENTENCE, target=hs.MaskedToken("grammar", against="music"))
    return hs.figure(heat, width="acl")


@case("Running text", "An unmasked target, read at its own position: its frame is dashed.")
def unmasked() -> Figure:
    heat = explainer()(SENTENCE, target=hs.UnmaskedToken("education"))
    return hs.figure(heat, width="acl")


@case("Running text", "Tokens, and the same scores merged to words; special tokens are shown on request.")
def words() -> Figure:
    heat = explained().select("linguists")
    marks = [hs.Highlight(special=True, predictions=0), hs.Highlight(words=True, predictions=0)]
    titles = ["tokens, special ones too", "words"]
    return hs.figure([heat.select(0), heat.select(0)], marks, title=titles, ncols=2, width="acl-2col")


@case("Running text", "Three hundred tokens.")
def long_text() -> Figure:
    return hs.figure(made((STORY * 4)[:1320], targets=[150]), width="neurips")


@case("Running text", "The same, trimmed to twelve tokens on either side of the target.")
def trimmed() -> Figure:
    return hs.figure(made((STORY * 4)[:1320], targets=[150]), around=12, width="acl")


@case("Running text", "Two targets far apart, trimmed.")
def trimmed_twice() -> Figure:
    return hs.figure(made(STORY, targets=[12, 90], seed=3), around=6, width="acl")


@case("Running text", "The first pages of a long text, each with its legend.")
def sheets() -> Sequence[Figure]:
    heat = made(STORY * 3, targets=[20, 240], seed=1)
    return hs.sheets(heat, title="The lighthouse", width="acl", height=2.6)[:3]


@case("Running text", "Examples for an appendix, each with its details.")
def appendix() -> Sequence[Figure]:
    maps = [explained(CAPITAL, word=word) for word in ("Paris", "capital", "France")]
    titles = [f"{heat.targets[0].label}, best answer {heat.targets[0].predictions[0].label}" for heat in maps]
    return hs.sheets(maps, hs.Highlight(predictions=0), title=titles, width="acl", height=2.5)


@case("Running text", "Paragraphs, a tab, and an address that is longer than the line.")
def lines() -> Figure:
    text = "First,\tsee https://example.org/a/very/long/address/that/no/line/can/hold/at/once.html\n\nThen go on."
    return hs.figure(made(text, r"[\w/:.]{1,9}|\S"), width="acl")


@case("Running text", "TeX's special characters are literal.")
def literal() -> Figure:
    return hs.figure(
        made(r"It costs $5 or 100% of \alpha_{i}^2 & more #1 ~ {x} <b>.", targets=[4]), width="acl"
    )


@case("Running text", "Scores that are not finite are hatched and named.")
def missing() -> Figure:
    heat = made(CAPITAL, signed=True)
    scores = heat.scores.copy()
    scores[0, [2, 4, 5]] = np.nan, np.inf, -np.inf
    return hs.figure(dataclasses.replace(heat, scores=scores), width="acl")


@case("Running text", "A label of a pair of texts, which belongs to no token.")
def pair() -> Figure:
    return hs.figure(classified(), width="acl")


@case("Running text", "On a dark page.")
def dark() -> Figure:
    with mpl.rc_context({"figure.facecolor": "#222222", "text.color": "white"}):
        return hs.figure(explained(CAPITAL), targets="capital", width="acl")


@case("Running text", "A typeface that matches Times.")
def serif() -> Figure:
    return hs.figure(explained(CAPITAL), targets="capital", font="serif", width="acl")


@case("Running text", "With a serif typeface in a larger size, from rcParams.")
def large_type() -> Figure:
    with mpl.rc_context({"font.family": "serif", "font.size": 12}):
        return hs.figure(explained(CAPITAL), targets="capital", width=4.5)


# --- matrices


@case("Matrices", "Every position masked in turn: rows are targets, columns are tokens.")
def matrix() -> Figure:
    return hs.figure(explained(), hs.Matrix(), width=6.75)


@case("Matrices", "Numbers in the cells, and the model's best answers.")
def values() -> Figure:
    return hs.figure(explained(CAPITAL), hs.Matrix(values=True, predictions=2), width="neurips")


@case("Matrices", "Special tokens shown; the limits of the scale come from what is drawn.")
def special() -> Figure:
    return hs.figure(explained(CAPITAL), hs.Matrix(special=True), normalize="none", width="acl")


@case("Matrices", "Two methods in one colour scale.")
def matrices() -> Figure:
    maps = [explained(), explained(method="attn_lrp")]
    return hs.figure(maps, ncols=2, width="acl-2col")


@case("Matrices", "A hundred and twenty-eight tokens: some labels are left out, and a note says so.")
def large() -> Figure:
    text = " ".join((STORY * 2).split()[:128])
    return hs.figure(made(text, r"\S+", targets=range(128), seed=2), hs.Matrix(), width="acl-2col")


# --- bars and arcs


@case("Bars and arcs", "A bar for each token, with its number.")
def bars() -> Figure:
    heat = explained(CAPITAL, "attn_lrp")
    return hs.figure(heat, hs.Bars(values=True), targets="capital", width="acl")


@case("Bars and arcs", "Three targets on one scale, the ten strongest tokens.")
def bars_top() -> Figure:
    heat = explained(method="attn_lrp")
    return hs.figure(heat, hs.Bars(top=10), targets=[3, "education", "schools"], width="neurips")


@case("Bars and arcs", "Vertical bars.")
def bars_vertical() -> Figure:
    heat = explained(method="attn_lrp")
    return hs.figure(heat, hs.Bars(vertical=True), targets=["education", "schools"], width="acl-2col")


@case("Bars and arcs", "Vertical bars with numbers; one score is not a number.")
def bars_values() -> Figure:
    heat = made(CAPITAL, targets=[3])
    scores = np.where(np.arange(7) == 1, np.nan, heat.scores)
    return hs.figure(
        dataclasses.replace(heat, scores=scores), hs.Bars(vertical=True, values=True), width="acl"
    )


@case("Bars and arcs", "The two strongest links of each target.")
def arcs() -> Figure:
    return hs.figure(explained(CAPITAL), hs.Arcs(), width="acl")


@case("Bars and arcs", "Five links of three targets in a long sentence.")
def arcs_long() -> Figure:
    return hs.figure(
        explained(method="attn_lrp"),
        hs.Arcs(links=5),
        targets=["education", "taught", "use"],
        width="acl-2col",
    )


@case("Bars and arcs", "From the strongest tokens above to three targets below.")
def bipartite() -> Figure:
    targets = ["education", "taught", "use"]
    return hs.figure(explained(), hs.Bipartite(links=4), targets=targets, width="acl-2col")


# --- panels


@case("Panels", "Text for three masked words, and a matrix for every word of another sentence.")
def overview() -> Figure:
    maps = [explained().select(3, "education", "schools"), explained(CAPITAL)]
    titles = ["three words, each masked in turn", "every word masked in turn"]
    return hs.figure(maps, [hs.Highlight(), hs.Matrix(predictions=1)], title=titles, ncols=2, width=6.75)


@case("Panels", "Four methods side by side, and how far they agree with the first.")
def methods() -> Figure:
    names = ["gradient_norm", "attn_lrp", "integrated_gradients", "leave_one_out"]
    maps = [explained(method=name, word="education") for name in names]
    return hs.figure(maps, hs.Highlight(predictions=0), ncols=2, agreement=True, width="acl-2col")


@case("Panels", "Each panel in its own scale, with its own legend.")
def own_scales() -> Figure:
    maps = [explained(word="education"), explained(method="attn_lrp", word="education")]
    return hs.figure(maps, scale="separate", normalize="none", ncols=2, width="acl-2col")


@case("Panels", "Targets side by side.")
def targets() -> Figure:
    heat = explained()
    maps = [heat.select("education"), heat.select("schools")]
    return hs.figure(maps, title=["masked: education", "masked: schools"], ncols=2, width="icml-2col")


@case("Panels", "One map by two marks.")
def marks() -> Figure:
    heat = explained().select("education")
    drawn_by = [hs.Highlight(), hs.Bars(top=8, predictions=0)]
    return hs.figure([heat, heat], drawn_by, title=["", ""], ncols=2, width="neurips")


@case("Panels", "Models with different tokenizers, each with its own tokens.")
def own_tokens() -> Figure:
    return hs.figure(tokenizers(), title=["words", "pieces", "characters"], width="acl")


@case("Panels", "The same, aligned to common words.")
def aligned() -> Figure:
    maps = hs.aligned(tokenizers())
    return hs.figure(maps, title=["words", "pieces", "characters"], agreement=True, width="acl")


# --- tokenizers


@case(
    "Tokenizers",
    "Code in the tokens of a byte-level BPE, for the last “total”; signs stand for line breaks and tabs.",
)
def code() -> Figure:
    return hs.figure(tokenized(byte_level(), CODE, "total"), width="acl")


@case("Tokenizers", "The same without tokens that consist of white space only.")
def code_without_white_space() -> Figure:
    return hs.figure(tokenized(byte_level(), CODE, "total"), hs.Highlight(white_space=False), width="acl")


@case("Tokenizers", "Code as a matrix; labels name whole words where tokens do not fit.")
def code_matrix() -> Figure:
    maps = tokenized(byte_level(), CODE, "total")
    return hs.figure(maps, hs.Matrix(), width="acl")


@case("Tokenizers", "Text with its special tokens; without special=True they are left out.")
def chat() -> Figure:
    return hs.figure(tokenized(byte_level(), CHAT, "dawn"), hs.Highlight(special=True), width="acl")


@case("Tokenizers", "Characters outside the vocabulary, as bytes: the parts of a character share its space.")
def fallback() -> Figure:
    text = "The keeper read ∂x/∂t in a café, and counted 鯨."
    return hs.figure(tokenized(byte_fallback(), text, "counted"), width="acl")


@case("Tokenizers", "One sentence in the tokens of a byte-level BPE, a Unigram model and a WordPiece model.")
def kinds() -> Figure:
    maps = [tokenized(tokenizer(), PROSE[1], "answer") for tokenizer in (byte_level, unigram, word_piece)]
    return hs.figure(maps, title=["byte-level BPE", "Unigram", "WordPiece"], width="acl")


# --- conversations


@case("Conversations", "A question and a word of its answer; text from the chat template is left out.")
def conversation() -> Figure:
    return hs.figure(conversed(), targets="boat", columns="prompt", width="acl")


@case("Conversations", "The whole answer as one target.")
def conversation_whole() -> Figure:
    return hs.figure(conversed(total=True), columns="prompt", width="acl")


@case("Conversations", "With the tokens of the template.")
def conversation_template() -> Figure:
    return hs.figure(conversed(), hs.Highlight(special=True), targets="dawn", width="acl")


@case("Conversations", "Each token of the answer, in a matrix divided into bands so that every label fits.")
def conversation_matrix() -> Figure:
    return hs.figure(conversed(), hs.Matrix(), width="acl")


# --- colours


@case("Colours", "Two figures share a scale: the scores of the second figure set the limit of the first.")
def limit() -> Figure:
    heat, other = explained(word="education"), explained(method="attn_lrp", word="education")
    return hs.figure(heat, normalize="none", limit=[heat, other], width="acl")


@case("Colours", "A limit below the largest score; a triangle in the corner marks scores beyond it.")
def clipped() -> Figure:
    return hs.figure(explained(CAPITAL), hs.Matrix(), limit=0.5, width="acl")


@case("Colours", "A colormap of Matplotlib; letters are black or white.")
def colormap() -> Figure:
    return hs.figure(explained(CAPITAL), hs.Matrix(values=True), cmap="Purples", width="acl-2col")


@case("Colours", "Negative scores underlined for grey print.")
def underlined() -> Figure:
    heat = explained(method="integrated_gradients", word="education")
    return hs.figure(heat, underline=True, width="acl-2col")


@case("Colours", "A matrix on a dark background.")
def dark_matrix() -> Figure:
    with mpl.rc_context({"figure.facecolor": "black", "text.color": "white"}):
        return hs.figure(explained(CAPITAL), hs.Matrix(), width="acl")


@case("Colours", "Numbers as small as their scale: the line below names the power of ten.")
def small_numbers() -> Figure:
    heat = explained(CAPITAL).select("capital")
    heat = dataclasses.replace(heat, scores=heat.scores / 5000)
    return hs.figure(heat, hs.Matrix(values=True), normalize="none", width="acl")


# --- layout


@case("Layout", "The legend at the right, and a title above all panels.")
def legend_right() -> Figure:
    return hs.figure(
        explained(CAPITAL), hs.Matrix(), legend="right", suptitle="Paris is the capital", width="acl"
    )


@case("Layout", "No legend.")
def no_legend() -> Figure:
    return hs.figure(explained(CAPITAL), targets="capital", legend=False, width="acl")


@case("Layout", "A note and an arrow, placed at a token.")
def note() -> Figure:
    fig = hs.figure(explained(CAPITAL), hs.Highlight(predictions=0), targets="capital", width="acl")
    box = fig.box("France")
    arrow = FancyArrowPatch((0.68, 0.52), ((box.x0 + box.x1) / 2, box.y0), arrowstyle="->", mutation_scale=5)
    arrow.set(transform=fig.transFigure, linewidth=0.5)
    fig.add_artist(arrow)
    fig.text(0.7, 0.45, "the country", fontsize=6)
    return fig


@case("Layout", "A mosaic: the text beside a plot of all scores in order, in a figure of your own.")
def mosaic() -> Figure:
    heat = explained(word="education")
    width, height = hs.measure(heat, width=3.4)
    fig = Figure(figsize=(6.3, max(height, 1.5)))
    hs.figure(heat, ax=fig.add_axes((0, 0, width / 6.3, 1)), align="center")
    bars = fig.add_axes((0.66, 0.38, 0.32, 0.56))
    bars.plot(np.sort(heat.scores[0])[::-1], color="black", linewidth=1)
    bars.tick_params(labelsize=7)
    return fig


@case("Layout", "Type that shrinks until the drawing fits.")
def shrunk() -> Figure:
    fig = Figure(figsize=(3.03, 0.9))
    hs.figure(explained(word="education"), ax=fig.add_axes((0, 0, 1, 1)), shrink=True)
    return fig


# --- two maps


@case("Two maps", "Integrated gradients minus AttnLRP: orange is more, blue is less.")
def difference() -> Figure:
    names = ["integrated_gradients", "attn_lrp"]
    first, second = (explained(method=name, word="education") for name in names)
    return hs.figure(first, hs.Difference(second), width="acl")


@case("Two maps", "Bars on one scale share a zero and a unit length, and are sorted by size.")
def sorted_bars() -> Figure:
    names = ["gradient_norm", "integrated_gradients"]
    maps = [explained(method=name, word="education") for name in names]
    return hs.figure(maps, hs.Bars(top=8, sort="size", predictions=0), ncols=2, width="acl-2col")


@case("Two maps", "Hebrew runs from right to left in arcs and vertical bars, too.")
def hebrew_bars() -> Figure:
    heat = made("הלימוד של דקדוק הוא חלק חשוב", targets=[2])
    return hs.figure([heat, heat], [hs.Arcs(links=3), hs.Bars(vertical=True)], title=["", ""], width="acl")


# --- tables

_EXAMPLE = {"n": 200, "interval": "95 % bootstrap interval"}


@case("Tables", "The words that matter most over many texts (numbers made up, as in all of this chapter).")
def ranking() -> Figure:
    words = ["grammar", "language", "school", "formal", "study", "education", "rules", "learning"]
    value = np.array([0.38, 0.37, 0.33, 0.31, 0.27, 0.26, 0.24, 0.14])
    columns = {"label": words, "value": value, "low": value - 0.03, "high": value + 0.04}
    return hs.figure(hs.Table(columns, "mean share of the row", _EXAMPLE), hs.Ranking(), width="acl")


@case("Tables", "The mean score by distance from the target, for two methods.")
def profile() -> Figure:
    position = np.arange(-8, 9)
    value = np.concatenate([0.3 * np.exp(-abs(position) / 2), 0.25 * np.exp(-abs(position) / 4)])
    group = ["gradient norm"] * 17 + ["integrated gradients"] * 17
    columns = {"position": np.tile(position, 2), "value": value, "group": group}
    columns |= {"low": value * 0.9, "high": value * 1.1}
    return hs.figure(hs.Table(columns, "mean share of the row", _EXAMPLE), hs.Profile(), width="acl")


@case("Tables", "A faithfulness curve, with a random ranking for comparison.")
def curves() -> Figure:
    x = np.linspace(0, 1, 11)
    value = np.concatenate([0.9 * np.exp(-3 * x), 0.9 * np.exp(-2 * x), 0.9 - 0.85 * x])
    group = ["gradient norm"] * 11 + ["lime"] * 11 + ["random"] * 11
    columns = {"x": np.tile(x, 3), "value": value, "low": value * 0.93, "high": value * 1.07, "group": group}
    table = hs.Table(columns, "probability of the target", {"x": "share of tokens removed", **_EXAMPLE})
    return hs.figure(table, hs.Curves(), width="acl")


@case("Tables", "How far methods agree, pair by pair.")
def agreements() -> Figure:
    names = ["gradient norm", "saliency", "integrated gradients", "lime"]
    pairs = list(itertools.combinations(names, 2))
    values = [0.91, 0.34, -0.12, 0.41, 0.05, 0.22]
    columns = {"first": [a for a, _ in pairs], "second": [b for _, b in pairs], "value": values}
    return hs.figure(hs.Table(columns, "mean Spearman’s ρ", {"n": 100}), hs.Agreements(), width="acl")


@case("Tables", "Several metrics for each method, each on an axis of its own.")
def dots() -> Figure:
    methods = ["gradient norm", "integrated gradients", "lime", "random"] * 3
    metrics = ["comprehensiveness"] * 4 + ["sufficiency"] * 4 + ["sensitivity"] * 4
    value = np.array([0.41, 0.52, 0.33, 0.1, 0.2, 0.12, 0.25, 0.6, 2.1, 3.4, 5.0, 9.1])
    columns = {"label": methods, "group": metrics, "value": value, "low": value * 0.9, "high": value * 1.15}
    return hs.figure(hs.Table(columns, "", _EXAMPLE), hs.Dots(), width="acl-2col")


# --- pages


@case("Pages", "A column of an ICML paper, whose captions are smaller.")
def icml() -> Figure:
    return hs.figure(explained(), targets="education", width="icml")


@case("Pages", "A slide.")
def slide() -> Figure:
    return hs.figure(explained(), targets=["education", "schools"], width="slide")


def others() -> Iterator[Case]:
    """Texts in many scripts, if the module with their maps exists."""
    if importlib.util.find_spec("gallery_scripts") is None:
        return
    scripts = importlib.import_module("gallery_scripts").gallery_scripts()
    for name, heat in scripts.items():

        def draw(heat: hs.SaliencyMap = heat) -> Figure:
            return hs.figure(heat, width="acl")

        draw.__name__ = "script_" + name.replace(" ", "_")
        yield Case("Scripts", f"{name.capitalize()}.", draw)


def files(one: Case, folder: Path) -> list[Path]:
    """Draw a case to a PNG file, or to one file per page."""
    drawn = one.draw()
    pages = [drawn] if isinstance(drawn, Figure) else list(drawn)
    found = []
    for i, page in enumerate(pages):
        found.append(folder / f"{one.name}{f'-{i + 1}' * (len(pages) > 1)}.png")
        page.savefig(found[-1], dpi=60 if one.name == "slide" else DPI)
        whole = Image.open(found[-1]).convert("RGB")
        # This way of choosing colours keeps each within 8 of 255, so that ramps stay even.
        small = whole.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        small.save(found[-1], optimize=True)
    return found


def page(cases: Sequence[Case], folder: Path) -> str:
    """The gallery as Markdown."""
    lines = [
        "# Gallery",
        "",
        "Written by [`examples/gallery.py`](../examples/gallery.py), with the model that comes with the package and",
        "some maps made by hand ([`gallery_maps.py`](../examples/gallery_maps.py)). The options are explained in",
        "[figures.md](figures.md).",
    ]
    for chapter, group in itertools.groupby(cases, key=lambda one: one.chapter):
        lines += ["", f"## {chapter}"]
        for one in group:
            names = sorted(p.name for p in folder.glob("*.png") if p.stem.rstrip("-0123456789") == one.name)
            images = " ".join(f"![{one.caption}](figures/gallery/{name})" for name in names)
            lines += ["", one.caption, "", "```python", one.code, "```", "", images]
    return "\n".join(lines) + "\n"


def main(names: Sequence[str]) -> None:
    """Draw all cases or the named ones, and write the page."""
    folder = DOCS / "figures" / "gallery"
    folder.mkdir(parents=True, exist_ok=True)
    cases = [*CASES, *others()]
    for one in cases:
        if not names or one.name in names:
            print(*(path.name for path in files(one, folder)))
    (DOCS / "gallery.md").write_text(page(cases, folder), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
