"""Baselines: the embeddings that replace a token."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from hf_saliency.adapter.encoding import Encoding
from hf_saliency.adapter.streams import Stream, check_ids
from hf_saliency.adapter.text_model import TextModel
from hf_saliency.errors import SaliencyError
from hf_saliency.score.batch import Batch

_ROWS = 4096  # of the embedding table that are summed at a time


def mask_embedding(
    embedding: nn.Module, tokenizer: Any, ids: Int[Tensor, "batch tokens"]
) -> Float[Tensor, " width"]:
    """The embedding of the mask token: the default for masked language models, which have learned to read it.

    Parameters
    ----------
    embedding
        The module that embeds the tokens.
    tokenizer
        The tokenizer that belongs to it.
    ids
        The token ids of the explained texts. Any function of these three arguments is a baseline if its result can
        be broadcast to (batch, tokens, width).

    Returns
    -------
    Float[Tensor, " width"]

    Raises
    ------
    SaliencyError
        If the tokenizer has no mask token.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> text, target = "She drank hot tea.", hs.MaskedToken("tea")
    >>> heat = explainer(text, target=target, method=hs.leave_one_out(baseline=hs.mask_embedding))
    >>> heat.arguments["baseline"]
    'mask_embedding'
    """
    return _token(embedding, tokenizer, ids, "mask")


def pad_embedding(
    embedding: nn.Module, tokenizer: Any, ids: Int[Tensor, "batch tokens"]
) -> Float[Tensor, " width"]:
    """The embedding of the padding token.

    Parameters
    ----------
    embedding
        As for :func:`mask_embedding`.
    tokenizer
        As for :func:`mask_embedding`.
    ids
        As for :func:`mask_embedding`.

    Returns
    -------
    Float[Tensor, " width"]

    Raises
    ------
    SaliencyError
        If the tokenizer has no padding token.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> text, target = "She drank hot tea.", hs.MaskedToken("tea")
    >>> heat = explainer(text, target=target, method=hs.leave_one_out(baseline=hs.pad_embedding))
    >>> heat.arguments["baseline"]
    'pad_embedding'
    """
    return _token(embedding, tokenizer, ids, "pad")


@torch.no_grad()
def mean_embedding(
    embedding: nn.Module, tokenizer: Any, ids: Int[Tensor, "batch tokens"]
) -> Float[Tensor, " width"]:
    """The mean of all embeddings of the vocabulary: the default for models without a mask token.

    Parameters
    ----------
    embedding
        As for :func:`mask_embedding`.
    tokenizer
        As for :func:`mask_embedding`.
    ids
        As for :func:`mask_embedding`.

    Returns
    -------
    Float[Tensor, " width"]

    Raises
    ------
    SaliencyError
        If the module is not an ``nn.Embedding``.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> text, target = "She drank hot tea.", hs.MaskedToken("tea")
    >>> heat = explainer(text, target=target, method=hs.leave_one_out(baseline=hs.mean_embedding))
    >>> heat.arguments["baseline"]
    'mean_embedding'
    """
    if not isinstance(embedding, nn.Embedding):
        raise SaliencyError(f"{type(embedding).__name__} has no vocabulary to average over.")
    every = torch.arange(embedding.num_embeddings, device=ids.device)
    wide = torch.float64 if ids.device.type in ("cpu", "cuda") else torch.float32
    parts = [every[start : start + _ROWS] for start in range(0, len(every), _ROWS)]
    total = torch.stack([embedding(part).to(wide).sum(dim=0) for part in parts]).sum(dim=0)
    return total / len(every)


def zero_embedding(
    embedding: nn.Module, tokenizer: Any, ids: Int[Tensor, "batch tokens"]
) -> Float[Tensor, " width"]:
    """A vector of zeros. Layer norms blow small vectors up, so on many models scores miss completeness by far.

    Parameters
    ----------
    embedding
        As for :func:`mask_embedding`.
    tokenizer
        As for :func:`mask_embedding`.
    ids
        As for :func:`mask_embedding`.

    Returns
    -------
    Float[Tensor, " width"]

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> text, target = "She drank hot tea.", hs.MaskedToken("tea")
    >>> heat = explainer(text, target=target, method=hs.leave_one_out(baseline=hs.zero_embedding))
    >>> heat.arguments["baseline"]
    'zero_embedding'
    """
    return torch.zeros_like(_embedded(embedding, ids[0, :1]))


@torch.no_grad()
def _embedded(embedding: nn.Module, ids: Int[Tensor, " n"]) -> Float[Tensor, " width"]:
    vector: Tensor = embedding(ids)[0]
    return vector


def _token(embedding: nn.Module, tokenizer: Any, ids: Tensor, name: str) -> Float[Tensor, " width"]:
    index = getattr(tokenizer, f"{name}_token_id", None)
    if index is None:
        raise SaliencyError(
            f"{type(tokenizer).__name__} has no {name} token: choose another baseline, such as "
            "baseline=hs.mean_embedding."
        )
    if isinstance(embedding, nn.Embedding):
        check_ids(Stream(embedding), [index], [getattr(tokenizer, f"{name}_token")])
    return _embedded(embedding, torch.tensor([index], device=ids.device))


Vectors = Callable[[nn.Module, Any, Tensor], Tensor]
# A function from texts, in the form of the explained ones, to the tokens that the model reads.
EncodeLike = Callable[[Any], Encoding]


@dataclass(frozen=True)
class Baseline:
    """A baseline resolved for one model, and its name in results.

    The source is a function such as :func:`mask_embedding`; a text with the same number of tokens, or a tuple of texts
    if a tuple is explained; a tensor that can be broadcast to the whole text's (tokens, width); or a number.
    """

    source: Vectors | str | tuple[str, ...] | Tensor | float
    name: str | float

    @classmethod
    def of(cls, value: Any, model: TextModel) -> Baseline:
        """Return the user's baseline, or the model's default for None; refuse anything else."""
        if value is None:
            value = mean_embedding if model.tokenizer.mask_token_id is None else mask_embedding
        if isinstance(value, Tensor) and value.is_floating_point():
            return cls(value.detach(), f"tensor {tuple(value.shape)}")
        if isinstance(value, str) or (isinstance(value, (int, float)) and not isinstance(value, bool)):
            return cls(value, value)
        if isinstance(value, tuple) and value and all(isinstance(text, str) for text in value):
            return cls(value, str(value))
        if callable(value):
            return cls(value, getattr(value, "__name__", type(value).__name__))
        if isinstance(value, list):
            raise SaliencyError(
                f"baseline={value!r}: a list means several baselines, which only hs.integrated_gradients and "
                "hs.gradient_shap accept: give one baseline, or a tuple of texts for texts that belong together."
            )
        shown = f"a {value.dtype} tensor" if isinstance(value, Tensor) else repr(value)
        raise SaliencyError(
            f"baseline={shown}: give hs.mask_embedding, hs.pad_embedding, hs.mean_embedding or hs.zero_embedding, a "
            "text with the same number of tokens (a tuple of texts for a tuple), a float tensor (tokens, width), or a "
            "function (embedding, tokenizer, ids) -> tensor.",
            page="concepts/baselines#what-you-can-choose",
        )

    @torch.no_grad()
    def embeds(
        self, model: TextModel, batch: Batch, kept: Sequence[Bool[Tensor, "batch _"]], encode_like: EncodeLike
    ) -> tuple[Float[Tensor, "batch tokens width"], ...]:
        """Return the baseline of each row, (batch, tokens, width) per stream; ``kept`` tokens keep their embedding.

        Refuse a baseline that does not have the shape of the text, or is not finite.
        """
        words = self._words(batch, encode_like) if isinstance(self.source, (str, tuple)) else None
        filled_parts = []
        for part, (stream, embeds) in enumerate(zip(batch.streams, batch.embeds, strict=True)):
            if words is None:
                vectors = self._vectors(stream.module, model, batch, part).detach().to(embeds)
            else:
                vectors = stream.embed(_columns_of(words, batch, part)).to(embeds)
            if not bool(vectors.isfinite().all()):
                raise SaliencyError(f"the baseline {self.name!r} holds NaN or infinity.")
            try:
                filled = vectors.broadcast_to(embeds.shape)
            except RuntimeError as error:
                raise SaliencyError(
                    f"the baseline {self.name!r} has the shape {tuple(vectors.shape)}, which does not fit the text's "
                    f"embeddings {tuple(embeds.shape[1:])} (tokens, width), special tokens included."
                ) from error
            filled_parts.append(torch.where(kept[part][..., None], embeds.detach(), filled))
        return tuple(filled_parts)

    def _vectors(self, embedding: nn.Module, model: TextModel, batch: Batch, part: int) -> Tensor:
        embeds = batch.embeds[part]
        if isinstance(self.source, Tensor):
            return self._columns(self.source, batch, part)
        if not callable(self.source):
            return embeds.new_tensor(self.source)
        vectors: Any = self.source(embedding, model.tokenizer, batch.ids[part])
        if not isinstance(vectors, Tensor):
            raise SaliencyError(
                f"the baseline {self.name!r} returned {type(vectors).__name__}, not a tensor."
            )
        return vectors

    def _words(self, batch: Batch, encode_like: EncodeLike) -> Encoding:
        """Encode the baseline's texts in the same way as the explained ones."""
        single = isinstance(self.source, str)
        if single and any(len(row.encoding.texts) > 1 for row in batch.rows):
            raise SaliencyError(
                f"the baseline {self.source!r} is a single text, but several texts are explained together: give a "
                "tuple with one baseline text for each, or a baseline such as hs.mean_embedding."
            )
        shown = f"the baseline {'text' if single else 'texts'} {self.source!r}"
        try:
            words = encode_like(self.source)
        except SaliencyError as error:
            raise SaliencyError(f"{shown} cannot be read like the explained text: {error}") from error
        for row in batch.rows:
            count, expected = _counts(words), _counts(row.encoding)
            if count != expected:
                raise SaliencyError(
                    f"{shown} {'has' if single else 'have'} {count} tokens, special ones included, but the explained "
                    f"{'text has' if single else 'texts have'} {expected}: give {'a text' if single else 'texts'} with "
                    f"{expected} tokens, or a baseline such as hs.mask_embedding (the function, not its name)."
                )
        return words

    def _columns(self, tensor: Tensor, batch: Batch, part: int) -> Tensor:
        """Cut a tensor for the whole text to the tokens that each row sees."""
        embeds = batch.embeds[part]
        if tensor.dim() < 2 or tensor.shape[-2] == 1:
            return tensor
        if tensor.dim() > 2 or any(len(row.encoding) != len(tensor) for row in batch.rows):
            length = len(batch.rows[0].encoding)
            raise SaliencyError(
                f"the baseline {self.name!r} does not fit a text of {length} tokens, special ones included: give a "
                f"tensor of shape ({embeds.shape[-1]},) or ({length}, {embeds.shape[-1]})."
            )
        filled = embeds.new_zeros(*embeds.shape[:2], tensor.shape[-1])
        for i, columns in enumerate(batch.columns):
            filled[i, : len(columns[part])] = tensor[list(columns[part])].to(embeds)
        return filled


def _counts(encoding: Encoding) -> str:
    """The number of tokens of each text, for a message."""
    counts = Counter(token.text_index for token in encoding.tokens)
    return " and ".join(str(counts[number]) for number in range(len(encoding.texts)))


def _columns_of(words: Encoding, batch: Batch, part: int) -> Int[Tensor, "batch tokens"]:
    """Replace the token ids that each row sees by those of the baseline's texts at the same places."""
    ids = batch.ids[part].clone()
    for i, columns in enumerate(batch.columns):
        seen = columns[part]
        ids[i, : len(seen)] = torch.tensor([words.ids[j] for j in seen], device=ids.device)
    return ids
