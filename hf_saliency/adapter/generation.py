"""Generation: what a model writes, greedily, and how its tokens spell it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch

from hf_saliency.adapter.encoding import Encoding
from hf_saliency.adapter.hooks import borrowed
from hf_saliency.adapter.text_model import TextModel
from hf_saliency.errors import SaliencyError
from hf_saliency.spans import Token, trim

_CONTEXT = 8  # tokens before a generated one that its spelling may depend on


def generated(prompt: Encoding, model: TextModel, max_new_tokens: int) -> list[int]:
    """All that the decoder reads and writes: the prompt first, or what starts it."""
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
    given = {name: value for name, value in model.given(prompt, model.layout).items() if name != "use_cache"}
    with torch.inference_mode(False), torch.no_grad(), borrowed(model.model):
        found = model.model.generate(**given, generation_config=config)  # type: ignore[operator]
    ids: list[int] = found[0].tolist()
    return ids


def is_special(i: int, model: TextModel) -> bool:
    """Whether a token is none of the text's own."""
    return i in set(model.tokenizer.all_special_ids) - {model.tokenizer.unk_token_id}


def content(ids: Sequence[int], model: TextModel) -> list[int]:
    """The tokens up to the one that ends the text."""
    ends = getattr(getattr(model.model, "generation_config", None), "eos_token_id", None)
    stops = set(ends if isinstance(ends, list) else [ends]) | {model.tokenizer.eos_token_id}
    stop = next((i for i, one in enumerate(ids) if one in stops), len(ids))
    if stop == 0:
        raise SaliencyError(
            "the model ends its text at once, so there is nothing to explain: give another prompt, or the "
            "continuation itself."
        )
    return list(ids[:stop])


def named(ids: Sequence[int], end: int, model: TextModel) -> list[Token]:
    """Special tokens, which all stand at one place of the text."""
    pieces: Any = model.tokenizer.convert_ids_to_tokens(list(ids))
    return [Token(str(piece), end, end, special=True) for piece in pieces]


def spelling(before: Sequence[int], ids: Sequence[int], model: TextModel) -> tuple[str, list[Token]]:
    """The text of generated tokens, and each of them at its place: what decoding adds for it."""

    def decoded(count: int) -> str:
        some = [*before[-_CONTEXT:], *ids[:count]]
        return str(model.tokenizer.decode(some, clean_up_tokenization_spaces=False))

    base = decoded(0)
    whole = decoded(len(ids))
    if not whole.startswith(base):  # decoding changes what came before: spell the tokens alone
        return spelling((), ids, model)
    text = whole[len(base) :]
    # A character whose bytes are spread over tokens belongs to the last of them.
    ends = [len(_common(text, decoded(count)[len(base) :])) for count in range(len(ids) + 1)]
    pieces: Any = model.tokenizer.convert_ids_to_tokens(list(ids))
    tokens = []
    for piece, i, start, end in zip(pieces, ids, ends, ends[1:], strict=False):
        place = trim(text, min(start, end), end)
        tokens.append(Token(str(piece), *place, text=1 if before else 0, special=is_special(i, model)))
    return text, tokens


def _common(text: str, beginning: str) -> str:
    same = next((i for i, (a, b) in enumerate(zip(text, beginning, strict=False)) if a != b), None)
    return text[: min(len(text), len(beginning)) if same is None else same]
