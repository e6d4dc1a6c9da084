"""Echoes: a decoder that reads the encoder's text again, shifted right by one, as BART's and T5's classifiers do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from hf_saliency.adapter.embedding import Stream
from hf_saliency.errors import SaliencyError


@contextmanager
def echoed(stream: Stream, embeds: Tensor) -> Iterator[None]:
    """Put a stream's embeddings, shifted right by one, in the place of what its echo looks up.

    A token's embedding then counts for both of its places, as its one-hot vector does.

    Parameters
    ----------
    stream
        With an echo, whose table is the stream's own.
    embeds
        (batch, tokens, width).

    Yields
    ------
    None
    """
    owner = threading.get_ident()
    texts: list[Tensor] = []

    def note(module: nn.Module, arguments: Any) -> None:
        if threading.get_ident() == owner and not texts:
            texts.append(arguments[0])

    def replace(module: nn.Module, arguments: Any, output: Tensor) -> Tensor | None:
        if threading.get_ident() != owner or not texts or arguments[0] is texts[0]:
            return None
        return _moved(stream, texts[0], arguments[0], embeds, output)

    assert stream.echo is not None
    with ExitStack() as stack:
        stack.callback(stream.module.register_forward_pre_hook(note).remove)
        stack.callback(stream.echo.register_forward_hook(replace).remove)
        yield


def _moved(stream: Stream, text: Tensor, ids: Tensor, embeds: Tensor, output: Tensor) -> Tensor:
    same = ids.shape == text.shape and embeds.shape == output.shape and torch.equal(ids[:, 1:], text[:, :-1])
    if not same:
        raise SaliencyError(
            "the decoder of this model reads another text than its encoder, where one text is explained: explain what "
            "it writes with target=hs.Continuation()."
        )
    if not _one_table(stream):
        raise SaliencyError(
            "encoder and decoder of this model both read the text, with tables of their own, so that there is no one "
            "embedding a token: load it with config.tie_word_embeddings=True if that is what it was trained with."
        )
    given = embeds.to(output.dtype)
    start = output[:, :1]
    if stream.rotates:  # the last token that is no padding comes first
        places = torch.arange(ids.shape[1], device=ids.device)
        last = torch.where(text == ids[:, :1], places, -1).amax(dim=1)
        start = given[torch.arange(len(given), device=given.device), last.to(given.device)][:, None]
    return torch.cat([start, given[:, :-1]], dim=1)


def _one_table(stream: Stream) -> bool:
    """Whether a token has the same embedding in both."""
    own: Any = stream.module
    other: Any = stream.echo
    scales = [getattr(module, "embed_scale", 1.0) for module in (own, other)]
    return own is other or (own.weight is other.weight and bool(scales[0] == scales[1]))
