"""Choice: the target of multiple choice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hf_saliency.adapter import tasks
from hf_saliency.adapter.encoding import Encoding, joined
from hf_saliency.adapter.layouts import Stacked
from hf_saliency.adapter.reading import Reading, text_logits
from hf_saliency.adapter.rows import PREDICTED, Read, Row
from hf_saliency.adapter.targets.target import Target, check_unit
from hf_saliency.adapter.text_model import Overflow, TextModel
from hf_saliency.errors import SaliencyError
from hf_saliency.given import integer
from hf_saliency.terms import Scale


@dataclass(frozen=True)
class Choice(Target):
    """A multiple choice model's score of one of the choices; by default of the one that it predicts.

    What is explained is a tuple ``(prompt, first choice, second choice, ...)``. The model reads the prompt with each
    choice, so the map shows the prompt as often as there are choices. Figures number these from 1: "choice 1 of 2".

    Parameters
    ----------
    choice
        The number of a choice, from 0, or its text. None for the most probable one.
    against
        A choice whose score is subtracted (a contrast).
    unit
        ``"logit"``, ``"log_prob"`` (nats) or ``"prob"``.

    Raises
    ------
    SaliencyError
        For an unknown unit. Explaining raises it if there is no such choice.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> from transformers import BertForMultipleChoice
    >>> model, tokenizer = hs.load_demo()
    >>> explainer = hs.Explainer(BertForMultipleChoice(model.config), tokenizer)  # untrained
    >>> given = ("She was thirsty,", "so she drank.", "so she slept.")
    >>> explainer(given, target=hs.Choice("so she drank.", against="so she slept.")).targets[0].against
    'so she slept.'
    """

    task = tasks.CHOICE

    choice: int | str | None = None
    against: int | str | None = None
    unit: Scale = "logit"

    def __post_init__(self) -> None:
        check_unit(self.unit)

    def encode(self, given: Any, model: TextModel, overflow: Overflow) -> Encoding:
        if not (isinstance(given, tuple) and len(given) > 2):
            raise SaliencyError(
                "Choice explains a prompt and two choices or more: explainer((prompt, 'one', 'another'))."
            )
        prompt, *choices = given
        return joined([model.encode(prompt, overflow, pair=one) for one in choices])

    def rows(self, encoding: Encoding, model: TextModel) -> list[Row]:
        chosen = PREDICTED if self.choice is None else _number(self.choice, encoding)
        against = None if self.against is None else _number(self.against, encoding)
        return [Row(encoding, (Read(chosen, 0, against),))]

    def reading(self, model: TextModel, parts: int = 1) -> Reading:
        return Reading(text_logits, self.unit, layout=Stacked(parts))

    def text_names(self, encoding: Encoding, model: TextModel) -> tuple[str, ...]:
        count = len(encoding.parts)
        return tuple(name for i in range(count) for name in ("prompt", f"choice {i + 1} of {count}"))

    def class_name(self, index: int, row: Row, model: TextModel) -> str:
        return row.encoding.texts[2 * index + 1]


def _number(choice: int | str, encoding: Encoding) -> int:
    choices = encoding.texts[1::2]
    if isinstance(choice, str) and choice in choices:
        return choices.index(choice)
    number = integer(choice)
    if number is not None and 0 <= number < len(choices):
        return number
    raise SaliencyError(f"there is no choice {choice!r}: there are {', '.join(map(repr, choices))}.")
