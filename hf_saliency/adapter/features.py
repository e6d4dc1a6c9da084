"""Features: which tokens of a row can be taken away, each on its own or word by word."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from hf_saliency.adapter.batch import Batch
from hf_saliency.adapter.text_model import TextModel
from hf_saliency.errors import SaliencyError
from hf_saliency.spans import word_groups
from hf_saliency.terms import FEATURES, Feature


def kept(model: TextModel, batch: Batch) -> Bool[Tensor, "batch tokens"]:
    """Tokens that are not explained away: special ones, masks and padding."""
    special = torch.ones(batch.ids.shape, dtype=torch.bool)
    for i, (row, columns) in enumerate(zip(batch.targets, batch.columns, strict=True)):
        special[i, : len(columns)] = torch.tensor([row.encoding.tokens[j].special for j in columns])
    mask = model.tokenizer.mask_token_id
    special = special.to(batch.ids.device)
    return special if mask is None else special | (batch.ids == mask)


def feature_mask(
    batch: Batch, kept: Bool[Tensor, "batch tokens"], feature: Feature
) -> Int[Tensor, "batch tokens"]:
    """For each token the number of its feature, from 0 in each row; -1 for tokens that are kept.

    Parameters
    ----------
    batch
        The rows.
    kept
        Which tokens belong to no feature.
    feature
        What a feature is.

    Returns
    -------
    Int[Tensor, "batch tokens"]

    Raises
    ------
    SaliencyError
        If there is no such feature.
    """
    if feature not in FEATURES:
        raise SaliencyError(f"feature={feature!r}: choose one of {', '.join(map(repr, FEATURES))}.")
    numbers = torch.full(batch.ids.shape, -1)
    for i, (row, columns) in enumerate(zip(batch.targets, batch.columns, strict=True)):
        groups = [[j] for j in range(len(columns))]
        if feature == "word":
            part = row.encoding.columns(columns)
            groups = word_groups(part.texts, part.tokens)
        free = (~kept[i]).tolist()
        groups = [open_ for group in groups if (open_ := [j for j in group if free[j]])]
        for number, group in enumerate(groups):
            numbers[i, group] = number
    return numbers.to(batch.ids.device)
