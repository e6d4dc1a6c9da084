"""Continuations: a prompt and the text after it as one encoding, whether given or written greedily by the model."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import torch

from hf_saliency.adapter import hooks
from hf_saliency.adapter.encoding import Encoding, joined
from hf_saliency.adapter.exact_ids import TextWithIds
from hf_saliency.adapter.guards import borrowed
from hf_saliency.adapter.streams import check_ids
from hf_saliency.adapter.text_model import TextModel
from hf_saliency.errors import SaliencyError, warn
from hf_saliency.maps.spans import Token, trim

_CONTEXT = 8  # the spelling of a generated token may depend on this many tokens before it


def generated(prompt: Encoding, model: TextModel, max_new_tokens: int) -> list[int]:
    """Generate greedily and return all ids of the decoder; the prompt or the decoder's start token comes first."""
    if not callable(getattr(model.model, "generate", None)):
        raise SaliencyError(
            f"{type(model.model).__name__} has no generate(): give the continuation, Continuation(' ...')."
        )
    config: Any = copy.deepcopy(model.model.generation_config)
    for name in ("temperature", "top_p", "top_k", "min_p", "typical_p", "max_length", "cache_implementation"):
        setattr(config, name, None)
    config.do_sample, config.num_beams, config.max_new_tokens = False, 1, max_new_tokens
    if config.pad_token_id is None:
        config.pad_token_id = model.pad_id
    inputs = {
        name: value for name, value in model.arguments(prompt, model.layout).items() if name != "use_cache"
    }
    with torch.inference_mode(False), torch.no_grad(), borrowed(model.model):
        rows = model.model.generate(**inputs, generation_config=config)  # type: ignore[operator]
    ids: list[int] = rows[0].tolist()
    return ids


def _special_ids(model: TextModel) -> set[int]:
    """The ids of special tokens, which add nothing to a generated text; the mask is one, the unknown token is not."""
    return set(model.tokenizer.all_special_ids) - {model.tokenizer.unk_token_id}


def content(ids: Sequence[int], model: TextModel) -> list[int]:
    """Return the tokens before the one that ends the text; refuse a text that ends at once."""
    ends = getattr(getattr(model.model, "generation_config", None), "eos_token_id", None)
    stops = set(ends if isinstance(ends, list) else [ends]) | {model.tokenizer.eos_token_id}
    stop = next((i for i, token_id in enumerate(ids) if token_id in stops), len(ids))
    if stop == 0:
        raise SaliencyError(
            "the model ends its text at once, so there is nothing to explain: give another prompt, or the "
            "continuation itself."
        )
    return list(ids[:stop])


def named(ids: Sequence[int], end: int, model: TextModel) -> list[Token]:
    """Make special tokens that are all at the same position of the text."""
    return [Token(model.class_name(i), end, end, special=True) for i in ids]


def spelling(before: Sequence[int], ids: Sequence[int], model: TextModel) -> tuple[str, list[Token]]:
    """Return the text of generated tokens, and each token with the part of the text that decoding adds for it."""
    every = [*before[-_CONTEXT:], *ids]
    first = len(every) - len(ids)

    def decoded(start: int, stop: int) -> str:
        return str(model.tokenizer.decode(every[start:stop], clean_up_tokenization_spaces=False))

    base, whole = decoded(0, first), decoded(0, len(every))
    if not whole.startswith(base):  # decoding changes the text before: spell the tokens alone
        return spelling((), ids, model)
    text = whole[len(base) :]
    ends = _ends(text, decoded, first, len(every))
    if ends[-1] != len(text):  # a token's text depends on more than a few tokens before it
        ends = [_common(text, 0, decoded(0, stop)[len(base) :]) for stop in range(first, len(every) + 1)]
    special = _special_ids(model)
    tokens = []
    for i, start, end in zip(ids, ends, ends[1:], strict=False):
        place = trim(text, min(start, end), end)
        tokens.append(Token(model.class_name(i), *place, text_index=1 if before else 0, special=i in special))
    return text, tokens


def _ends(text: str, decoded: Callable[[int, int], str], first: int, stop: int) -> list[int]:
    """The length of the text before the first token and after each one, found by decoding a few tokens before it.

    A character whose bytes are spread over several tokens belongs to the last of them.
    """
    ends = [0]
    # The last token that completed a character, the start of its context, and the length of the text up to there.
    anchor, low, known = first, 0, 0
    before = len(decoded(low, anchor))
    for end in range(first + 1, stop + 1):
        piece = decoded(low, end)[before:]
        reached = known + _common(text, known, piece)
        ends.append(reached)
        if reached == known + len(piece):
            anchor, low, known = end, max(end - _CONTEXT, 0), reached
            before = len(decoded(low, anchor))
    return ends


def _common(text: str, start: int, piece: str) -> int:
    """The number of characters that the text from ``start`` on shares with the beginning of a piece."""
    part = text[start : start + len(piece)]
    return next((i for i, (a, b) in enumerate(zip(part, piece, strict=False)) if a != b), len(part))


def followed(prompt: Encoding, text: str, model: TextModel, *, special: bool) -> Encoding:
    """Tokenize a prompt and the text that follows it as one text, without a space between them.

    If the tokenizer would merge the prompt's last token with the text's first, the two are tokenized separately, as a
    model that continues the prompt would see them. ``special`` sets whether the tokenizer adds special tokens to the
    prompt.
    """
    if isinstance(text, TextWithIds):
        return followed_by_ids(prompt, text.ids, model, str(text))
    if not isinstance(text, str) or not text.strip():
        raise SaliencyError(f"the continuation is empty ({text!r}): give the text that follows the prompt.")
    (before,) = prompt.texts
    end = prompt.content.stop
    whole = model.encode(before + text, "windows", special=special)
    if whole.ids[:end] == prompt.ids[:end]:
        new = range(end, whole.content.stop)
        ids, tokens = [whole.ids[i] for i in new], [whole.tokens[i] for i in new]
        shift = len(before)
    else:
        alone = model.encode(text, "windows", special=False)
        ids, tokens, shift = list(alone.ids), list(alone.tokens), 0
    placed = [
        dataclasses.replace(
            token, text_index=1, start=max(token.start - shift, 0), end=max(token.end - shift, 0)
        )
        for token in tokens
    ]
    return _extended(prompt, text, ids, placed, model)


_MUCH = 10  # a missing space counts as a mistake if a space is this many times as probable


def warn_of_space(prompt: Encoding, following: Encoding, model: TextModel, *, special: bool) -> None:
    """Warn if a continuation starts without a space where the model would have written one."""
    before, text = following.texts
    if before[-1:].isspace() or not text[:1].isalnum():
        return
    end = prompt.content.stop
    spaced = followed(prompt, f" {text}", model, special=special).ids[end]
    first = following.ids[end]
    if spaced == first or not str(model.tokenizer.decode([spaced])).strip():
        return
    output = model.run(prompt.columns(range(end)))
    logits = hooks.tensor(output, "logits", 3, "(batch, tokens, classes)", "load a causal language model.")
    chances = logits[0, -1].float().softmax(dim=-1)
    without, with_space = chances[first].item(), chances[spaced].item()
    if with_space > _MUCH * without:
        warn(
            f"the continuation {text!r:.80} is explained without a space before it, where its first token has the "
            f"probability {without:.2g}; with a space it has {with_space:.2g}. If you mean the word, give the space: "
            f"explainer((prompt, {f' {text}'!r:.80}), target=hs.Continuation()).",
            UserWarning,
        )


def written(prompt: Encoding, model: TextModel, max_new_tokens: int) -> Encoding:
    """Continue a prompt by greedy decoding, without the token that ends the text."""
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


def followed_by_ids(
    prompt: Encoding, ids: Sequence[int], model: TextModel, text: str | None = None
) -> Encoding:
    """Append token ids to a prompt; they may begin with the prompt's own ids, as ``generate`` returns them."""
    before = prompt.ids[: prompt.content.stop]
    if tuple(ids[: len(before)]) == before:
        ids = ids[len(before) :]
    if not ids:
        raise SaliencyError("the ids contain only the prompt: append the ids of the continuation.")
    check_ids(model.streams[-1], ids, [model.class_name(i) for i in ids])
    spelled, tokens = spelling(before, ids, model)
    if text is not None and spelled.split() != text.split():
        raise SaliencyError(f"the ids spell {spelled!r:.200} after the prompt, and not {text!r:.200}.")
    return _extended(prompt, spelled, ids, tokens, model)


def translated(
    source: Encoding,
    text: str | None,
    model: TextModel,
    max_new_tokens: int,
    target_ids: Sequence[int] | None = None,
) -> Encoding:
    """Encode a source and the target of an encoder-decoder as the two sequences that the model reads.

    The second sequence is the decoder's. It begins with the decoder's start tokens, and the model writes its last token
    but never reads it. The target is ``text``, or ``target_ids`` with or without their start token, or the text that
    the model writes.
    """
    if isinstance(text, TextWithIds):
        target_ids = text.ids
    if text is None or target_ids is not None:
        if target_ids is None:
            ids = generated(source, model, model.room(max_new_tokens))
        else:
            begin = _start(model)
            ids = [*target_ids] if target_ids[0] == begin else [begin, *target_ids]
            check_ids(model.streams[-1], ids, [model.class_name(i) for i in ids])
            model.check_fits(len(ids), "Give fewer ids.", "target", as_target=True)
            _warn_of_start(ids, model, by_hand=True)
        special = _special_ids(model)
        first = next((place for place, i in enumerate(ids) if place and i not in special), len(ids))
        spelled, plain = spelling((), content(ids[first:], model), model)
        head, tail = ids[:first], ids[first + len(plain) :]
        tokens = [*named(head, 0, model), *plain, *named(tail[:1], len(spelled), model)]
        target = Encoding((spelled,), tuple(ids[: len(tokens)]), tuple(tokens))
    else:
        if not isinstance(text, str) or not text.strip():
            raise SaliencyError(f"the target text is empty ({text!r}): there is nothing to explain.")
        labels = model.encode(text, "windows", as_target=True)
        model.check_fits(
            len(labels), "Give a shorter one: overflow= is for the source alone.", "target", as_target=True
        )
        shifted = _shifted(labels.ids, model)
        head = shifted[: len(shifted) - (len(labels) - 1)]
        target = dataclasses.replace(
            labels,
            ids=(*head, *labels.ids),
            tokens=(*named(head, 0, model), *labels.tokens),
            inputs={},
        )
        _warn_of_start(target.ids, model)
    return joined([source, target])


def _warn_of_start(ids: Sequence[int], model: TextModel, *, by_hand: bool = False) -> None:
    """Warn if a given target does not begin with the start tokens of the model's generation config.

    ``by_hand`` means that the user gave ids, and not a text to which the tokenizer adds start tokens.
    """
    config = getattr(model.model, "generation_config", None)
    start = getattr(config, "decoder_start_token_id", None)
    if start is not None and ids[0] != start:
        wanted, actual = model.class_name(start), model.class_name(ids[0])
        warn(
            f"the model's generation config makes its decoder start with {wanted!r}, but it starts with {actual!r} "
            "before the given target, so the target follows a different start token than the model's own output. If "
            f"{wanted!r} is the target language, set tokenizer.tgt_lang = {wanted!r}; otherwise set "
            f"generation_config.decoder_start_token_id to {ids[0]}.",
            UserWarning,
        )
    forced = getattr(config, "forced_bos_token_id", None)
    if forced is not None and len(ids) > 1 and ids[1] != forced:
        wanted, actual = model.class_name(forced), model.class_name(ids[1])
        start = "the given ids start" if by_hand else "the tokenizer starts the given target"
        fix = (
            f"Give ids that start with {forced}"
            if by_hand
            else f"Name the target language, tokenizer.tgt_lang = {wanted!r}"
        )
        warn(
            f"the model's generation config makes it start with {wanted!r}, but {start} with {actual!r}, so "
            f"the target follows a different start token than the model's own output. {fix}, or set "
            f"generation_config.forced_bos_token_id to {ids[1]}.",
            UserWarning,
        )


def _shifted(labels: Sequence[int], model: TextModel) -> list[int]:
    """The ids that the decoder reads while it writes the labels."""
    shift = getattr(model.model, "prepare_decoder_input_ids_from_labels", None)
    if callable(shift):
        ids: list[int] = shift(torch.tensor([labels], device=model.streams[0].device))[0].tolist()
        if ids[1:] == list(labels[:-1]):
            return ids
    return [_start(model), *labels[:-1]]


def _start(model: TextModel) -> int:
    """The token that the decoder starts with."""
    start = getattr(getattr(model.model, "generation_config", None), "decoder_start_token_id", None)
    start = getattr(model.model.config, "decoder_start_token_id", None) if start is None else start
    if start is None:
        raise SaliencyError(
            f"{type(model.model).__name__} does not say what its decoder starts with: set "
            "model.config.decoder_start_token_id."
        )
    return int(start)
