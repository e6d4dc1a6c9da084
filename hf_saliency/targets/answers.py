"""AnswerSpan: the target of question answering."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from hf_saliency.adapter import tasks
from hf_saliency.adapter.encoding import Encoding, joined
from hf_saliency.adapter.streams import Stacked
from hf_saliency.adapter.text_model import Overflow, TextModel
from hf_saliency.errors import SaliencyError, Scale, integer, one_of
from hf_saliency.maps import spans
from hf_saliency.targets.readout import Readout, span_logits, text_logits
from hf_saliency.targets.target import (
    PREDICTED,
    LogitRef,
    Row,
    Target,
    contrasts,
    is_token,
    settle_contrasts,
    settle_strings,
)
from hf_saliency.targets.where import is_range


@dataclass(frozen=True)
class Choice(Target):
    """A multiple choice model's score of one of the choices; by default, the one that it predicts.

    Explain a tuple ``(prompt, first choice, second choice, ...)``. The model reads the prompt with each choice, so the
    map shows the prompt once for each choice. Figures number the choices from 1: "choice 1 of 2".

    Parameters
    ----------
    choice
        The number of a choice, from 0, or its text. None for the most probable one.
    against
        A choice whose score is subtracted (a contrast); a list makes one target for each entry, in this order.
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
    kind = "choice"
    text_counts = (3, 10**6)

    choice: int | str | None = None
    against: int | str | Sequence[int | str] | None = None
    unit: Scale = "logit"

    def __post_init__(self) -> None:
        settle_strings(self)
        settle_contrasts(self, is_token, "give the number of a choice, from 0, or its text")

    def encode(self, texts: Any, model: TextModel, overflow: Overflow) -> Encoding:
        if not (isinstance(texts, tuple) and len(texts) > 2):
            raise SaliencyError(
                "Choice explains a prompt and two choices or more: explainer((prompt, 'one', 'another'))."
            )
        prompt, *choices = texts
        return joined([model.encode(prompt, overflow, pair=choice) for choice in choices])

    def rows(self, encoding: Encoding, model: TextModel) -> list[Row]:
        chosen = PREDICTED if self.choice is None else _number(self.choice, encoding)
        others = [None if each is None else _number(each, encoding) for each in contrasts(self.against)]
        return [Row(encoding, (LogitRef(chosen, 0, against),)) for against in others]

    def readout(self, model: TextModel, parts: int = 1) -> Readout:
        return Readout(text_logits, self.unit, layout=Stacked(parts))

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


Ends = Literal["both", "start", "end"]
_LONGEST = 30  # tokens of a predicted answer


@dataclass(frozen=True)
class AnswerSpan(Target):
    """A question answering model's score of an answer: its first token as start, its last token as end, or both.

    Explain a tuple ``(question, context)``; the map shows both.

    Parameters
    ----------
    answer
        The answer: a string in the context (its first occurrence), or a slice of the context's characters. None for the
        model's best span of at most 30 tokens.
    ends
        ``"both"`` for one target whose score is the sum of the scores of start and end; ``"start"`` or ``"end"`` for
        one of them.
    against
        Another answer, given in the same way, whose score is subtracted (a contrast); a list makes one target for each
        entry, in this order.
    unit
        ``"logit"``, ``"log_prob"`` (nats) or ``"prob"``; probabilities are over all tokens of question and context.

    Raises
    ------
    SaliencyError
        For an unknown ``ends`` or unit. Explaining raises it if an answer is not in the context.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> from transformers import BertForQuestionAnswering
    >>> model, tokenizer = hs.load_demo()
    >>> explainer = hs.Explainer(BertForQuestionAnswering(model.config), tokenizer)  # untrained
    >>> given = ("Who drank tea?", "Anna drank hot tea.")
    >>> explainer(given, target=hs.AnswerSpan("hot tea")).targets[0].label
    'hot tea'
    """

    task = tasks.ANSWERS
    kind = "answer"
    text_counts = (2, 2)

    answer: str | slice | None = None
    ends: Ends = "both"
    against: str | slice | Sequence[str | slice] | None = None
    unit: Scale = "logit"

    def __post_init__(self) -> None:
        settle_strings(self)
        advice = "give a string of the context, or a slice of its characters, slice(16, 23)"
        if self.answer is not None and not _is_answer(self.answer):
            raise SaliencyError(f"answer={self.answer!r}: {advice}.")
        settle_contrasts(self, _is_answer, advice)
        one_of(self.ends, ("both", "start", "end"), "ends")

    def encode(self, texts: Any, model: TextModel, overflow: Overflow) -> Encoding:
        if not (isinstance(texts, tuple) and len(texts) == 2):
            raise SaliencyError(
                "AnswerSpan explains a question and its context: explainer((question, context))."
            )
        return model.encode(texts[0], overflow, pair=texts[1])

    def rows(self, encoding: Encoding, model: TextModel) -> list[Row]:
        if self.answer is None:
            first, last = self._predicted(encoding, model)
        else:
            first, last = _columns_of_answer(self.answer, encoding)
        return [self._row(first, last, contrast, encoding) for contrast in contrasts(self.against)]

    def _row(self, first: int, last: int, contrast: str | slice | None, encoding: Encoding) -> Row:
        others: tuple[int | None, int | None] = (None, None)
        if contrast is not None:
            others = _columns_of_answer(contrast, encoding)
        refs = {"start": LogitRef(first, 0, others[0]), "end": LogitRef(last, 1, others[1])}
        chosen = tuple(refs.values()) if self.ends == "both" else (refs[self.ends],)
        against = "" if others == (None, None) else self._label(encoding, *others)
        label = self._label(encoding, first, last)
        position = last if self.ends == "end" else first
        stands = tuple(range(first, last + 1)) if self.ends == "both" else ()
        return Row(encoding, chosen, position, label=label, positions=stands, against=against)

    def _label(self, encoding: Encoding, first: int | None, last: int | None) -> str:
        assert first is not None
        assert last is not None
        text = encoding.texts[1][encoding.tokens[first].start : encoding.tokens[last].end]
        return text if self.ends == "both" else f"{self.ends} of {text}"

    def readout(self, model: TextModel, parts: int = 1) -> Readout:
        return Readout(span_logits, self.unit)

    def text_names(self, encoding: Encoding, model: TextModel) -> tuple[str, ...]:
        return "question", "context"

    def class_name(self, index: int, row: Row, model: TextModel) -> str:
        if index >= len(row.encoding):
            return "padding"
        token = row.encoding.tokens[index]
        text = row.encoding.texts[token.text_index][token.start : token.end]
        return text if text.strip() else token.piece

    def _predicted(self, encoding: Encoding, model: TextModel) -> tuple[int, int]:
        """The span in the context with the largest sum of start and end logits."""
        context = _context(encoding)
        if not context:
            raise SaliencyError("no token of the context is left: the question is too long for the model.")
        device = model.streams[0].device
        rows = {
            "text": torch.tensor([0], device=device),
            "position": torch.tensor([[0, 1]], device=device),
        }
        start, end = span_logits(model.run(encoding), rows)[0].float().cpu()[:, context]
        sums = start[:, None] + end[None, :]
        allowed = torch.ones_like(sums).triu().tril(_LONGEST - 1).bool()
        best = int(sums.masked_fill(~allowed, -torch.inf).argmax())
        return context[best // len(context)], context[best % len(context)]


def _is_answer(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, slice) and is_range(value))


def _context(encoding: Encoding) -> list[int]:
    return [i for i, token in enumerate(encoding.tokens) if token.text_index == 1 and not token.special]


def _columns_of_answer(answer: str | slice, encoding: Encoding) -> tuple[int, int]:
    """The first and the last token of the user's answer."""
    context = encoding.texts[1]
    if isinstance(answer, slice):
        start, end, _ = answer.indices(len(context))
    else:
        words = answer.strip()
        start = context.find(words) if words else -1
        end = start + len(words)
    columns = _context(encoding)
    places = [(encoding.tokens[i].start, encoding.tokens[i].end) for i in columns]
    answer_tokens = spans.overlapping(places, start, end) if start >= 0 else []
    if not answer_tokens:
        raise SaliencyError(
            f"the answer {answer!r} is not in the context {context!r}: give a string of it (case counts), or a slice "
            "of its characters."
        )
    return columns[answer_tokens[0]], columns[answer_tokens[-1]]
