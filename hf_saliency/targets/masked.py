"""MaskedToken, UnmaskedToken and related targets: tokens scored at their own position."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from hf_saliency.adapter import tasks
from hf_saliency.adapter.encoding import Encoding
from hf_saliency.adapter.text_model import TextModel
from hf_saliency.errors import SaliencyError, Scale
from hf_saliency.targets.readout import Readout, token_logits
from hf_saliency.targets.target import (
    ONE_TOKEN,
    PREDICTED,
    LogitRef,
    Row,
    Target,
    check_tokens,
    contrasts,
    is_token,
    settle_contrasts,
    settle_strings,
)
from hf_saliency.targets.where import (
    Where,
    checked,
    find,
    one_token,
    own_text,
    plain_tokens,
    positions,
    same_length,
    settle_where,
)


@dataclass(frozen=True)
class MaskedSpan(Target):
    """A masked language model's score of a word or phrase with all its tokens masked at once.

    Each occurrence is one target. Its score is the sum over the tokens of the span, each read at its own mask. In
    log-probabilities, that is the model's log-probability of the span under the assumption that its tokens are
    independent given the rest of the text.

    Parameters
    ----------
    where
        As for :class:`MaskedToken`: each occurrence of a word is one target, and so is a slice. None for one target per
        run of mask tokens in the text.
    predicted
        Explain the most probable token at each mask. Masks in the text itself are always explained this way.
    against
        A string with as many tokens as the span, whose score in the same place is subtracted (a contrast); a list makes
        one target for each entry, in this order.
    unit
        ``"logit"``, ``"log_prob"`` (nats) or ``"prob"``.

    Raises
    ------
    SaliencyError
        For an unknown unit. Explaining a text raises it if ``where`` is not in it, if the text holds no mask and
        ``where`` is None, if the text is longer than the model reads, or if ``against`` has a different number of
        tokens.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> explainer("She drank hot tea.", target=hs.MaskedSpan("hot tea")).targets[0].label
    'hot tea'
    """

    task = tasks.MASKED
    kind = "span"

    where: Where | Sequence[Where] | None = None
    predicted: bool = False
    against: str | Sequence[str] | None = None
    unit: Scale = "log_prob"

    def __post_init__(self) -> None:
        settle_strings(self)
        settle_where(self)
        settle_contrasts(
            self,
            lambda contrast: isinstance(contrast, str),
            "give a string with as many tokens as the span, such as 'two words'",
        )

    def readout(self, model: TextModel, parts: int = 1) -> Readout:
        return Readout(token_logits, self.unit, part=0)

    def rows(self, encoding: Encoding, model: TextModel) -> list[Row]:
        mask_id = model.mask_id()
        where = checked(self.where)
        if where is not None:
            masked_spans = [span for place in where for span in find(place, encoding)]
        else:
            masked_spans = _runs([i for i in range(len(encoding)) if encoding.ids[i] == mask_id])
        if not masked_spans:
            raise SaliencyError(
                "the text holds no mask tokens: say which words to mask, such as MaskedSpan('two words')."
            )
        model.check_fits(len(encoding))
        rows = []
        for span, contrast in itertools.product(masked_spans, contrasts(self.against)):
            others: Sequence[int | None] = [None] * len(span)
            if contrast is not None:
                others = same_length(contrast, "against", encoding, span, model)
            refs = tuple(
                LogitRef(
                    PREDICTED if self.predicted or encoding.ids[i] == mask_id else encoding.ids[i], i, other
                )
                for i, other in zip(span, others, strict=True)
            )
            first, last = encoding.tokens[span[0]], encoding.tokens[span[-1]]
            known = all(own_text(encoding, ref.position, ref.class_id, model) for ref in refs)
            label = encoding.texts[0][first.start : last.end] if known else ""
            positions = tuple(span)
            against = contrast or ""
            rows.append(
                Row(encoding, refs, span[0], positions, label=label, positions=positions, against=against)
            )
        return rows


def _runs(positions: Sequence[int]) -> list[list[int]]:
    """Group consecutive positions."""
    runs: list[list[int]] = []
    for i in positions:
        if runs and runs[-1][-1] == i - 1:
            runs[-1].append(i)
        else:
            runs.append([i])
    return runs


@dataclass(frozen=True)
class PseudoLogLikelihood(Target):
    """A masked language model's pseudo-log-likelihood of a text, as one target.

    The sum, over all tokens that are not special, of a token's log-probability while only that token is masked. A text
    of n tokens takes n rows of the model where another target takes one. The rows are computed in pieces, so that
    memory stays that of one batch.

    Parameters
    ----------
    unit
        ``"log_prob"`` (nats), as in the definition; ``"logit"`` and ``"prob"`` sum logits or probabilities instead.

    Raises
    ------
    SaliencyError
        For an unknown unit. Explaining a text raises it if the text holds mask tokens, or is longer than the model
        reads.

    References
    ----------
    Salazar et al., Masked language model scoring, 2020, arXiv:1910.14659.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> explainer("She drank hot tea.", target=hs.PseudoLogLikelihood()).scores.shape
    (1, 9)
    """

    task = tasks.MASKED
    kind = "pseudo-log-likelihood"

    unit: Scale = "log_prob"

    def __post_init__(self) -> None:
        settle_strings(self)

    def readout(self, model: TextModel, parts: int = 1) -> Readout:
        return Readout(token_logits, self.unit, part=0, mask_id=model.mask_id())

    def rows(self, encoding: Encoding, model: TextModel) -> list[Row]:
        model.check_fits(len(encoding))
        plain = plain_tokens(encoding, "MaskedToken(index)")
        if model.mask_id() in encoding.ids:
            raise SaliencyError(
                f"the text {encoding.texts[0]!r} holds mask tokens, which have no likelihood: give the whole text, "
                "whose tokens are masked in turn, or explain its masks with target=hs.MaskedToken()."
            )
        refs = tuple(LogitRef(encoding.ids[i], i) for i in plain)
        return [Row(encoding, refs, label="pseudo-log-likelihood")]


@dataclass(frozen=True)
class _TokenTarget(Target):
    """A token at its own position; :class:`MaskedToken` documents the fields."""

    task = tasks.MASKED
    masked: ClassVar[bool]

    where: Where | Sequence[Where] | None = None
    token: str | int | None = None
    predicted: bool = False
    against: str | int | Sequence[str | int] | None = None
    unit: Scale = "logit"

    def __post_init__(self) -> None:
        settle_strings(self)
        check_tokens(self.token, self.predicted)
        settle_contrasts(self, is_token, ONE_TOKEN)
        settle_where(self)

    def readout(self, model: TextModel, parts: int = 1) -> Readout:
        return Readout(token_logits, self.unit, part=0)

    def rows(self, encoding: Encoding, model: TextModel) -> list[Row]:
        mask_id = model.mask_id() if self.masked else model.tokenizer.mask_token_id
        rows = []
        for position in self._positions(encoding, mask_id):
            class_id = encoding.ids[position]
            if self.token is not None:
                class_id = one_token(self.token, "token", encoding, position, model)
            elif self.predicted or class_id == mask_id:
                class_id = PREDICTED
            label = own_text(encoding, position, class_id, model)
            masked = (position,) if self.masked else ()
            for contrast in contrasts(self.against):
                against = None
                if contrast is not None:
                    against = one_token(contrast, "against", encoding, position, model)
                ref = LogitRef(class_id, position, against)
                rows.append(Row(encoding, (ref,), position, masked, label=label))
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
    """A masked language model's score of a token while its position is masked, one position at a time.

    By default, each token of the text that is not special is masked in turn, and the logit of the original token is
    explained. A text that already contains mask tokens is left unchanged and explained at these.

    Parameters
    ----------
    where
        A token's index (special tokens counted, negative from the end), a word or phrase of the text (every token of
        every occurrence), a slice of characters as in ``text[16:23]``, or a list of these. None for every token that is
        not special or, in a text that contains mask tokens, for these.
    token
        The token whose score is explained: a string that is one token at that place, or an id. None for the original
        token of the text; at a mask token in the text, for the most probable one.
    predicted
        Explain the most probable token at each place instead.
    against
        A token whose score is subtracted (a contrast), given as for ``token``; a list makes one target for each entry,
        in this order.
    unit
        ``"logit"``, ``"log_prob"`` (nats) or ``"prob"``.

    Raises
    ------
    SaliencyError
        For an unknown unit, or if both ``token`` and ``predicted`` are given. Explaining a text raises it if ``where``
        is not in it, or if ``token`` or ``against`` is not one token.

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

    kind = "masked"
    masked: ClassVar[bool] = True


@dataclass(frozen=True)
class UnmaskedToken(_TokenTarget):
    """The score of a token at its own position in the unchanged text, with no position masked.

    The model sees the very token that it scores, so the token's own column usually outweighs the others.

    Parameters
    ----------
    where
        As for :class:`MaskedToken`, but None always means every token that is not special.
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

    kind = "unmasked"
    masked: ClassVar[bool] = False
