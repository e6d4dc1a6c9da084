"""Streams: through which embedding module, in which of its calls, a text enters a model."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hf_saliency.adapter.guards import hooked
from hf_saliency.errors import SaliencyError


@dataclass(frozen=True)
class Stream:
    """One way into the model: the embedding module, which call of it in a forward pass, and of which text.

    Parameters
    ----------
    module
        The embedding.
    call
        Which call of it, counted from 0.
    extra_lookups
        Whether later calls of it may look up something else.
    echo
        The embedding of a decoder that reads the text again, shifted right by one, where no text of its own is given.
    wrap_pad_id
        The padding id by which an echo finds the text's last token, which it reads first; None for an echo that starts
        with a token of its own.
    explicit
        Whether the user passed the module.
    host
        The layer of PEFT around the embedding.
    """

    module: nn.Module
    call: int = 0
    extra_lookups: bool = False
    echo: nn.Module | None = None
    wrap_pad_id: int | None = None
    explicit: bool = False
    host: nn.Module | None = None

    def without_echo(self) -> Stream:
        """The stream without its echo."""
        return dataclasses.replace(self, echo=None)

    @property
    def device(self) -> torch.device:
        """Where token ids have to be."""
        weight = next(self.module.parameters())
        hook = getattr(self.module, "_hf_hook", None)  # accelerate keeps offloaded weights on "meta"
        executes_on = getattr(hook, "execution_device", None)
        if weight.is_meta and executes_on is not None:
            return torch.device(executes_on)
        return weight.device

    def check_host(self) -> None:
        """Refuse an embedding to which PEFT adds something since the stream was made, or that it no longer calls."""
        if self.host is not None and _table(self.host) is not self.module:
            raise SaliencyError(
                "the adapter of the text embedding was merged, unmerged, switched or disabled after the Explainer was "
                "made: make another one, hs.Explainer(model, tokenizer)."
            )

    @property
    def rows(self) -> int:
        """How many token ids the embedding knows."""
        assert isinstance(self.module, nn.Embedding)
        return self.module.num_embeddings

    def embed(self, ids: Int[Tensor, "batch tokens"]) -> Float[Tensor, "batch tokens width"]:
        """The embeddings of some tokens, as a value without a graph."""
        with torch.no_grad():
            embeds: Tensor = self.module(ids)
        return embeds.detach()


def streams(
    model: nn.Module,
    embedding: nn.Module | None = None,
    *,
    extra_lookups: bool = False,
    rotates: bool = False,
) -> tuple[Stream, ...]:
    """The streams of a model by the general rule: its input embedding; of an encoder-decoder one each.

    Parameters
    ----------
    model
        A model of transformers, or a module around one.
    embedding
        The embedding, where the rule does not find it.
    extra_lookups
        As for :class:`Stream`.
    rotates
        Whether the decoder's echo of the text starts with the text's last token.

    Returns
    -------
    tuple of Stream

    Raises
    ------
    SaliencyError
        If the model has no embedding of token ids.
    """
    if embedding is not None:
        return (dataclasses.replace(_stream(embedding, model), extra_lookups=extra_lookups, explicit=True),)
    inner = _inner(model)
    if getattr(getattr(inner, "config", None), "is_encoder_decoder", False):
        source, target = (_embedding_of(half(), model) for half in (inner.get_encoder, inner.get_decoder))
        first = dataclasses.replace(
            _stream(source, model),
            extra_lookups=extra_lookups,
            echo=target,
            wrap_pad_id=inner.config.pad_token_id if rotates else None,
        )
        # A table that both share is called by the encoder first.
        return (first, Stream(target, call=int(source is target), extra_lookups=extra_lookups))
    return (dataclasses.replace(_stream(_embedding_of(inner, model), model), extra_lookups=extra_lookups),)


def _inner(model: nn.Module) -> Any:
    """The outermost module that names its input embedding: the model itself, or the encoder within it."""
    if hasattr(model, "get_input_embeddings"):
        return model
    found = [module for module in model.modules() if hasattr(module, "get_input_embeddings")]
    outer = [
        one for one in found if not any(one is not other and one in set(other.modules()) for other in found)
    ]
    if len(outer) == 1:
        return outer[0]
    tables = {name: module for name, module in model.named_modules() if isinstance(module, nn.Embedding)}
    if not outer and len(tables) == 1:
        return model
    what = (
        f"{len(outer)} models with one"
        if outer
        else f"the tables {', '.join(tables)}"
        if tables
        else "no table"
    )
    raise SaliencyError(
        f"{type(model).__name__} has no get_input_embeddings(), and holds {what}: say which module embeds the token "
        "ids, Explainer(model, tokenizer, embedding=model.encoder.embed), or pass a text model of transformers, such "
        "as AutoModelForMaskedLM.from_pretrained(name)."
    )


def _embedding_of(model: Any, outer: nn.Module) -> Any:
    name = type(outer).__name__
    if not hasattr(model, "get_input_embeddings"):
        return next(module for module in model.modules() if isinstance(module, nn.Embedding))
    try:
        return model.get_input_embeddings()
    except (AttributeError, NotImplementedError) as error:
        raise SaliencyError(
            f"{name} has no get_input_embeddings(): pass a text model of transformers, such as "
            "AutoModelForMaskedLM.from_pretrained(name)."
        ) from error


def _stream(module: Any, model: nn.Module) -> Stream:
    table = _table(module)
    if type(table).__module__.startswith("peft."):
        raise SaliencyError(
            f"the text embedding of {type(model).__name__} is adapted itself ({type(table).__name__} of PEFT), and no "
            "table of it is known: merge the adapter into the weights first, model.merge_adapter() or model = "
            "model.merge_and_unload()."
        )
    if not isinstance(table, nn.Embedding):
        raise SaliencyError(
            f"{type(model).__name__} has no text embedding: get_input_embeddings() gives {type(table).__name__}, and "
            "one-hot gradients exist for an nn.Embedding over token ids only."
        )
    return Stream(table, host=None if table is module else module)


def _table(module: Any) -> Any:
    """The one embedding that a layer of PEFT looks ids up in; the layer itself where an adapter adds to it."""
    if hasattr(module, "modules_to_save"):
        active = module.active_adapter
        names = [active] if isinstance(active, str) else list(active)
        if module.disable_adapters or not any(name in module.modules_to_save for name in names):
            return module.original_module
        return module.modules_to_save[names[0]] if len(names) == 1 else module
    if type(module).__module__.startswith("peft.") and (module.merged or module.disable_adapters):
        return module.base_layer
    return module


def check_ids(stream: Stream, ids: Sequence[int], pieces: Sequence[str]) -> None:
    """Refuse ids that the embedding has no row for, before it fails on them."""
    rows = stream.rows
    for i, piece in zip(ids, pieces, strict=True):
        if not 0 <= i < rows:
            raise SaliencyError(
                f"the tokenizer gives the token {piece!r} the id {i}, but the model's embedding has {rows} rows: "
                "pass the tokenizer that belongs to the model, or call "
                "model.resize_token_embeddings(len(tokenizer)) after adding tokens."
            )


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
        stack.enter_context(hooked(stream.module.register_forward_pre_hook, note))
        stack.enter_context(hooked(stream.echo.register_forward_hook, replace))
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
    if (
        stream.wrap_pad_id is not None
    ):  # shift_tokens_right of transformers counts, also where a text holds padding
        last = (text != stream.wrap_pad_id).sum(dim=1) - 1
        start = given[torch.arange(len(given), device=given.device), last.to(given.device)][:, None]
    return torch.cat([start, given[:, :-1]], dim=1)


def _one_table(stream: Stream) -> bool:
    """Whether a token has the same embedding in both."""
    own: Any = stream.module
    other: Any = stream.echo
    scales = [getattr(module, "embed_scale", 1.0) for module in (own, other)]
    return own is other or (own.weight is other.weight and bool(scales[0] == scales[1]))
