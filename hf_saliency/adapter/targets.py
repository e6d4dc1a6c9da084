"""Targets: what is explained. A target lays out the rows of a text and reads one number from each row's logits."""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from hf_saliency import spans
from hf_saliency.adapter.encoding import Encoding
from hf_saliency.adapter.text_model import TextModel
from hf_saliency.errors import SaliencyError
from hf_saliency.terms import UNITS, Unit

Where = int | str | slice


@dataclass(frozen=True)
class Row:
    """One target in one text: one row of the model's batch, one row of the map.

    Parameters
    ----------
    encoding
        The whole text.
    position
        The token at which the model is read.
    masked
        Whether that token is replaced by the mask.
    class_id
        Whose score is explained; None for the most probable class, known once the model has run.
    against_id
        The class whose score is subtracted, if any.
    """

    encoding: Encoding
    position: int
    masked: bool
    class_id: int | None
    against_id: int | None = None


class Target(ABC):
    """What is explained. Subclasses are frozen values; one value serves every text."""

    unit: Unit

    @abstractmethod
    def rows(self, encoding: Encoding, model: TextModel) -> list[Row]:
        """The rows of a text, at least one."""

    @abstractmethod
    def read(
        self, logits: Float[Tensor, "batch classes"], rows: Mapping[str, Tensor]
    ) -> Float[Tensor, " batch"]:
        """The score of each row, in the target's unit."""


@dataclass(frozen=True)
class _TokenTarget(Target):
    """A token at its own position; :class:`MaskedToken` says what the fields mean."""

    masked: ClassVar[bool]

    where: Where | Sequence[Where] | None = None
    token: str | int | None = None
    predicted: bool = False
    against: str | int | None = None
    unit: Unit = "logit"

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise SaliencyError(f"unit={self.unit!r}: choose one of {', '.join(map(repr, UNITS))}.")
        if self.predicted and self.token is not None:
            raise SaliencyError(
                f"token={self.token!r} and predicted=True exclude each other: give one of them."
            )
        if isinstance(self.where, list):
            object.__setattr__(self, "where", tuple(self.where))
        places = self.where if isinstance(self.where, tuple) else (self.where,)
        allowed = (int, str, slice, *([] if isinstance(self.where, tuple) else [type(None)]))
        if not places or not all(isinstance(place, allowed) for place in places):
            raise SaliencyError(
                f"where={self.where!r}{' is empty' * (not places)}: give a token's index, a word of the text, a slice "
                "of characters, or a list of these."
            )

    def rows(self, encoding: Encoding, model: TextModel) -> list[Row]:
        mask_id = model.mask_id() if self.masked else model.tokenizer.mask_token_id
        rows = []
        for position in self._positions(encoding, mask_id):
            true_id = encoding.ids[position]
            class_id: int | None = true_id
            if self.token is not None:
                class_id = _one_token(self.token, "token", encoding, position, model)
            elif self.predicted or true_id == mask_id:
                class_id = None
            against_id = None
            if self.against is not None:
                against_id = _one_token(self.against, "against", encoding, position, model)
            rows.append(Row(encoding, position, self.masked, class_id, against_id))
        return rows

    def _positions(self, encoding: Encoding, mask_id: int | None) -> list[int]:
        if self.where is not None:
            places = self.where if isinstance(self.where, tuple) else (self.where,)
            found = [position for place in places for position in _find(place, encoding)]
            return list(dict.fromkeys(found))
        plain = [i for i, token in enumerate(encoding.tokens) if not token.special]
        masks = [i for i in plain if encoding.ids[i] == mask_id]
        positions = masks if self.masked and masks else plain
        if not positions:
            raise SaliencyError(
                f"the text {encoding.texts[0]!r} has special tokens only: there is nothing to explain. Give "
                "MaskedToken(index) to explain one of them all the same."
            )
        return positions

    def read(
        self, logits: Float[Tensor, "batch classes"], rows: Mapping[str, Tensor]
    ) -> Float[Tensor, " batch"]:
        values = logits
        if self.unit == "log_prob":
            values = logits.log_softmax(dim=-1)
        elif self.unit == "prob":
            values = logits.softmax(dim=-1)
        scores = values.gather(1, rows["class_id"][:, None])[:, 0]
        if self.against is not None:
            scores = scores - values.gather(1, rows["against_id"][:, None])[:, 0]
        return scores


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

    Parameters as for :class:`MaskedToken`. The model sees the very token that it scores, so the token's own
    column usually outweighs the others.
    """

    masked: ClassVar[bool] = False


def _find(place: Where, encoding: Encoding) -> list[int]:
    """The tokens at an index, a word or a slice of characters."""
    text = encoding.texts[0]
    if isinstance(place, str):
        ranges = spans.occurrences(text, place)
        if not ranges:
            raise SaliencyError(_word_missing(place, text))
    elif isinstance(place, slice):
        start, stop, _ = place.indices(len(text))
        ranges = [(start, stop)]
    else:
        if not -len(encoding) <= place < len(encoding):
            raise SaliencyError(f"there is no token {place}: the text has {len(encoding)}, counted from 0.")
        return [place % len(encoding)]
    places = [(token.start, token.end) for token in encoding.tokens]
    found = [i for start, stop in ranges for i in spans.overlapping(places, start, stop)]
    if not found:
        raise SaliencyError(f"no token stands at {place!r} of {text!r}.")
    return found


def _word_missing(word: str, text: str) -> str:
    there = list(dict.fromkeys(text[start:end] for start, end in spans.words(text)))
    same = [w for w in there if w.casefold() == word.casefold()]
    near = same or difflib.get_close_matches(word, there, n=3) or there[:10]
    return (
        f"the word {word!r} is not in the text (case counts, and parts of words do not); there is "
        f"{', '.join(map(repr, near))}. Part of a word is addressed by characters: MaskedToken(slice(start, end))."
    )


def _one_token(value: str | int, name: str, encoding: Encoding, position: int, model: TextModel) -> int:
    """The id of a token given by its id, by the string that makes it at this place, or by its own name."""
    if not isinstance(value, str):
        if not 0 <= value < model.classes:
            raise SaliencyError(f"{name}={value}: the model has the token ids 0 to {model.classes - 1}.")
        return value
    place = encoding.tokens[position]
    text = encoding.texts[0]
    start, end = place.start, place.start + len(value)
    there = model.encode(text[:start] + value + text[place.end :], overflow="windows")
    found = spans.overlapping([(token.start, token.end) for token in there.tokens], start, end)
    if len(found) == 1:
        token = there.tokens[found[0]]
        known = there.ids[found[0]] != model.tokenizer.unk_token_id
        if (token.start, token.end) == (start, end) and known:
            return there.ids[found[0]]
    named = model.tokenizer.convert_tokens_to_ids(value)
    if isinstance(named, int) and model.tokenizer.convert_ids_to_tokens(named) == value:
        return named
    pieces = ", ".join(repr(there.tokens[i].piece) for i in found) or "nothing"
    raise SaliencyError(
        f"{name}={value!r} must be one token of this tokenizer, but in place of {encoding.tokens[position].piece!r} "
        f"it is read as {pieces}: give one of these, another word, or a token id."
    )
