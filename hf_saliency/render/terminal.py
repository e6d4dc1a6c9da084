"""Terminal: a SaliencyMap as coloured text, and a table of its targets.

In true colour, the colours are those of pages on a dark or a light background; with 256 colours, similar ones. Without
colour (a pipe, a file, ``NO_COLOR``, or a 16-colour palette, which is user-defined and unordered), only plain text is
printed: the target is in brackets, and the table lists the tokens that its score depends on most.
"""

from __future__ import annotations

import bisect
import math
import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from hf_saliency.maps.spans import signs
from hf_saliency.maps.wording import PERCENT_OF_LARGEST, incomplete_note, target_facts, target_name
from hf_saliency.palette import DARK, LIGHT
from hf_saliency.render.typeset.characters import printable, whole_graphemes

if TYPE_CHECKING:
    from hf_saliency.maps.fields import TargetRow
    from hf_saliency.maps.saliency_map import SaliencyMap

FEW = 5  # up to this many targets, the text is printed once for each

# From weak to strong, by Rich's colour system: from nearly black to bright on a dark background, and from nearly white
# to dark on a light one. A token without weight keeps the terminal's own background. The inks are numbers of the fixed
# palette, since users may redefine "black", "white" and their bold variants.
_DARK_SHADES = {
    "truecolor": (DARK.positive[1:], DARK.negative[1:], DARK.ink),
    "256": (
        ("color(52)", "color(88)", "color(124)", "color(94)", "color(130)"),
        ("color(18)", "color(20)", "color(24)", "color(25)", "color(27)"),
        "color(231)",
    ),
}
_LIGHT_SHADES = {
    "truecolor": (LIGHT.positive[1:], LIGHT.negative[1:], LIGHT.ink),
    "256": (
        ("color(223)", "color(216)", "color(209)", "color(202)", "color(166)"),
        ("color(189)", "color(153)", "color(75)", "color(68)", "color(32)"),
        "color(16)",
    ),
}
_LIGHT_GROUNDS = {"7", "15"}  # of the 16 colours: light grey and white
_LEVELS = 5
_STRONGEST = 3
_GAP = "  "  # between two items in a cell


def console() -> Console:
    """A console on standard output. For ``NO_COLOR``, Rich drops only colours; this drops every escape code."""
    system: Literal["auto"] | None = None if os.environ.get("NO_COLOR") else "auto"
    # The text is printed in a notebook, too, where Rich would display it as HTML.
    terminal = Console(color_system=system, soft_wrap=False, force_jupyter=False)
    if terminal.color_system in _DARK_SHADES:
        return terminal
    return Console(color_system=None, soft_wrap=False, force_jupyter=False)


def write(to: Console, *renderables: RenderableType) -> None:
    """Print everything at once. A closed pipe is not an error: the caller continues as if the text had been printed."""
    with to.capture() as captured:
        for renderable in renderables:
            to.print(Text(renderable) if isinstance(renderable, str) else renderable)
    text = captured.get()
    if to.color_system is None:
        text = "".join(f"{line.rstrip()}\n" for line in text.splitlines())  # Rich fills cells with spaces
    encoding = sys.stdout.encoding or "utf-8"
    try:
        sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def report(to: Console, saliency_map: SaliencyMap, option: str = "--positions") -> Group:
    """The report on one map: the text, for each target or (if there are more than five) for the first, and the table.

    Colours depend on the console. ``option`` is the option to name for selecting others if only the first is printed.
    """
    colored = to.color_system in _DARK_SHADES
    system = to.color_system or ""
    weights = strengths(saliency_map)
    count = len(saliency_map.targets)
    parts: list[RenderableType] = []
    for row in range(count if count <= FEW else 1):
        parts += [_heading(saliency_map, row, option), _text(saliency_map, row, weights[row], system), ""]
    note = incomplete_note(saliency_map)
    if note:
        parts += [Text(printable(note)), ""]
    if colored:
        parts += [_legend(saliency_map.signed, system), ""]
    return Group(*parts, _table(saliency_map, weights, colored))


def strengths(saliency_map: SaliencyMap) -> np.ndarray:
    """Scores as fractions of the row's largest; special tokens are 0, since they would outshine all others."""
    plain = np.array([not token.special for token in saliency_map.tokens], dtype=bool)
    scores = np.where(plain & np.isfinite(saliency_map.scores), saliency_map.scores, 0).astype(float)
    largest = np.abs(scores).max(axis=1, initial=0, keepdims=True)
    return np.asarray(scores / np.where(largest == 0, 1, largest))


def strongest(saliency_map: SaliencyMap, row: int, weights: np.ndarray) -> list[tuple[str, float]]:
    """The tokens with the largest magnitudes except the target's own; a token that occurs twice has its index."""
    labels = saliency_map.labels
    counts = Counter(labels)
    order = np.argsort(-np.abs(weights), kind="stable").tolist()
    positions = saliency_map.targets[row].positions
    chosen = [i for i in order if i not in positions and weights[i] != 0][:_STRONGEST]
    return [
        (printable(labels[i]) + (f"#{i}" if counts[labels[i]] > 1 else ""), float(weights[i])) for i in chosen
    ]


def chance(target: TargetRow) -> str:
    """The probabilities of the explained class and its contrast in percent, or the best bound that is known."""
    if target.probability is not None:
        pair = (target.probability, target.against_probability)
        return ", ".join(_exact_percent(probability) for probability in pair if probability is not None)
    if target.against is None and target.unit in ("prob", "log_prob"):
        return percent(target.score if target.unit == "prob" else math.exp(target.score))
    for prediction in target.predictions:
        if prediction.class_id == target.class_id:
            return percent(prediction.probability)
    if target.class_id is None or not target.predictions:
        return ""
    return f"<{percent(target.predictions[-1].probability)}"


def _exact_percent(probability: float) -> str:
    """A probability in percent, with a second decimal if one would round it to 0, and ``<0.01`` if both would."""
    if probability >= 0.0005:
        return percent(probability)
    return f"{100 * probability:.2f}" if probability >= 0.00005 else "<0.01"


def percent(probability: float) -> str:
    """A probability in percent, without the sign."""
    return f"{100 * probability:.1f}"


def _heading(saliency_map: SaliencyMap, row: int, option: str) -> Text:
    target = saliency_map.targets[row]
    facts = [] if target.position is None else [f"token {target.position}"]
    facts += [target_facts(target)]
    count = len(saliency_map.targets)
    others = f", the first of {count} targets; see {option}" if count > FEW else ""
    return Text.assemble((_name(target), "bold"), f" ({', '.join(facts)}){others}")


def _name(target: TargetRow) -> str:
    return printable(target_name(target)).replace("\n", " ")


def _text(saliency_map: SaliencyMap, row: int, weights: np.ndarray, system: str) -> Text:
    named = zip(_names(saliency_map), saliency_map.texts, strict=True)
    characters = list(printable("\n".join(name + content for name, content in named)))
    breaks = _line_breaks(saliency_map)
    for i in breaks:
        characters[i] = signs("\n") + "\n"
    text = Text("".join(characters))

    def place(column: int) -> tuple[int, int]:
        """The span of a token, shifted by the line-break signs inserted before it."""
        start, end = _place(saliency_map, column)
        return start + bisect.bisect_left(breaks, start), end + bisect.bisect_left(breaks, end)

    places = [place(column) for column in saliency_map.targets[row].positions]
    order = np.argsort(np.abs(weights), kind="stable").tolist()
    for i in order if system in _DARK_SHADES else []:  # the strongest last, since tokens may overlap
        start, end = place(i)
        if not saliency_map.tokens[i].special:
            text.stylize(_style(weights[i], system), start, end)
        if not np.isfinite(saliency_map.scores[row, i]):
            text.stylize("strike", start, end)
    start, end = (min(a for a, _ in places), max(b for _, b in places)) if places else (0, 0)
    if start < end and system in _DARK_SHADES:
        text.stylize("bold underline", start, end)
    elif start < end:
        return Text.assemble(text[:start], "[", text[start:end], "]", text[end:])
    return text


def _place(saliency_map: SaliencyMap, column: int) -> tuple[int, int]:
    """The span of a token in all texts, one per line, in whole characters: Rich loses parts of emoji in two styles."""
    token = saliency_map.tokens[column]
    before = _start(saliency_map, token.text_index)
    if token.start == token.end:
        return before, before
    start, end = whole_graphemes(saliency_map.texts[token.text_index], token.start, token.end)
    return before + start, before + end


def _start(saliency_map: SaliencyMap, number: int) -> int:
    """The start of a text in all texts with their names, one per line."""
    names = _names(saliency_map)[: number + 1]
    return sum(len(text) + 1 for text in saliency_map.texts[:number]) + sum(map(len, names))


def _line_breaks(saliency_map: SaliencyMap) -> list[int]:
    """The line breaks, in all texts, that belong to tokens; those between tokens have no score and no sign."""
    places = set()
    for token in saliency_map.tokens:
        covered = saliency_map.texts[token.text_index][token.start : token.end]
        if "\n" in covered and covered.isspace():
            first = _start(saliency_map, token.text_index) + token.start
            places |= {first + i for i, character in enumerate(covered) if character == "\n"}
    return sorted(places)


def _names(saliency_map: SaliencyMap) -> list[str]:
    """The prefix of each text: its name and a colon."""
    names = saliency_map.text_names or [""] * len(saliency_map.texts)
    return [f"{name}: " if name else "" for name in names]


def _shades() -> dict[str, tuple[tuple[str, ...], tuple[str, ...], str]]:
    """The colours for the terminal's background, which some terminals set in COLORFGBG; the default is dark."""
    ground = os.environ.get("COLORFGBG", "").rpartition(";")[2]
    return _LIGHT_SHADES if ground in _LIGHT_GROUNDS else _DARK_SHADES


def _style(weight: float, system: str) -> str:
    level = round(min(abs(weight), 1.0) * _LEVELS)
    positive, negative, ink = _shades()[system]
    return f"{ink} on {(negative if weight < 0 else positive)[level - 1]}" if level else ""


def _legend(signed: bool, system: str) -> Text:
    steps = [(level + 1) / _LEVELS for level in range(_LEVELS)]
    values = [*(-step for step in reversed(steps)), *steps] if signed else steps
    chips = [(f" {value * 100:.0f} ", _style(value, system)) for value in values]
    return Text.assemble(*chips, f" {PERCENT_OF_LARGEST}")


def _table(saliency_map: SaliencyMap, weights: np.ndarray, colored: bool) -> Table:
    targets = saliency_map.targets
    most = max((len(target.predictions) for target in targets), default=0)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("#", justify="right")
    table.add_column("target", overflow="fold")
    table.add_column(targets[0].unit if targets else "", justify="right")
    table.add_column("p %", justify="right")
    if most:
        table.add_column(f"top {most}, %", overflow="fold", ratio=1)
    table.add_column("depends on, % of max", overflow="fold", ratio=1)
    for row, target in enumerate(targets):
        others = strongest(saliency_map, row, weights[row])
        table.add_row(
            "" if target.position is None else str(target.position),
            Text(_name(target)),
            f"{target.score:.2f}",
            chance(target),
            *([_predictions(target, colored)] if most else []),
            _Items([Text(f"{label} {100 * weight:.0f}") for label, weight in others]),
        )
    return table


def _predictions(target: TargetRow, colored: bool) -> _Items:
    """The model's answers, with the explained one marked."""
    items = []
    for prediction in target.predictions:
        hit = prediction.class_id == target.class_id
        mark, style = ("", "bold underline") if colored else ("*", "")
        label = printable(prediction.label).replace("\n", " ")
        shown = f"{label} {percent(prediction.probability)}"
        items.append(Text(mark + shown, style) if hit else Text(shown))
    return _Items(items)


@dataclass(frozen=True)
class _Items:
    """A cell whose items are never broken across lines; Rich would break them at any space."""

    items: Sequence[Text]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        line = Text()
        for item in self.items:
            if line and line.cell_len + len(_GAP) + item.cell_len > options.max_width:
                yield line
                line = Text()
            line = Text.assemble(line, _GAP if line else "", item)  # the item's style ends with the item
        yield line

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        widths = [item.cell_len for item in self.items] or [0]
        return Measurement(max(widths), sum(widths) + len(_GAP) * (len(widths) - 1))
