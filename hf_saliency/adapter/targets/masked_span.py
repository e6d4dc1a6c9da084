"""MaskedSpan: several masks at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hf_saliency.adapter import tasks
from hf_saliency.adapter.encoding import Encoding
from hf_saliency.adapter.reading import Reading, token_logits
from hf_saliency.adapter.rows import PREDICTED, Read, Row
from hf_saliency.adapter.targets.places import (
    Where,
    checked,
    find,
    own_text,
    same_length,
    settle_where,
)
from hf_saliency.adapter.targets.target import Target, check_unit
from hf_saliency.adapter.text_model import TextModel
from hf_saliency.errors import SaliencyError
from hf_saliency.terms import Scale


@dataclass(frozen=True)
class MaskedSpan(Target):
    """A masked language model's score of a word or phrase whose tokens are masked all at once: one target a place.

    The score is the sum over the tokens of the span, each read at its own mask. In log-probabilities that is the
    model's log-probability of the span if its tokens were independent given the rest of the text.

    Parameters
    ----------
    where
        As for :class:`MaskedToken`: each occurrence of a word is one target, and so is a slice. None for each run
        of mask tokens in the text.
    predicted
        Explain the most probable token at each mask, as it is always done at masks of the text.
    against
        A string of as many tokens, whose score in the same place is subtracted (a contrast).
    unit
        ``"logit"``, ``"log_prob"`` (nats) or ``"prob"``.

    Raises
    ------
    SaliencyError
        For an unknown unit. Explaining a text raises it if ``where`` is not there, if the text holds no mask and
        ``where`` is None, if the text is longer than the model reads, or if ``against`` has another number of tokens.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> explainer("She drank hot tea.", target=hs.MaskedSpan("hot tea")).targets[0].label
    'hot tea'
    """

    task = tasks.MASKED

    where: Where | Sequence[Where] | None = None
    predicted: bool = False
    against: str | None = None
    unit: Scale = "log_prob"

    def __post_init__(self) -> None:
        check_unit(self.unit)
        settle_where(self)
        if self.against is not None and not isinstance(self.against, str):
            raise SaliencyError(
                f"against={self.against!r}: give a string with as many tokens as the span, such as 'two words'."
            )

    def reading(self, model: TextModel, parts: int = 1) -> Reading:
        return Reading(token_logits, self.unit, part=0)

    def rows(self, encoding: Encoding, model: TextModel) -> list[Row]:
        mask_id = model.mask_id()
        where = checked(self.where)
        if where is not None:
            found = [span for place in where for span in find(place, encoding)]
        else:
            found = _runs([i for i in range(len(encoding)) if encoding.ids[i] == mask_id])
        if not found:
            raise SaliencyError(
                "the text holds no mask tokens: say which words to mask, such as MaskedSpan('two words')."
            )
        model.check_fits(len(encoding))
        rows = []
        for span in found:
            others: Sequence[int | None] = [None] * len(span)
            if self.against is not None:
                others = same_length(self.against, "against", encoding, span, model)
            reads = tuple(
                Read(PREDICTED if self.predicted or encoding.ids[i] == mask_id else encoding.ids[i], i, other)
                for i, other in zip(span, others, strict=True)
            )
            first, last = encoding.tokens[span[0]], encoding.tokens[span[-1]]
            known = all(own_text(encoding, read.position, read.class_id, model) for read in reads)
            label = encoding.texts[0][first.start : last.end] if known else ""
            own = tuple(span)
            against = self.against or ""
            rows.append(Row(encoding, reads, span[0], own, label=label, positions=own, against=against))
        return rows


def _runs(positions: Sequence[int]) -> list[list[int]]:
    """Neighbours together."""
    runs: list[list[int]] = []
    for i in positions:
        if runs and runs[-1][-1] == i - 1:
            runs[-1].append(i)
        else:
            runs.append([i])
    return runs
