"""The slow, obvious reference: one row, one dense one-hot input, ``torch.autograd``, no code of the package."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from hf_saliency import SaliencyMap


def masked_ids(tokenizer: PreTrainedTokenizerBase, text: str, position: int | None) -> list[int]:
    ids = list(tokenizer(text)["input_ids"])
    if position is not None:
        ids[position] = tokenizer.mask_token_id
    return ids


def logits_of(model: nn.Module, ids: list[int], one_hot: torch.Tensor | None = None) -> torch.Tensor:
    """Logits (tokens, vocabulary) of one row; a one-hot input is embedded instead of the ids."""
    embedding = model.get_input_embeddings()

    def dense(module: nn.Module, arguments: object, output: torch.Tensor) -> torch.Tensor:
        embeds = one_hot @ _table(model)
        return torch.cat([embeds, output[:, len(ids) :]], dim=1)  # some models pad after the text themselves

    hook = None if one_hot is None else embedding.register_forward_hook(dense)
    inputs = {"input_ids": torch.tensor([ids])}
    if "attention_mask" in inspect.signature(model.forward).parameters:
        inputs["attention_mask"] = torch.ones(1, len(ids), dtype=torch.long)
    try:
        return model(**inputs)[0][0]
    finally:
        if hook is not None:
            hook.remove()


def connectivity(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    text: str,
    saliency_map: SaliencyMap,
    class_ids: list[int],
    order: float = 2,
) -> np.ndarray:
    """(targets, tokens): the norm of the logit's gradient with respect to each one-hot token, row by row."""
    rows = []
    for target, class_id in zip(saliency_map.targets, class_ids, strict=True):
        ids = masked_ids(tokenizer, text, target.position if target.masked else None)
        table = _table(model)
        one_hot = (
            torch.nn.functional.one_hot(torch.tensor([ids]), len(table)).to(table.dtype).requires_grad_()
        )
        logit = logits_of(model, ids, one_hot)[target.position, class_id]
        (gradient,) = torch.autograd.grad(logit, one_hot)
        rows.append(torch.linalg.vector_norm(gradient[0], order, dim=-1))
    return torch.stack(rows).numpy()


def _table(model: nn.Module) -> torch.Tensor:
    """Every row of the embedding, as the module returns it without hooks."""
    embedding = model.get_input_embeddings()
    with torch.no_grad():
        return embedding.forward(torch.arange(embedding.num_embeddings)).detach()


def dense(
    streams: list[tuple[nn.Module, list[int]]], scalar: Callable[[], torch.Tensor], *, signed: bool = False
) -> np.ndarray:
    """(tokens of all streams,): the norm of a number's gradient with respect to each token's dense one-hot vector.

    ``scalar`` runs the model on the ids and calls each stream's embedding module once. With ``signed``, return the
    gradient times the embedding instead of the norm.
    """
    inputs, hooks = [], []
    for module, ids in streams:
        with torch.no_grad():
            table = module.forward(torch.arange(module.num_embeddings)).detach()
        one_hot = (
            torch.nn.functional.one_hot(torch.tensor([ids]), len(table)).to(table.dtype).requires_grad_()
        )
        inputs.append(one_hot)
        hooks.append(
            module.register_forward_hook(
                lambda module, arguments, output, x=one_hot, t=table: (x @ t).reshape(output.shape)
            )
        )
    try:
        gradients = torch.autograd.grad(scalar(), inputs)
    finally:
        for hook in hooks:
            hook.remove()
    if signed:
        parts = [(g * x).sum(dim=-1)[0] for g, x in zip(gradients, inputs, strict=True)]
    else:
        parts = [torch.linalg.vector_norm(g[0], dim=-1) for g in gradients]
    return torch.cat(parts).detach().numpy()
