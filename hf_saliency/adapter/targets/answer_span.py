"""AnswerSpan: the target of question answering."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch

from hf_saliency import spans
from hf_saliency.adapter import tasks
from hf_saliency.adapter.encoding import Encoding
from hf_saliency.adapter.reading import Reading, span_logits
from hf_saliency.adapter.rows import Read, Row
from hf_saliency.adapter.targets.places import is_range
from hf_saliency.adapter.targets.target import Target, check_unit
from hf_saliency.adapter.text_model import Overflow, TextModel
from hf_saliency.errors import SaliencyError
from hf_saliency.terms import Scale

Ends = Literal["both", "start", "end"]
_LONGEST = 30  # tokens of a predicted answer


@dataclass(frozen=True)
class AnswerSpan(Target):
    """A question answering model's score of an answer: of its first token as start, its last as end, or both.

    What is explained is a tuple ``(question, context)``; both are in the map.

    Parameters
    ----------
    answer
        The answer: a string of the context (its first occurrence), or a slice of the context's characters. None
        for the best span that the model predicts, of at most 30 tokens.
    ends
        ``"both"``, one target, whose score is the sum of the start's and the end's; ``"start"`` or ``"end"`` for
        one of them.
    against
        Another answer, given in the same way, whose score is subtracted (a contrast).
    unit
        ``"logit"``, ``"log_prob"`` (nats) or ``"prob"``, of a token among all tokens of question and context.

    Raises
    ------
    SaliencyError
        For another ``ends`` or unit. Explaining raises it if an answer is not in the context.

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

    answer: str | slice | None = None
    ends: Ends = "both"
    against: str | slice | None = None
    unit: Scale = "logit"

    def __post_init__(self) -> None:
        check_unit(self.unit)
        for name, one in (("answer", self.answer), ("against", self.against)):
            if not (one is None or isinstance(one, str) or (isinstance(one, slice) and is_range(one))):
                raise SaliencyError(
                    f"{name}={one!r}: give a string of the context, or a slice of its characters, slice(16, 23)."
                )
        if self.ends not in ("both", "start", "end"):
            raise SaliencyError(f"ends={self.ends!r}: choose 'both', 'start' or 'end'.")

    def encode(self, given: Any, model: TextModel, overflow: Overflow) -> Encoding:
        if not (isinstance(given, tuple) and len(given) == 2):
            raise SaliencyError(
                "AnswerSpan explains a question and its context: explainer((question, context))."
            )
        return model.encode(given[0], overflow, pair=given[1])

    def rows(self, encoding: Encoding, model: TextModel) -> list[Row]:
        if self.answer is None:
            first, last = self._predicted(encoding, model)
        else:
            first, last = _found(self.answer, encoding)
        others: tuple[int | None, int | None] = (None, None)
        if self.against is not None:
            others = _found(self.against, encoding)
        reads = {"start": Read(first, 0, others[0]), "end": Read(last, 1, others[1])}
        chosen = tuple(reads.values()) if self.ends == "both" else (reads[self.ends],)
        against = "" if others == (None, None) else self._label(encoding, *others)
        label = self._label(encoding, first, last)
        position = last if self.ends == "end" else first
        stands = tuple(range(first, last + 1)) if self.ends == "both" else ()
        return [Row(encoding, chosen, position, label=label, positions=stands, against=against)]

    def _label(self, encoding: Encoding, first: int | None, last: int | None) -> str:
        assert first is not None
        assert last is not None
        text = encoding.texts[1][encoding.tokens[first].start : encoding.tokens[last].end]
        return text if self.ends == "both" else f"{self.ends} of {text}"

    def reading(self, model: TextModel, parts: int = 1) -> Reading:
        return Reading(span_logits, self.unit)

    def text_names(self, encoding: Encoding, model: TextModel) -> tuple[str, ...]:
        return "question", "context"

    def class_name(self, index: int, row: Row, model: TextModel) -> str:
        if index >= len(row.encoding):
            return "padding"
        token = row.encoding.tokens[index]
        return row.encoding.texts[token.text][token.start : token.end] or token.piece

    def _predicted(self, encoding: Encoding, model: TextModel) -> tuple[int, int]:
        """The span in the context with the largest sum of its two logits."""
        own = _context(encoding)
        if not own:
            raise SaliencyError("no token of the context is left: the question is too long for the model.")
        device = model.streams[0].device
        rows = {
            "text": torch.tensor([0], device=device),
            "position": torch.tensor([[0, 1]], device=device),
        }
        start, end = span_logits(model.run(encoding), rows)[0].float().cpu()[:, own]
        sums = start[:, None] + end[None, :]
        allowed = torch.ones_like(sums).triu().tril(_LONGEST - 1).bool()
        best = int(sums.masked_fill(~allowed, -torch.inf).argmax())
        return own[best // len(own)], own[best % len(own)]


def _context(encoding: Encoding) -> list[int]:
    return [i for i, token in enumerate(encoding.tokens) if token.text == 1 and not token.special]


def _found(answer: str | slice, encoding: Encoding) -> tuple[int, int]:
    """The first and the last token of an answer that is given."""
    context = encoding.texts[1]
    if isinstance(answer, slice):
        start, end, _ = answer.indices(len(context))
    else:
        wanted = answer.strip()
        start = context.find(wanted) if wanted else -1
        end = start + len(wanted)
    own = _context(encoding)
    places = [(encoding.tokens[i].start, encoding.tokens[i].end) for i in own]
    found = spans.overlapping(places, start, end) if start >= 0 else []
    if not found:
        raise SaliencyError(
            f"the answer {answer!r} is not in the context {context!r}: give a string of it (case counts), or a slice "
            "of its characters."
        )
    return own[found[0]], own[found[-1]]
