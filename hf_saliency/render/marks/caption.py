"""Caption: the target of a block and the model's best answers, in small type."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from matplotlib.axes import Axes

from hf_saliency.render import points
from hf_saliency.render.marks.mark import name
from hf_saliency.render.numerals import decimals
from hf_saliency.render.passage import isolated
from hf_saliency.render.typeface import Typeface
from hf_saliency.saliency_map import Prediction, TargetRow

SMALLER = 1.2  # the text's size over that of the caption
# A label that runs both ways is one word: its marks of direction belong together.
_WORD = re.compile(r"\u2068[^\u2069]*\u2069\S*|\S+")
_SPACE = 5.0  # points between two items
_MARK = "\u200f"  # what it begins runs from right to left


@dataclass(frozen=True)
class Caption:
    """Items one after another, on one line or on several where one is too short.

    Parameters
    ----------
    items
        Each is cut if it is longer than the line.
    typeface
        Of the caption.
    width
        In points.
    backwards
        Whether lines begin on the right.
    """

    items: Sequence[str]
    typeface: Typeface
    width: float
    backwards: bool = False

    @property
    def height(self) -> float:
        """In points, with a gap above; 0 without items."""
        return self._gap + self.typeface.line * (self._places[-1][1] + 1) if self.items else 0.0

    def draw(self, ax: Axes, x: float, y: float) -> None:
        """Draw from an upper left corner in points."""
        for item, (along, line) in zip(self._cut, self._places, strict=True):
            baseline = y + self._gap + self.typeface.ascent + line * self.typeface.line
            right = self.width - along - self.typeface.advance(item) if self.backwards else along
            points.write(ax, x + right, baseline, item, self.typeface)

    @cached_property
    def _cut(self) -> list[str]:
        return [self.typeface.elide(item, self.width) for item in self.items]

    @cached_property
    def _places(self) -> list[tuple[float, int]]:
        return points.flow([self.typeface.advance(item) for item in self._cut], self.width, _SPACE)

    @property
    def _gap(self) -> float:
        return self.typeface.points / 4


def target_name(target: TargetRow) -> str:
    """What is explained, and against what; a value that is no logit has no predictions and stands here."""
    against = "" if target.against is None else f" against {isolated(name(target.against))}"
    value = f" = {decimals(target.score)}" if target.unit == "value" and math.isfinite(target.score) else ""
    return isolated(name(target.label)) + against + value


def answers(target: TargetRow, count: int) -> list[str]:
    """The model's best answers with their probabilities."""
    texts = [prediction_text(p) for p in target.predictions[:count]]
    return [f"{isolated(label)} {probability}" for label, probability in texts]


def folded(text: str, typeface: Typeface, width: float, most: int = 2) -> list[str]:
    """A text on as many lines as it needs, up to ``most``: broken between words, and cut only where it has to be."""
    lines: list[str] = []
    for word in _WORD.findall(text):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and (len(lines) == most or typeface.advance(longer) <= width):
            lines[-1] = longer
        else:
            lines.append(word)
    return [typeface.elide(line, width) for line in lines] or [""]


def target_items(target: TargetRow, count: int, *, backwards: bool = False) -> list[str]:
    """The target, and what the model answers; each item is read from the right if asked."""
    if backwards:
        return _from_right(target, count)
    found = answers(target, count)
    return [f"{target_name(target)} →", *found] if found else [target_name(target)]


def _from_right(target: TargetRow, count: int) -> list[str]:
    texts = [prediction_text(p) for p in target.predictions[:count]]
    # Isolates keep a Latin label from taking the number to its own right, and a "<" from being mirrored.
    found = [f"{_MARK}\u2068{label}\u2069 \u2066{probability}\u2069" for label, probability in texts]
    return [f"{_MARK}{target_name(target)}{' ←' * bool(found)}", *found]


def prediction_text(prediction: Prediction) -> tuple[str, str]:
    """A prediction's label and its probability, as they are printed."""
    probability = "<0.01" if prediction.probability < 0.005 else decimals(prediction.probability)
    return name(prediction.label), probability
