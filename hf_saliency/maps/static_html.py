"""Static HTML: a map or a table as the few lines that a notebook displays.

They have no script and no style sheet, which untrusted notebooks strip, no link and no image. They set background and
text colour themselves: it is not known here whether the notebook is dark, and there white would not be neutral.
"""

from __future__ import annotations

import html
import math
import unicodedata
from collections.abc import Mapping, Sequence, Set
from typing import TYPE_CHECKING

import numpy as np

from hf_saliency.maps import wording
from hf_saliency.maps.spans import signs
from hf_saliency.palette import LIGHT

if TYPE_CHECKING:
    from hf_saliency.maps.saliency_map import SaliencyMap


_TARGETS = 3
_ANSWERS = 3
_TOKENS = 400
_CELLS = 600  # targets x tokens, for further targets
_SHADES = 10
_LETTERS = 60  # in a cell of a table
_CARD = f"background-color:{LIGHT.ground};color:{LIGHT.ink};padding:0.5em 0.75em;border-radius:4px"
_BLOCK = "margin:0.4em 0;line-height:1.7;white-space:pre-wrap;overflow-wrap:anywhere"


def static_html(saliency_map: SaliencyMap) -> str:
    """Colour at most 400 tokens of the text for each of the first three targets, and add a legend; fold other targets.

    Special tokens are hidden, and the colour scale ignores them.
    """
    m = saliency_map
    rows = "".join(_target(m, row) for row in range(min(len(m.targets), _TARGETS)))
    left = len(m.targets) - _TARGETS
    more = _more(m) if left > 0 else ""
    model = f", {_escaped(str(m.provenance['model']))}" if "model" in m.provenance else ""
    shape = f"{len(m.targets)} x {len(m.tokens)}"
    return (
        f'<div style="{_CARD}"><div><b>SaliencyMap</b> {shape}, {_escaped(wording.method_name(m.method))}{model}</div>'
        f"{rows}{more}{_legend(m) if rows else ''}</div>"
    )


def static_table(
    about: str, facts: str, columns: Mapping[str, Sequence[str]], text: Set[str], more: str
) -> str:
    """A table of printed cells between lines about it; the columns named in ``text`` are aligned left."""
    style = {
        name: f'style="padding:0 1em 0 0;text-align:{"left" if name in text else "right"}"'
        for name in columns
    }
    heads = "".join(f'<th scope="col" {style[name]}>{_cell(name)}</th>' for name in columns)
    rows = "".join(
        "<tr>"
        + "".join(f"<td {style[name]}>{_cell(cell)}</td>" for name, cell in zip(columns, row, strict=True))
        + "</tr>"
        for row in zip(*columns.values(), strict=True)
    )
    measured = f"<div>{_escaped(facts)}</div>" if facts else ""
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>" if columns else ""
    end = f"<div>{_escaped(more)}</div>" if more else ""
    return f'<div style="{_CARD}"><div><b>Table</b> {_escaped(about)}</div>{measured}{table}{end}</div>'


def _cell(text: str) -> str:
    """A cell, cut if it is long; the spaces that align decimal points become as wide as digits."""
    cut = text if len(text) <= _LETTERS else f"{text[: _LETTERS - 1]}…"
    number = cut.rstrip(" ")
    return _escaped(number) + "\N{FIGURE SPACE}" * (len(cut) - len(number))


def _more(m: SaliencyMap) -> str:
    """The other targets, folded: as many as a notebook displays easily."""
    left = len(m.targets) - _TARGETS
    shown = min(left, _CELLS // max(1, min(len(m.tokens), _TOKENS)))
    rows = "".join(_target(m, row) for row in range(_TARGETS, _TARGETS + shown))
    note = f"<div>{left - shown} more are not shown here: hf_saliency.page(saliency_map) shows all.</div>" * (
        shown < left
    )
    more = wording.counted(left, "more target")
    return f"<details><summary>and {more}</summary>{rows}{note}</details>"


def _target(m: SaliencyMap, row: int) -> str:
    target = m.targets[row]
    answers = ", ".join(f"{_escaped(p.label)} {p.probability:.2f}" for p in target.predictions[:_ANSWERS])
    facts = ", ".join(
        part for part in (wording.target_facts(target, _ANSWERS), wording.incomplete_words(m, row)) if part
    )
    about = f"{f', {facts}' if facts else ''}{f'; predicted: {answers}' if answers else ''}"
    label = _escaped(target.label) + ("" if target.against is None else f" − {_escaped(target.against)}")
    return f'<div style="{_BLOCK}"><b>{label}</b>{about}<div dir="auto">{_text(m, row)}</div></div>'


def _text(m: SaliencyMap, row: int) -> str:
    """The texts with each token on its colour; where tokens share characters, the strongest is shown."""
    strengths = _strengths(m, row)
    painted: list[list[float | None]] = [[None] * len(text) for text in m.texts]
    places: set[tuple[int, int]] = set()
    for i in np.argsort(np.abs(np.nan_to_num(strengths)), kind="stable").tolist():
        token = m.tokens[i]
        for c in range(token.start, token.end):
            painted[token.text_index][c] = float(strengths[i])
            if i in m.targets[row].positions:
                places.add((token.text_index, c))
    end = m.tokens[_TOKENS] if len(m.tokens) > _TOKENS else None
    lines = []
    for number, text in enumerate(m.texts):
        cut = len(text) if end is None or number < end.text_index else end.start * (number == end.text_index)
        marks = [(_style(painted[number][c], (number, c) in places)) for c in range(cut)]
        name = f"<i>{_escaped(m.text_names[number])}:</i> " if m.text_names and m.text_names[number] else ""
        # A line break that a token covers has a score, and a sign to show it on.
        shown = [
            signs(character) + character
            if character == "\n" and painted[number][c] is not None
            else character
            for c, character in enumerate(text[:cut])
        ]
        lines.append(name + _runs(shown, marks) + ("…" if cut < len(text) else ""))
    return "<br>".join(lines)


def _runs(characters: list[str], styles: list[str]) -> str:
    """One HTML span for each run of characters of one style."""
    pieces, start = [], 0
    for c in range(1, len(characters) + 1):
        if c == len(characters) or styles[c] != styles[start]:
            run = _escaped("".join(characters[start:c]), lines=True)
            pieces.append(f'<span style="{styles[start]}">{run}</span>' if styles[start] else run)
            start = c
    return "".join(pieces)


def _strengths(m: SaliencyMap, row: int) -> np.ndarray:
    """Scores divided by the largest magnitude, without special tokens; NaN where a score is not finite."""
    scores = np.where(np.isfinite(m.scores[row]), m.scores[row], np.nan).astype(float)
    scores[[token.special for token in m.tokens]] = 0
    largest = float(np.abs(np.nan_to_num(scores)).max(initial=0))
    return np.asarray(scores / (largest or 1.0))


def _style(strength: float | None, target: bool) -> str:
    frame = "outline:1.5px solid;" if target else ""
    if strength is None:
        return frame
    if math.isnan(strength):
        return f"{frame}text-decoration:line-through"
    step = math.floor(abs(strength) * _SHADES + 0.5) / _SHADES
    return f"{frame}background-color:{LIGHT.color(math.copysign(step, strength))}" if step else frame


def _legend(m: SaliencyMap) -> str:
    steps = [-10, -8, -6, -4, -2, 2, 4, 6, 8, 10] if m.signed else [2, 4, 6, 8, 10]
    numbers = [(step / _SHADES, f"{100 * step // _SHADES}".replace("-", "−")) for step in steps]
    chips = "".join(f'<span style="{_style(v, False)};padding:0 0.4em">{text}</span>' for v, text in numbers)
    return f"<div>{chips} {wording.PERCENT_OF_LARGEST}</div>"


def _escaped(text: str, lines: bool = False) -> str:
    """Harmless text: markup escaped, direction isolated, no characters that HTML forbids."""
    kept = "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t" else c
        for c in text
    )
    safe = html.escape(kept if lines else " ".join(kept.split("\n")), quote=True)
    return safe if lines else f"<bdi>{safe}</bdi>"
