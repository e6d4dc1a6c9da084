"""A prompt and what follows it as one encoding: given, or written by the model, greedily."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch

from hf_saliency.adapter.encoding import Encoding, joined
from hf_saliency.adapter.generation import content, generated, is_special, named, spelling
from hf_saliency.adapter.text_model import TextModel
from hf_saliency.errors import SaliencyError
from hf_saliency.spans import Token


def followed(prompt: Encoding, text: str, model: TextModel, *, special: bool) -> Encoding:
    """A prompt and the text that follows it, without a space between them, tokenized as one.

    Parameters
    ----------
    prompt
        The prompt.
    text
        What follows, with the space that it begins with.
    model
        Whose tokens these are.
    special
        Whether the tokenizer adds special tokens to the prompt.

    Returns
    -------
    Encoding
        Of two texts. Where the last token of the prompt and the first of the text would be one, they are
        tokenized apart, as a model that continues the prompt would see them.

    Raises
    ------
    SaliencyError
        If the text is empty, or both are longer than the model reads.
    """
    if not isinstance(text, str) or not text.strip():
        raise SaliencyError(f"the continuation is empty ({text!r}): give the text that follows the prompt.")
    (before,) = prompt.texts
    end = prompt.content.stop
    whole = model.encode(before + text, "windows", special=special)
    if whole.ids[:end] == prompt.ids[:end]:
        own = range(end, whole.content.stop)
        ids, tokens = [whole.ids[i] for i in own], [whole.tokens[i] for i in own]
        shift = len(before)
    else:
        alone = model.encode(text, "windows", special=False)
        ids, tokens, shift = list(alone.ids), list(alone.tokens), 0
    placed = [
        dataclasses.replace(token, text=1, start=max(token.start - shift, 0), end=max(token.end - shift, 0))
        for token in tokens
    ]
    return _extended(prompt, text, ids, placed, model)


def written(prompt: Encoding, model: TextModel, max_new_tokens: int) -> Encoding:
    """A prompt and what the model continues it with, greedily.

    Parameters
    ----------
    prompt
        The prompt.
    model
        The model.
    max_new_tokens
        Where it stops at the latest, unless the model reads no more tokens.

    Returns
    -------
    Encoding
        Of two texts, without the token that ends a text.

    Raises
    ------
    SaliencyError
        If the model cannot generate, has no room for a token, or ends at once.
    """
    end = prompt.content.stop
    room = model.room(max_new_tokens, end)
    if room < 1:
        raise model.too_long(
            end, "That leaves no token for the continuation: give a shorter prompt.", "prompt"
        )
    ids = generated(prompt.columns(range(end)), model, room)[end:]
    text, tokens = spelling(prompt.ids[:end], content(ids, model), model)
    return _extended(prompt, text, ids[: len(tokens)], tokens, model)


def _extended(
    prompt: Encoding, text: str, ids: Sequence[int], tokens: Sequence[Token], model: TextModel
) -> Encoding:
    end = prompt.content.stop
    advice = f"The prompt has {end} of them: shorten it or the continuation."
    model.check_fits(end + len(ids), advice, "text with its prompt")
    return Encoding(
        (*prompt.texts, text),
        (*prompt.ids[:end], *ids),
        (*prompt.tokens[:end], *tokens),
        {
            name: (*values[:end], *(values[end - 1 : end] * len(ids)))
            for name, values in prompt.inputs.items()
        },
    )


def translated(source: Encoding, text: str | None, model: TextModel, max_new_tokens: int) -> Encoding:
    """A source and what an encoder-decoder writes for it, as the two sequences that the model reads.

    Parameters
    ----------
    source
        What the encoder reads.
    text
        What the decoder is to write; None for what it does write, greedily.
    model
        The model.
    max_new_tokens
        Where it stops at the latest, unless the model reads no more tokens.

    Returns
    -------
    Encoding
        Of two texts and two sequences. The second is what the decoder reads, which starts with tokens of its
        own; its last token is one that the model only writes.

    Raises
    ------
    SaliencyError
        If the text is empty or longer than the model reads, or the model ends at once.
    """
    if text is None:
        ids = generated(source, model, model.room(max_new_tokens))
        first = next((i for i, one in enumerate(ids) if i and not is_special(one, model)), len(ids))
        spelled, plain = spelling((), content(ids[first:], model), model)
        head, tail = ids[:first], ids[first + len(plain) :]
        tokens = [*named(head, 0, model), *plain, *named(tail[:1], len(spelled), model)]
        target = Encoding((spelled,), tuple(ids[: len(tokens)]), tuple(tokens))
    else:
        if not isinstance(text, str) or not text.strip():
            raise SaliencyError(f"the target text is empty ({text!r}): there is nothing to explain.")
        labels = model.encode(text, "windows", as_target=True)
        model.check_fits(len(labels), "Give a shorter one: overflow= is for the source alone.", "target")
        shifted = _shifted(labels.ids, model)
        head = shifted[: len(shifted) - (len(labels) - 1)]
        target = dataclasses.replace(
            labels,
            ids=(*head, *labels.ids),
            tokens=(*named(head, 0, model), *labels.tokens),
            inputs={},
        )
    return joined([source, target])


def _shifted(labels: Sequence[int], model: TextModel) -> list[int]:
    """What the decoder reads while it writes labels."""
    shift = getattr(model.model, "prepare_decoder_input_ids_from_labels", None)
    if callable(shift):
        ids: list[int] = shift(torch.tensor([labels], device=model.streams[0].device))[0].tolist()
        if ids[1:] == list(labels[:-1]):
            return ids
    start = getattr(getattr(model.model, "generation_config", None), "decoder_start_token_id", None)
    start = getattr(model.model.config, "decoder_start_token_id", None) if start is None else start
    if start is None:
        raise SaliencyError(
            f"{type(model.model).__name__} does not say what its decoder starts with: set "
            "model.config.decoder_start_token_id."
        )
    return [int(start), *labels[:-1]]
