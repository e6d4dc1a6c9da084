"""NextToken: each next token of a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hf_saliency.adapter import tasks
from hf_saliency.adapter.encoding import Encoding
from hf_saliency.adapter.streams import Layout, OneSequence
from hf_saliency.adapter.text_model import OVERFLOWS, Overflow, TextModel
from hf_saliency.errors import SaliencyError, Scale, id_list, whole
from hf_saliency.targets.conversation import Message, by_message, messages, rendered, reply
from hf_saliency.targets.generation import (
    followed,
    followed_by_ids,
    translated,
    warn_of_space,
    written,
)
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
    only_text,
    settle_contrasts,
    settle_strings,
)
from hf_saliency.targets.where import (
    Where,
    checked,
    latest,
    one_token,
    own_text,
    plain_tokens,
    positions,
    settle_where,
)


def prepare(target: NextToken | Continuation) -> None:
    settle_strings(target)
    check_tokens(target.token, target.predicted)
    settle_contrasts(target, is_token, ONE_TOKEN)
    settle_where(target)


def following_rows(
    target: NextToken | Continuation,
    chosen: Sequence[int],
    encoding: Encoding,
    model: TextModel,
    layout: Layout,
) -> list[Row]:
    """Make a row for each chosen token, read at the token before it; with ``total``, one row for all of them."""
    begin = encoding.starts[-1]
    if not chosen:
        raise SaliencyError(
            f"the text {encoding.texts[-1]!r} has only special tokens and a first one to explain: give a longer "
            "text, or where= for one of the special tokens."
        )
    if begin in chosen:
        raise SaliencyError(
            f"{encoding.tokens[begin].piece!r} is the first token that the model reads, so nothing predicts it: "
            "explain a later one."
        )
    left_to_right = model.trims(encoding, layout)
    refs: list[list[LogitRef]] = []  # for each token, one per contrast
    for i in chosen:
        class_id = encoding.ids[i]
        before = _before(encoding, i)
        if target.token is not None:
            class_id = one_token(target.token, "token", encoding, i, model, before)
        elif target.predicted:
            class_id = PREDICTED
        others = [
            None if contrast is None else one_token(contrast, "against", encoding, i, model, before)
            for contrast in contrasts(target.against)
        ]
        refs.append([LogitRef(class_id, i - 1, other) for other in others])
    if target.total:
        length = max(chosen) - begin if left_to_right else None
        label = _between(encoding, min(chosen), max(chosen))
        model.check_fits(len(encoding))
        return [Row(encoding, total, None, length=length, label=label) for total in zip(*refs, strict=True)]
    return [
        Row(
            encoding,
            (ref,),
            i,
            length=i - begin if left_to_right else None,
            label=own_text(encoding, i, ref.class_id, model),
        )
        for i, of_token in zip(chosen, refs, strict=True)
        for ref in of_token
    ]


def _between(encoding: Encoding, first: int, last: int) -> str:
    """The text from one token to another, across texts."""
    begin, end = encoding.tokens[first], encoding.tokens[last]
    texts = list(encoding.texts[begin.text_index : end.text_index + 1])
    texts[-1] = texts[-1][: end.end]
    texts[0] = texts[0][begin.start :]
    return " ".join(text.strip() for text in texts)


def _before(encoding: Encoding, position: int) -> str:
    """The text right before a token's text in the same sequence; empty if a template writes tokens between them."""
    number = encoding.tokens[position].text_index
    first = next(i for i, token in enumerate(encoding.tokens) if token.text_index == number)
    follows = number and len(encoding.starts) == 1 and not encoding.tokens[first].special
    return encoding.texts[number - 1] if follows else ""


@dataclass(frozen=True)
class Continuation(Target):
    """A language model's score of each token after a prompt, or of each token of a target text, given all before it.

    The prompt is a string or a conversation: a list of ``{"role": ..., "content": ...}``, rendered with the tokenizer's
    chat template. If the assistant speaks last, that message is the continuation. Each message is then a separate text
    in the map, named by its role, and the template's text around the messages becomes special tokens. A tuple
    ``(prompt, continuation)`` sets both. For an encoder-decoder they are source and target: the map then shows how each
    token of the target depends on the source and on the tokens before it in the target.

    Parameters
    ----------
    text
        The continuation of each prompt, including its leading space. None for the continuation in the tuple or, for a
        prompt alone, the text that the model writes by greedy decoding.
    ids
        The continuation as token ids, in a list or a tensor of one row. Use it for sampled text, which the tokenizer
        may split differently from the model. The prompt's ids may come first, as ``generate`` returns them.
    where
        The tokens of the continuation to explain, as for :class:`MaskedToken`; None for every token that is not
        special.
    token
        Another token to explain at each place: a string that is one token there, or an id.
    predicted
        Explain the most probable token at each place instead.
    against
        A token whose score is subtracted (a contrast), given as for ``token``; a list makes one target for each entry,
        in this order.
    total
        Make one target for all of them: the sum of their scores. With ``unit="log_prob"`` that is the log-probability
        of the continuation.
    max_new_tokens
        The largest number of tokens that the model writes; it writes fewer when it reaches its maximum length.
    unit
        ``"logit"``, ``"log_prob"`` (nats) or ``"prob"``.

    Raises
    ------
    SaliencyError
        For an unknown unit, or if both ``token`` and ``predicted`` are given. Explaining a prompt raises it if the
        continuation is empty, if the model ends its text at once, or if prompt and continuation together are longer
        than the model reads.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> from transformers import GPT2Config, GPT2LMHeadModel
    >>> tokenizer = hs.load_demo()[1]
    >>> config = GPT2Config(vocab_size=len(tokenizer), n_layer=1, bos_token_id=2, eos_token_id=3)
    >>> explainer = hs.Explainer(GPT2LMHeadModel(config), tokenizer)  # untrained
    >>> heat = explainer(("She drank", " hot tea."), target=hs.Continuation())
    >>> [row.label for row in heat.targets]
    ['hot', 'tea', '.']
    """

    kind = "continuation"
    text_counts = (1, 2)

    text: str | None = None
    where: Where | Sequence[Where] | None = None
    token: str | int | None = None
    predicted: bool = False
    against: str | int | Sequence[str | int] | None = None
    total: bool = False
    max_new_tokens: int = 20
    unit: Scale = "logit"
    ids: Any = None

    def __post_init__(self) -> None:
        prepare(self)
        if not (self.text is None or isinstance(self.text, str)):
            raise SaliencyError(
                f"text={self.text!r}: give the continuation as a string, Continuation(' ...')."
            )
        if self.ids is not None:
            ids = id_list(self.ids)
            if ids is None or self.text is not None:
                raise SaliencyError(
                    f"ids={self.ids!r:.80}: give one row of token ids, in a list or a tensor, without a text."
                )
            object.__setattr__(self, "ids", ids)
        object.__setattr__(self, "max_new_tokens", whole(self.max_new_tokens, "max_new_tokens"))

    @classmethod
    def heads(cls) -> tuple[tasks.Task, ...]:
        return (tasks.SEQ2SEQ, tasks.CAUSAL)

    def check(self, model: TextModel) -> None:
        task = tasks.SEQ2SEQ if model.encoder_decoder else tasks.CAUSAL
        tasks.check(model.model, task, "Continuation")

    def encode(self, texts: Any, model: TextModel, overflow: Overflow) -> Encoding:
        prompt, text, conversation = self._split(texts, model)
        special = not conversation  # a chat template writes special tokens itself
        if model.encoder_decoder:
            source = model.encode(prompt, overflow, special=special, whole=True)
            return translated(source, text, model, self.max_new_tokens, self.ids)
        # A prompt that fills the model leaves no room for a continuation, so cutting it would not help.
        overflow = "windows" if overflow in OVERFLOWS else overflow
        before = model.encode(prompt, overflow, special=special)
        if self.ids is not None:
            following = followed_by_ids(before, self.ids, model)
        elif text is None:
            following = written(before, model, self.max_new_tokens)
        else:
            following = followed(before, text, model, special=special)
            warn_of_space(before, following, model, special=special)
        return by_message(following, conversation, model) if conversation else following

    def _split(self, texts: Any, model: TextModel) -> tuple[str, str | None, list[Message]]:
        """Return the prompt, the continuation and, if the prompt is a conversation, its messages."""
        prompt, text, paired = texts, self.text, isinstance(texts, tuple) and len(texts) == 2
        if paired:
            if text is not None or self.ids is not None:
                name = "Continuation(ids=...)" if text is None else f"Continuation({text!r})"
                raise SaliencyError(
                    f"{name} already has a continuation, and the tuple {texts!r} has another one: give only one of "
                    "them."
                )
            prompt, text = texts
        if not isinstance(prompt, list):
            return prompt if paired else only_text(prompt, self), text, []
        conversation = messages(prompt)
        if text is None and conversation[-1]["role"] == "assistant":
            *conversation, last = conversation
            text = reply(last)
        return rendered(conversation, model, answer=True), text, conversation

    def rows(self, encoding: Encoding, model: TextModel) -> list[Row]:
        where = checked(self.where)
        last = len(encoding.texts) - 1
        columns = [i for i, token in enumerate(encoding.tokens) if token.text_index == last]
        if where is None:
            chosen = [i for i in columns if not encoding.tokens[i].special]
        else:
            chosen = positions(where, encoding, text=last)
            if any(i not in columns for i in chosen):
                raise SaliencyError(
                    f"where={self.where!r} is in the prompt: the continuation has the tokens {columns[0]} to "
                    f"{columns[-1]}."
                )
        return following_rows(self, chosen, encoding, model, model.layout)

    def readout(self, model: TextModel, parts: int = 1) -> Readout:
        return Readout(token_logits, self.unit, part=parts - 1, layout=model.layout)

    def text_names(self, encoding: Encoding, model: TextModel) -> tuple[str, ...]:
        pair = ("source text", "target text") if model.encoder_decoder else ("prompt", "continuation")
        return encoding.names or pair


@dataclass(frozen=True)
class NextToken(Target):
    """A causal language model's score of each token of a text, given the tokens before it.

    The map of one text is a triangle: a token's score depends only on the tokens before it, and all other tokens score
    exactly zero. The first token of a text has nothing before it and is not a target. In a conversation (a list of
    ``{"role": ..., "content": ...}``) the target is the assistant's last message, or the model's answer if there is
    none, as for :class:`Continuation`; a word that is not in it is looked up in the messages before it.

    Parameters
    ----------
    where
        The tokens to explain, as for :class:`MaskedToken`: the predicted tokens, not the tokens before them at which
        the model predicts them. None for every token that is not special.
    token
        Another token to explain at each place: a string that is one token there, or an id.
    predicted
        Explain the most probable token at each place instead.
    against
        A token whose score is subtracted (a contrast), given as for ``token``; a list makes one target for each entry,
        in this order.
    total
        Make one target for all of them: the sum of their scores. With ``unit="log_prob"`` that is the log-probability
        of the text.
    unit
        ``"logit"``, ``"log_prob"`` (nats) or ``"prob"``.

    Raises
    ------
    SaliencyError
        For an unknown unit, or if both ``token`` and ``predicted`` are given. Explaining a text raises it if ``where``
        is not in the text or has no token before it, or if ``token`` or ``against`` is not one token.

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

    @classmethod
    def heads(cls) -> tuple[tasks.Task, ...]:
        return (tasks.CAUSAL, tasks.IMAGE_TEXT)

    kind = "next"

    where: Where | Sequence[Where] | None = None
    token: str | int | None = None
    predicted: bool = False
    against: str | int | Sequence[str | int] | None = None
    total: bool = False
    unit: Scale = "logit"

    def __post_init__(self) -> None:
        prepare(self)

    def encode(self, texts: Any, model: TextModel, overflow: Overflow) -> Encoding:
        conversation = texts[0] if isinstance(texts, tuple) and texts else texts
        if isinstance(conversation, list):
            return Continuation().encode(texts, model, overflow)
        if isinstance(texts, tuple) and len(texts) == 2:
            raise SaliencyError(
                "NextToken explains one text: use target=hs.Continuation() for a prompt and its continuation."
            )
        return model.encode(only_text(texts, self), overflow)

    def rows(self, encoding: Encoding, model: TextModel) -> list[Row]:
        where = checked(self.where)
        if where is not None:
            try:
                chosen = latest(where, encoding)
            except SaliencyError as error:
                raise SaliencyError(
                    f"{error} To explain a word that is not in the text yet, give it as the continuation: "
                    "explainer((text, ' word'), target=hs.Continuation())."
                ) from error
        else:
            last = len(encoding.texts) - 1
            plain = plain_tokens(encoding, "NextToken(index)")
            chosen = [i for i in plain if i and encoding.tokens[i].text_index == last]
        return following_rows(self, chosen, encoding, model, OneSequence())

    def readout(self, model: TextModel, parts: int = 1) -> Readout:
        return Readout(token_logits, self.unit, part=0)
