"""MaskedToken and UnmaskedToken: tokens at their own position."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from hf_saliency.adapter import tasks
from hf_saliency.adapter.encoding import Encoding
from hf_saliency.adapter.reading import Reading, token_logits
from hf_saliency.adapter.rows import PREDICTED, Read, Row
from hf_saliency.adapter.targets.places import (
    Where,
    checked,
    one_token,
    own_text,
    plain_tokens,
    positions,
    settle_where,
)
from hf_saliency.adapter.targets.target import Target, check_tokens, check_unit
from hf_saliency.adapter.text_model import TextModel
from hf_saliency.terms import Scale


@dataclass(frozen=True)
class _TokenTarget(Target):
    """A token at its own position; :class:`MaskedToken` says what the fields mean."""

    task = tasks.MASKED
    masked: ClassVar[bool]

    where: Where | Sequence[Where] | None = None
    token: str | int | None = None
    predicted: bool = False
    against: str | int | None = None
    unit: Scale = "logit"

    def __post_init__(self) -> None:
        check_unit(self.unit)
        check_tokens(self.token, self.predicted, self.against)
        settle_where(self)

    def reading(self, model: TextModel, parts: int = 1) -> Reading:
        return Reading(token_logits, self.unit, part=0)

    def rows(self, encoding: Encoding, model: TextModel) -> list[Row]:
        mask_id = model.mask_id() if self.masked else model.tokenizer.mask_token_id
        rows = []
        for position in self._positions(encoding, mask_id):
            class_id = encoding.ids[position]
            if self.token is not None:
                class_id = one_token(self.token, "token", encoding, position, model)
            elif self.predicted or class_id == mask_id:
                class_id = PREDICTED
            against = None
            if self.against is not None:
                against = one_token(self.against, "against", encoding, position, model)
            label = own_text(encoding, position, class_id, model)
            masked = (position,) if self.masked else ()
            rows.append(Row(encoding, (Read(class_id, position, against),), position, masked, label=label))
        return rows

    def _positions(self, encoding: Encoding, mask_id: int | None) -> list[int]:
        where = checked(self.where)
        if where is not None:
            return positions(where, encoding)
        plain = plain_tokens(encoding, "MaskedToken(index)")
        masks = [i for i in plain if encoding.ids[i] == mask_id]
        return masks if self.masked and masks else plain


@dataclass(frozen=True)
class MaskedToken(_TokenTarget):
    """A masked language model's score of a token while its position is masked; each position in turn.

    The default is the sweep: every token of the text that is not special, one at a time, and the logit of the
    token that stands there. A text that already contains mask tokens is explained at these, as it is.

    Parameters
    ----------
    where
        A token's index (special tokens counted, negative from the end), a word or phrase of the text (each of
        its occurrences, each of its tokens), a slice of characters as in ``text[16:23]``, or a list of these.
        None for every token that is not special; in a text that contains mask tokens, for these.
    token
        The token whose score is explained: a string that is one token at that place, or an id. None for the
        token that stands in the text, and at a mask token in the text for the most probable one.
    predicted
        Explain the most probable token at each place instead.
    against
        A token whose score is subtracted (a contrast), given as for ``token``.
    unit
        ``"logit"``, ``"log_prob"`` (nats) or ``"prob"``.

    Raises
    ------
    SaliencyError
        For an unknown unit, or if both ``token`` and ``predicted`` are given. Explaining a text raises it if
        ``where`` is not there, or if ``token`` or ``against`` is not one token.

    References
    ----------
    Yin and Neubig, Interpreting Language Models with Contrastive Explanations, 2022, arXiv:2202.10419
    (``against``).

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> explainer("She drank hot tea.", target=hs.MaskedToken("tea", against="water")).targets[0].label
    'tea'
    """

    masked: ClassVar[bool] = True


@dataclass(frozen=True)
class UnmaskedToken(_TokenTarget):
    """The score of a token at its own position in the text as it is, with no position masked.

    The model sees the very token that it scores, so the token's own column usually outweighs the others.

    Parameters
    ----------
    where
        As for :class:`MaskedToken`, but None is always every token that is not special.
    token
        As for :class:`MaskedToken`.
    predicted
        As for :class:`MaskedToken`.
    against
        As for :class:`MaskedToken`.
    unit
        As for :class:`MaskedToken`.

    Raises
    ------
    SaliencyError
        As for :class:`MaskedToken`.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> heat = explainer("She drank hot tea.", target=hs.UnmaskedToken("tea"))
    >>> heat.tokens[heat.scores[0].argmax()].piece
    'tea'
    """

    masked: ClassVar[bool] = False
