"""NextToken: each next token of a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hf_saliency.adapter import tasks
from hf_saliency.adapter.conversations import messages, rendered
from hf_saliency.adapter.encoding import Encoding
from hf_saliency.adapter.layouts import OneSequence
from hf_saliency.adapter.reading import Reading, token_logits
from hf_saliency.adapter.rows import Row
from hf_saliency.adapter.targets.following import following_rows, prepare
from hf_saliency.adapter.targets.places import Where, checked, plain_tokens, positions
from hf_saliency.adapter.targets.target import Target, only_text
from hf_saliency.adapter.text_model import Overflow, TextModel
from hf_saliency.errors import SaliencyError
from hf_saliency.terms import Scale


@dataclass(frozen=True)
class NextToken(Target):
    """A causal language model's score of each token of a text, given the tokens before it.

    One text gives a triangle: a token's score depends on the tokens before it, and the scores of all others are
    exactly zero. The first token of a text has nothing before it and is no target.

    Parameters
    ----------
    where
        Which tokens are explained, as for :class:`MaskedToken`: the tokens that are predicted, not those that
        the model is read at. None for every token that is not special.
    token
        The token whose score is explained in the place of each: a string that is one token there, or an id.
    predicted
        Explain the most probable token at each place instead.
    against
        A token whose score is subtracted (a contrast), given as for ``token``.
    total
        One target for all of them: the sum of their scores. With ``unit="log_prob"`` that is the
        log-probability of the text.
    unit
        ``"logit"``, ``"log_prob"`` (nats) or ``"prob"``.

    Raises
    ------
    SaliencyError
        For an unknown unit, or if both ``token`` and ``predicted`` are given. Explaining a text raises it if
        ``where`` is not there or has no token before it, or if ``token`` or ``against`` is not one token.

    References
    ----------
    Yin and Neubig, Interpreting Language Models with Contrastive Explanations, 2022, arXiv:2202.10419
    (``against``).

    Examples
    --------
    >>> import hf_saliency as hs
    >>> from transformers import GPT2Config, GPT2LMHeadModel
    >>> tokenizer = hs.load_demo()[1]
    >>> config = GPT2Config(vocab_size=len(tokenizer), n_layer=1, bos_token_id=2, eos_token_id=3)
    >>> explainer = hs.Explainer(GPT2LMHeadModel(config), tokenizer)  # untrained
    >>> heat = explainer("She drank hot tea.", target=hs.NextToken("tea"))
    >>> int((heat.scores[0] != 0).sum()) == heat.targets[0].position  # the tokens before it
    True
    """

    task = tasks.CAUSAL

    where: Where | Sequence[Where] | None = None
    token: str | int | None = None
    predicted: bool = False
    against: str | int | None = None
    total: bool = False
    unit: Scale = "logit"

    def __post_init__(self) -> None:
        prepare(self)

    def encode(self, given: Any, model: TextModel, overflow: Overflow) -> Encoding:
        if isinstance(given, list):
            return model.encode(rendered(messages(given), model, answer=False), overflow, special=False)
        if isinstance(given, tuple) and len(given) == 2:
            raise SaliencyError(
                "NextToken explains one text; a prompt and what follows it are explained by target=hs.Continuation()."
            )
        return model.encode(only_text(given, self), overflow)

    def rows(self, encoding: Encoding, model: TextModel) -> list[Row]:
        where = checked(self.where)
        if where is not None:
            chosen = positions(where, encoding)
        else:
            chosen = [i for i in plain_tokens(encoding, "NextToken(index)") if i]
        return following_rows(self, chosen, encoding, model, OneSequence())

    def reading(self, model: TextModel, parts: int = 1) -> Reading:
        return Reading(token_logits, self.unit, part=0)
