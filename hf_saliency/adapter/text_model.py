"""TextModel: a model and its tokenizer, with what the adapter knows of them."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import Tensor, nn

from hf_saliency.adapter import embedding
from hf_saliency.adapter.encoding import Encoding, encode
from hf_saliency.adapter.families import family
from hf_saliency.adapter.locks import lock_of
from hf_saliency.errors import SaliencyError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Overflow = Literal["error", "truncate", "windows"]
OVERFLOWS: tuple[Overflow, ...] = get_args(Overflow)

_UNLIMITED = 10**6  # tokenizers without a limit report 10^30


class TextModel:
    """A model with its tokenizer: where text enters, how long it may be, what its classes are called.

    Parameters
    ----------
    model
        The user's model; a compiled one is read through to the module underneath, since compiled code ignores
        hooks that come later.
    tokenizer
        The tokenizer that belongs to it.
    """

    def __init__(self, model: nn.Module, tokenizer: PreTrainedTokenizerBase) -> None:
        model = getattr(model, "_orig_mod", model)
        if not isinstance(model, nn.Module) or not callable(tokenizer):
            raise SaliencyError(
                f"expected a model and its tokenizer, not {type(model).__name__} and {type(tokenizer).__name__}: "
                "Explainer(AutoModelForMaskedLM.from_pretrained(name), AutoTokenizer.from_pretrained(name))."
            )
        self.model = model
        self.tokenizer = tokenizer
        _check_differentiable(model)
        self.family = family(model)
        self.streams = embedding.streams(model)
        self.known = frozenset(inspect.signature(model.forward).parameters)
        # Without a mask for it, padding would be read as text.
        self.pads = self.family.pads and "attention_mask" in self.known
        self.max_tokens = _max_tokens(model, self.streams, tokenizer)
        caution = self.family.caution(model) if self.family.caution else None
        if caution:
            warnings.warn(caution, UserWarning, stacklevel=3)

    def encode(self, text: str, overflow: Overflow = "error") -> Encoding:
        """A text as this model's tokens; see :func:`hf_saliency.adapter.encoding.encode`."""
        if overflow not in OVERFLOWS:
            raise SaliencyError(f"overflow={overflow!r}: choose one of {', '.join(map(repr, OVERFLOWS))}.")
        with lock_of(self.tokenizer):  # fast tokenizers refuse two threads at once
            encoding = encode(self.tokenizer, text)
        embedding.check_ids(self.streams[0], encoding.ids, [token.piece for token in encoding.tokens])
        limit = self.max_tokens
        if limit is None or len(encoding) <= limit or overflow == "windows":
            return encoding
        if overflow == "truncate":
            return encoding.truncated(limit)
        raise SaliencyError(
            f"the text has {len(encoding)} tokens, special ones included, but the model reads at most {limit}. Pass "
            "overflow='truncate' to explain its beginning, or overflow='windows' to explain each target within the "
            "tokens around it."
        )

    @property
    def classes(self) -> int:
        """How many token ids the model knows."""
        module = self.streams[0].module
        assert isinstance(module, nn.Embedding)
        return module.num_embeddings

    def columns(self, encoding: Encoding, position: int) -> list[int] | None:
        """Which tokens of a text the model sees for a target at a position; None for all of them."""
        if self.max_tokens is None or len(encoding) <= self.max_tokens:
            return None
        return encoding.window(position, self.max_tokens)

    def mask_id(self) -> int:
        """The id of the mask token."""
        mask = self.tokenizer.mask_token_id
        if mask is None:
            raise SaliencyError(
                f"{type(self.tokenizer).__name__} has no mask token, which masking a position needs: set "
                "tokenizer.mask_token to the one that the model was trained with, or explain the text as it is "
                "with target=hs.UnmaskedToken()."
            )
        return int(mask)

    def class_name(self, index: int) -> str:
        """What to show for a class: the token's text without white space, or its own name if it has none."""
        name = self.tokenizer.decode([index], clean_up_tokenization_spaces=False)
        return str(name).strip() or str(self.tokenizer.convert_ids_to_tokens(index))

    def names(self, inputs: Iterable[str]) -> tuple[str, ...]:
        """Which of the tokenizer's inputs this model takes, in the order of its rows."""
        return tuple(name for name in ("input_ids", "attention_mask", *inputs) if name in self.known)

    def pad(self, rows: Sequence[Mapping[str, Sequence[int]]]) -> dict[str, Tensor]:
        """Rows of unequal length as (batch, tokens) tensors, padded on the right."""
        length = max(len(row["input_ids"]) for row in rows)
        pad_id = self.tokenizer.pad_token_id or 0
        tensors = {}
        for name in rows[0]:
            fill = pad_id if name == "input_ids" else 0
            padded = [[*row[name], *[fill] * (length - len(row[name]))] for row in rows]
            tensors[name] = torch.tensor(padded, device=self.streams[0].device)
        return tensors


def _check_differentiable(model: nn.Module) -> None:
    """Refuse kernels without a backward pass: beside a residual connection they would drop gradients silently."""
    for name, module in model.named_modules():
        if type(module).__module__.startswith(("torch.ao.nn.quantized", "torch.nn.quantized")):
            raise SaliencyError(
                f"{name} is a quantised {type(module).__name__}, which has no backward pass: load the model without "
                "torch's quantisation, or in 8 or 4 bits with bitsandbytes, whose layers have one."
            )


def _max_tokens(
    model: nn.Module, streams: Sequence[embedding.Stream], tokenizer: PreTrainedTokenizerBase
) -> int | None:
    """How many tokens the model reads: the tokenizer's word, and the size of a table of learned positions."""
    limits = [getattr(tokenizer, "model_max_length", None)]
    positions = getattr(getattr(model, "config", None), "max_position_embeddings", None)
    for module in model.modules():
        is_text = any(module is stream.module for stream in streams)
        if isinstance(module, nn.Embedding) and module.num_embeddings == positions and not is_text:
            # Positions that start after the padding index (RoBERTa's) leave that many fewer.
            limits.append(positions - (0 if module.padding_idx is None else module.padding_idx + 1))
    known = [limit for limit in limits if isinstance(limit, int) and 0 < limit < _UNLIMITED]
    return min(known) if known else None
