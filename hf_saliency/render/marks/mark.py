"""Mark: the protocol for a way to draw a map."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

from matplotlib.axes import Axes

from hf_saliency.errors import SaliencyError
from hf_saliency.maps import spans
from hf_saliency.maps.fields import Prediction, TargetRow
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.maps.wording import probabilities_beside
from hf_saliency.render import points
from hf_saliency.render.colors import Colors, decimals, muted
from hf_saliency.render.passage import erased, isolated, visible
from hf_saliency.render.typeset import bidi
from hf_saliency.render.typeset.typeface import Typeface

PART = 5.0  # points between two texts of a map


@runtime_checkable
class Mark(Protocol):
    """A frozen dataclass of options with these three methods; anyone may write one."""

    def shown(self, saliency_map: SaliencyMap) -> SaliencyMap:
        """Return the part of a map that this mark draws; limits and normalisation are computed from it alone."""

    def height(self, saliency_map: SaliencyMap, colors: Colors, width: float) -> float:
        """Return the height in points that the drawing needs at a width in points."""

    def draw(self, ax: Axes, saliency_map: SaliencyMap, colors: Colors) -> None:
        """Draw the map over the whole of an Axes; its data limits are neither used nor changed."""


@dataclass(frozen=True)
class Strip:
    """A strip across the full width of a drawing that no page break may cut."""

    height: float  # in points
    # Draws into an Axes, at a distance in points from its upper edge. None for a gap, which is left out at the edges
    # of a page.
    draw: Callable[[Axes, float], None] | None
    keep: bool = False  # the next strip must be on the same page


@runtime_checkable
class Divisible(Mark, Protocol):
    """A mark that can be drawn across pages."""

    def strips(self, saliency_map: SaliencyMap, colors: Colors, width: float) -> Sequence[Strip]:
        """Return the strips of the drawing from top to bottom, at a width in points."""


def shown(saliency_map: SaliencyMap, *, special: bool, words: bool, white_space: bool = True) -> SaliencyMap:
    """Return a map with all rows and the columns that are drawn; raise SaliencyError if no column is left."""
    # drop_special() would also drop the targets that are read at a special token, such as the first word of a causal
    # model, which is read at the begin-of-text token. A figure draws every target that was selected for it.
    whole = saliency_map.words() if words else saliency_map
    columns = [i for i, token in enumerate(whole.tokens) if special or not token.special]
    if not white_space:
        columns = [i for i in columns if not _is_blank(whole, i)]
    if not columns:
        kinds, options = "special tokens", "special=True"
        if not white_space:
            kinds, options = "special tokens or white space", "special=True, white_space=True"
        raise SaliencyError(
            f"all tokens of this map are {kinds}, which are hidden; to show them: "
            f"figure(..., mark=Highlight({options}))."
        )
    part = whole.part(range(len(whole.targets)), columns)
    return part if special else erased(part, [token for token in whole.tokens if token.special])


def _is_blank(saliency_map: SaliencyMap, column: int) -> bool:
    token = saliency_map.tokens[column]
    return saliency_map.texts[token.text_index][token.start : token.end].isspace()


def breaks(part: SaliencyMap) -> tuple[int, ...]:
    """The columns at which another text begins."""
    pairs = enumerate(itertools.pairwise(part.tokens), start=1)
    return tuple(i for i, (before, token) in pairs if before.text_index != token.text_index)


def runs_backwards(part: SaliencyMap) -> bool:
    """Whether the first text is read from right to left."""
    return bidi.base_level(part.texts[0]) % 2 == 1


def name(label: str) -> str:
    """Return a label on one line, stripped of white space at its ends unless it is only white space."""
    return visible(label.strip() or label)


def word_labels(part: SaliencyMap) -> list[tuple[range, str]]:
    """Return the columns and the label of each word; an empty list if every token is a word."""
    groups = spans.word_groups(part.texts, part.tokens)
    apart = any(group[-1] - group[0] + 1 > len(group) for group in groups)  # when bars are sorted by size
    if apart or all(len(group) == 1 for group in groups):
        return []
    words = []
    for group in groups:
        pieces = [part.tokens[i] for i in group]
        text = part.texts[pieces[0].text_index][min(t.start for t in pieces) : max(t.end for t in pieces)]
        words.append((range(group[0], group[-1] + 1), name(text) or pieces[0].piece))
    return words


def draw_strips(ax: Axes, strips: Sequence[Strip]) -> None:
    """Draw strips one below another from the upper edge."""
    y = 0.0
    for strip in strips:
        if strip.draw is not None:
            strip.draw(ax, y)
        y += strip.height


_GAP = 4.0  # points between two headings


def text_heading(saliency_map: SaliencyMap, number: int) -> str:
    """The name of a text, or an empty string."""
    return name(saliency_map.text_names[number]) if saliency_map.text_names else ""


def text_headings(part: SaliencyMap) -> dict[int, str]:
    """Map the column at which each text begins to the text's name; empty if no text has a name."""
    if not any(part.text_names):
        return {}
    return {column: text_heading(part, part.tokens[column].text_index) for column in (0, *breaks(part))}


def fitting(
    names: Mapping[int, str], start: Callable[[int], float], right: float, typeface: Typeface
) -> list[tuple[float, str]]:
    """Place names of texts on one line, each at the left end of its column; leave out a name wider than its text.

    ``start`` returns the left end of a column in points; ``right`` is the end of the last column.
    """
    places = [start(column) for column in names]
    ends = [*(place - points.scaled(_GAP) for place in places), right][1:]
    names_at = zip(places, ends, names.values(), strict=True)
    return [(x, text) for x, end, text in names_at if text and x + typeface.advance(text) <= end]


def write_heading(ax: Axes, x: float, y: float, text: str, typeface: Typeface) -> None:
    """Write a heading with its upper left corner at a point."""
    points.write(ax, x, y + typeface.ascent, text, typeface, color=muted())


SMALLER = 1.2  # size of the text divided by that of the caption
# A label with text in both directions is one word, so that its direction controls stay together.
_WORD = re.compile(r"\u2068[^\u2069]*\u2069\S*|\S+")
_SPACE = 5.0  # points between two items
_MARK = "\u200f"  # text that begins with it runs from right to left


@dataclass(frozen=True)
class Caption:
    """Items one after another, on as many lines as they need; an item longer than a line is cut."""

    items: Sequence[str]
    typeface: Typeface
    width: float  # in points
    backwards: bool = False  # lines begin at the right

    @property
    def height(self) -> float:
        """Height in points, including the gap above; 0 without items."""
        return self._gap + self.typeface.line * (self._places[-1][1] + 1) if self.items else 0.0

    def draw(self, ax: Axes, x: float, y: float) -> None:
        """Draw the items from an upper left corner in points."""
        for item, (along, line) in zip(self._cut, self._places, strict=True):
            baseline = y + self._gap + self.typeface.ascent + line * self.typeface.line
            right = self.width - along - self.typeface.advance(item) if self.backwards else along
            points.write(ax, x + right, baseline, item, self.typeface)

    @cached_property
    def _cut(self) -> list[str]:
        return [self.typeface.elide(item, self.width) for item in self.items]

    @cached_property
    def _places(self) -> list[tuple[float, int]]:
        return points.flow(
            [self.typeface.advance(item) for item in self._cut], self.width, points.scaled(_SPACE)
        )

    @property
    def _gap(self) -> float:
        return self.typeface.points / 4


def target_name(target: TargetRow, answers: int = 0) -> str:
    """Return the name of a target: its label and, for a contrast, the label that it is compared with.

    Each has its probability if the first ``answers`` predictions do not show it. A target whose unit is a value, not a
    logit, has no predictions, so its value is shown here.
    """
    explained, other = (*(f" {p}" for p in probabilities_beside(target, answers)), "", "")[:2]
    against = "" if target.against is None else f" against {isolated(name(target.against))}{other}"
    value = f" = {decimals(target.score)}" if target.unit == "value" and math.isfinite(target.score) else ""
    return isolated(name(target.label)) + explained + against + value


def answers(target: TargetRow, count: int) -> list[str]:
    """The model's best answers with their probabilities."""
    texts = [prediction_text(p) for p in target.predictions[:count]]
    return [f"{isolated(label)} {probability}" for label, probability in texts]


def folded(text: str, typeface: Typeface, width: float, most: int = 2) -> list[str]:
    """Break a text between words into as many lines as it needs, up to ``most``; cut a line only if it is too long."""
    lines: list[str] = []
    for word in _WORD.findall(text):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and (len(lines) == most or typeface.advance(longer) <= width):
            lines[-1] = longer
        else:
            lines.append(word)
    return [typeface.elide(line, width) for line in lines] or [""]


def target_items(target: TargetRow, count: int, *, backwards: bool = False) -> list[str]:
    """The name of the target and the model's answers; with ``backwards``, each item is read from right to left."""
    if backwards:
        return _from_right(target, count)
    predictions = answers(target, count)
    return [f"{target_name(target, count)} →", *predictions] if predictions else [target_name(target)]


def _from_right(target: TargetRow, count: int) -> list[str]:
    texts = [prediction_text(p) for p in target.predictions[:count]]
    # Isolates stop a Latin label from moving the number to its right, and a "<" from being mirrored.
    items = [f"{_MARK}\u2068{label}\u2069 \u2066{probability}\u2069" for label, probability in texts]
    return [f"{_MARK}{target_name(target, count)}{' ←' * bool(items)}", *items]


def prediction_text(prediction: Prediction) -> tuple[str, str]:
    """The label and the probability of a prediction, as printed."""
    probability = "<0.01" if prediction.probability < 0.005 else decimals(prediction.probability)
    return name(prediction.label), probability
