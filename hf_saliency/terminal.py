"""A SaliencyMap in a terminal: the text in colour, and a table of its targets.

Without colour (a pipe, a file, ``NO_COLOR``) nothing but text is printed: the target stands in brackets then, and the
table names the tokens that its score depends on most.
"""

from __future__ import annotations

import math
import os
import sys
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from hf_saliency.saliency_map import SaliencyMap, TargetRow

FEW = 5  # up to so many targets, the text is printed once for each

# The colours of the figures, without their white: a token without weight keeps the terminal's own background. Black
# ink is read on all of them.
_POSITIVE = ("#fedfc0", "#f9bf8f", "#f19d65", "#e67b3d", "#d9560a")
_NEGATIVE = ("#d1e6f8", "#a6ccee", "#7eb3e1", "#5699d3", "#2f84c9")
_STRONGEST = 3


def console() -> Console:
    """Standard output. Rich drops colours alone for ``NO_COLOR``; here every escape code goes."""
    return Console(color_system=None if os.environ.get("NO_COLOR") else "auto", soft_wrap=False)


def write(to: Console, *renderables: RenderableType) -> None:
    """Print at once. A reader that has closed the pipe is no error: what comes after the printing still happens."""
    with to.capture() as captured:
        for renderable in renderables:
            to.print(renderable)
    encoding = sys.stdout.encoding or "utf-8"
    try:
        sys.stdout.write(captured.get().encode(encoding, "replace").decode(encoding))
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def report(to: Console, saliency_map: SaliencyMap, class_ids: Sequence[int | None]) -> Group:
    """What is printed for one map.

    Parameters
    ----------
    to
        Where it is printed: whether there are colours depends on it.
    saliency_map
        The map.
    class_ids
        The class that each target explains, where it is known; to find it among the predictions.

    Returns
    -------
    Group
        The text, for each target or (of more than five) for the first; the table.
    """
    colored = to.color_system is not None
    weights = strengths(saliency_map)
    count = len(saliency_map.targets)
    parts: list[RenderableType] = []
    for row in range(count if count <= FEW else 1):
        parts += [_heading(saliency_map, row), _text(saliency_map, row, weights[row], colored), ""]
    if colored:
        parts += [_legend(saliency_map.signed), ""]
    return Group(*parts, _table(saliency_map, weights, class_ids, colored))


def strengths(saliency_map: SaliencyMap) -> np.ndarray:
    """Scores as parts of the row's largest magnitude; special tokens, which would hide all else, do not count."""
    plain = np.array([not token.special for token in saliency_map.tokens], dtype=bool)
    scores = np.where(plain & np.isfinite(saliency_map.scores), saliency_map.scores, 0).astype(float)
    largest = np.abs(scores).max(axis=1, initial=0, keepdims=True)
    return np.asarray(scores / np.where(largest == 0, 1, largest))


def strongest(saliency_map: SaliencyMap, row: int, weights: np.ndarray) -> list[tuple[str, float]]:
    """The tokens of largest magnitude, the target's own left out; a token that occurs twice with its number."""
    labels = saliency_map.labels
    often = Counter(labels)
    order = np.argsort(-np.abs(weights), kind="stable").tolist()
    own = saliency_map.targets[row].position
    chosen = [i for i in order if i != own and weights[i] != 0][:_STRONGEST]
    return [
        (visible(labels[i]) + (f"#{i}" if often[labels[i]] > 1 else ""), float(weights[i])) for i in chosen
    ]


def chance(target: TargetRow, class_id: int | None) -> str:
    """The probability of what is explained in percent, or a bound if it is not among the predictions."""
    if target.against is None and target.unit != "logit":
        return percent(target.score if target.unit == "prob" else math.exp(target.score))
    for prediction in target.predictions:
        if prediction.index == class_id:
            return percent(prediction.probability)
    if class_id is None or not target.predictions:
        return ""
    return f"<{percent(target.predictions[-1].probability)}"


def percent(probability: float) -> str:
    """A probability in percent, without the sign."""
    return f"{100 * probability:.1f}"


def visible(text: str) -> str:
    """A text whose control characters cannot act on the terminal; of the same length."""
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    if character in "\n\t" or unicodedata.category(character) != "Cc":
        return character
    return chr(0x2400 + ord(character)) if ord(character) < 0x20 else "\N{REPLACEMENT CHARACTER}"


def _heading(saliency_map: SaliencyMap, row: int) -> Text:
    target = saliency_map.targets[row]
    facts = [] if target.position is None else [f"token {target.position}"]
    facts += ["masked"] if target.masked else []
    facts += [f"{target.unit} {target.score:.2f}"]
    count = len(saliency_map.targets)
    if count > FEW:
        facts += [f"the first of {count} targets, --positions chooses others"]
    return Text.assemble((_name(target), "bold"), f" ({', '.join(facts)})")


def _name(target: TargetRow) -> str:
    label = visible(target.label).replace("\n", " ")
    return label if target.against is None else f"{label} − {visible(target.against)}"


def _text(saliency_map: SaliencyMap, row: int, weights: np.ndarray, colored: bool) -> Text:
    starts = np.cumsum([0, *(len(text) + 1 for text in saliency_map.texts)]).tolist()
    text = Text(visible("\n".join(saliency_map.texts)))
    own = saliency_map.targets[row].position
    for i in np.argsort(np.abs(weights), kind="stable").tolist():  # the strongest last: it is seen where tokens overlap
        token = saliency_map.tokens[i]
        start, end = (starts[token.text] + border for border in (token.start, token.end))
        if colored and not token.special:
            text.stylize(_style(weights[i]), start, end)
        if colored and not np.isfinite(saliency_map.scores[row, i]):
            text.stylize("strike", start, end)
    if own is None or saliency_map.tokens[own].start == saliency_map.tokens[own].end:
        return text
    token = saliency_map.tokens[own]
    start, end = (starts[token.text] + border for border in (token.start, token.end))
    if not colored:
        return Text.assemble(text[:start], "[", text[start:end], "]", text[end:])
    text.stylize("bold underline", start, end)
    return text


def _style(weight: float) -> str:
    level = round(min(abs(weight), 1.0) * len(_POSITIVE))
    return f"black on {(_NEGATIVE if weight < 0 else _POSITIVE)[level - 1]}" if level else ""


def _legend(signed: bool) -> Text:
    steps = [(level + 1) / len(_POSITIVE) for level in range(len(_POSITIVE))]
    values = [*(-step for step in reversed(steps)), *steps] if signed else steps
    chips = [(f" {value * 100:.0f} ", _style(value)) for value in values]
    return Text.assemble(*chips, " % of the target's largest " + ("magnitude" if signed else "score"))


def _table(
    saliency_map: SaliencyMap, weights: np.ndarray, class_ids: Sequence[int | None], colored: bool
) -> Table:
    targets = saliency_map.targets
    most = max((len(target.predictions) for target in targets), default=0)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("#", justify="right")
    table.add_column("target", overflow="fold")
    table.add_column(targets[0].unit if targets else "", justify="right")
    table.add_column("p %", justify="right")
    table.add_column(f"top {most}, %", overflow="fold", ratio=1)
    table.add_column("depends most on, % of largest", overflow="fold", ratio=1)
    for row, (target, class_id) in enumerate(zip(targets, class_ids, strict=True)):
        others = strongest(saliency_map, row, weights[row])
        table.add_row(
            "" if target.position is None else str(target.position),
            Text(_name(target)),
            f"{target.score:.2f}",
            chance(target, class_id),
            _predictions(target, class_id, colored),
            _joined([(f"{label} {100 * w:.0f}", _style(w) if colored else "") for label, w in others]),
        )
    return table


def _predictions(target: TargetRow, class_id: int | None, colored: bool) -> Text:
    """The model's answers; the one that is explained is marked."""
    mark = "" if colored else "*"
    items = []
    for p in target.predictions:
        hit = p.index == class_id
        label = visible(p.label).replace("\n", " ")
        items.append((f"{mark if hit else ''}{label} {percent(p.probability)}", "bold underline" if hit else ""))
    return _joined(items)


def _joined(items: Sequence[tuple[str, str]]) -> Text:
    """Items that a line break does not divide."""
    parts = [Text(text.replace(" ", "\N{NO-BREAK SPACE}"), style) for text, style in items]
    return Text(" " if any(style for _, style in items) else ", ").join(parts)
