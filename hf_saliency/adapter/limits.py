"""Limits: how many tokens a model reads, from its tokenizer, its configuration and the sizes of its tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

from hf_saliency.adapter import tasks
from hf_saliency.adapter.streams import Stream

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_UNLIMITED = 10**6  # tokenizers without a limit report 10^30
# Names of the number of positions in configurations of transformers.
_NAMES = (
    "max_position_embeddings",
    "n_positions",
    "max_encoder_position_embeddings",  # LED
    "max_decoder_position_embeddings",
    "max_source_positions",
    "max_target_positions",
    "max_seq_len",  # MPT
)


def token_limits(
    model: nn.Module, streams: Sequence[Stream], tokenizer: PreTrainedTokenizerBase
) -> tuple[int | None, ...]:
    """Return the most tokens that the model reads in each stream; None if there is no limit."""
    everywhere = [getattr(tokenizer, "model_max_length", None), getattr(model, "max_seq_length", None)]
    halves: list[Any] = [model]
    if len(streams) > 1 and tasks.SEQ2SEQ in tasks.tasks_of(
        model
    ):  # other heads give both halves the same text
        inner: Any = model
        halves = [inner.get_encoder(), inner.get_decoder()]
    config = getattr(model, "config", None)
    limits = [_least([*everywhere, *_sizes(half, config, streams)]) for half in halves]
    return tuple(limits[min(i, len(limits) - 1)] for i in range(len(streams)))


def _least(limits: Sequence[object]) -> int | None:
    known = [limit for limit in limits if isinstance(limit, int) and 0 < limit < _UNLIMITED]
    return min(known) if known else None


def _sizes(model: nn.Module, config: object, streams: Sequence[Stream]) -> Iterator[int]:
    """Yield the sizes of position tables, which fail on a longer text; rotary positions have no table."""
    stated = {getattr(config, name, None) for name in _NAMES}
    for module in model.modules():
        if type(module).__name__ == "MptAttention":  # its linear biases only reach this far
            yield module.max_seq_length  # type: ignore[misc]
        if isinstance(module, nn.Embedding):
            # BART's and OPT's tables have a few extra rows.
            positions = module.num_embeddings - getattr(module, "offset", 0)
            if positions in stated and not any(module is stream.module for stream in streams):
                # Positions that start after the padding index (RoBERTa's) leave fewer rows.
                yield positions - (0 if module.padding_idx is None else module.padding_idx + 1)
            continue
        for name, table in module.named_buffers(recurse=False):
            rows = table.shape[1:2] if table.shape[:1] == (1,) else table.shape[:1]
            if "pos" in name and rows and rows[0] in stated:
                yield rows[0]
