"""Features: which tokens of a row can be taken away, each on its own or word by word."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from hf_saliency.adapter.batch import Batch
from hf_saliency.adapter.text_model import TextModel
from hf_saliency.errors import SaliencyError
from hf_saliency.spans import word_groups
from hf_saliency.terms import FEATURES, Feature


def kept(model: TextModel, batch: Batch) -> tuple[Bool[Tensor, "batch _"], ...]:
    """Tokens of each stream that are not explained away: special ones, masks and padding."""
    found = []
    mask = model.tokenizer.mask_token_id
    for part, ids in enumerate(batch.ids):
        special = torch.ones(ids.shape, dtype=torch.bool)
        for i, (row, own) in enumerate(zip(batch.rows, batch.columns, strict=True)):
            columns = own[part]
            special[i, : len(columns)] = torch.tensor([row.encoding.tokens[j].special for j in columns])
        special = special.to(ids.device)
        found.append(special if mask is None else special | (ids == mask))
    return tuple(found)


def feature_mask(
    batch: Batch, kept: Sequence[Bool[Tensor, "batch _"]], feature: Feature
) -> tuple[Int[Tensor, "batch _"], ...]:
    """For each token the number of its feature, from 0 in each row; -1 for tokens that are kept.

    Parameters
    ----------
    batch
        The rows.
    kept
        Which tokens of each stream belong to no feature.
    feature
        What a feature is.

    Returns
    -------
    tuple of Int[Tensor, "batch tokens"]
        One a stream; the streams of a row share the count.

    Raises
    ------
    SaliencyError
        If there is no such feature.
    """
    if feature not in FEATURES:
        raise SaliencyError(f"feature={feature!r}: choose one of {', '.join(map(repr, FEATURES))}.")
    numbers = [torch.full(ids.shape, -1) for ids in batch.ids]
    stays = [one.cpu() for one in kept]
    for i, (row, own) in enumerate(zip(batch.rows, batch.columns, strict=True)):
        slots = [(part, slot) for part, columns in enumerate(own) for slot in range(len(columns))]
        groups = [[j] for j in range(len(slots))]
        if feature == "word":
            shown = row.encoding.columns([column for columns in own for column in columns])
            groups = word_groups(shown.texts, shown.tokens)
        free = [not bool(stays[part][i, slot]) for part, slot in slots]
        groups = [open_ for group in groups if (open_ := [j for j in group if free[j]])]
        for number, group in enumerate(groups):
            for part, slot in (slots[j] for j in group):
                numbers[part][i, slot] = number
    return tuple(one.to(ids.device) for one, ids in zip(numbers, batch.ids, strict=True))
