"""Reading an embedding table: what the module returns for every token, piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from hf_saliency.errors import SaliencyError


def width_of(table: nn.Embedding | Tensor) -> int:
    """How many dimensions an embedding has."""
    return next(pieces(table, rows=1)).shape[1]


@torch.no_grad()
def pieces(table: nn.Embedding | Tensor, rows: int) -> Iterator[Float[Tensor, "rows width"]]:
    """The table from its first row to its last, at most so many rows at a time."""
    weight = _plain(table)
    if weight is not None:
        yield from _split(weight, rows)
        return
    assert isinstance(table, nn.Embedding)
    embed = _embed_without_renormalizing(table)
    device = torch.device("cpu") if table.weight.is_meta else table.weight.device
    for ids in _split(torch.arange(len(table.weight), device=device), rows):
        yield _realised(embed, ids, table)


@torch.no_grad()
def rows_of(table: nn.Embedding | Tensor, ids: Int[Tensor, " n"]) -> Float[Tensor, "n width"]:
    """The embeddings of some tokens."""
    weight = _plain(table)
    if weight is not None:
        return weight[ids]
    assert isinstance(table, nn.Embedding)
    return _realised(_embed_without_renormalizing(table), ids, table)


def _plain(table: nn.Embedding | Tensor) -> Float[Tensor, "vocabulary width"] | None:
    """The table where it is a tensor, and None where a module makes it."""
    if isinstance(table, Tensor):
        return table.detach()
    return table.weight.detach() if _is_its_weight(table) else None


def _split(tensor: Shaped[Tensor, "n ..."], size: int) -> Iterator[Shaped[Tensor, "size ..."]]:
    size = max(1, size)
    return (tensor[start : start + size] for start in range(0, len(tensor), size))


def _is_its_weight(module: nn.Embedding) -> bool:
    """Whether nothing stands between the weight and what the module returns."""
    changed = module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module)
    return type(module) is nn.Embedding and module.max_norm is None and not changed


def _embed_without_renormalizing(module: nn.Embedding) -> Callable[[Tensor], object]:
    """The module's call; under ``max_norm`` torch rewrites the weight in the forward pass, so on a copy."""
    if module.max_norm is None:
        return module
    copies = {name: parameter.detach().clone() for name, parameter in module.named_parameters()}
    return lambda ids: torch.func.functional_call(module, copies, ids)


def _realised(
    embed: Callable[[Tensor], object], ids: Int[Tensor, " rows"], module: nn.Embedding
) -> Float[Tensor, "rows width"]:
    advice = (
        f"{type(module).__name__} does not map each token id to a row of its own: the one-hot gradient needs "
        "an embedding from ids of shape (n,) to (n, width); space='embedding' needs none."
    )
    try:
        rows = embed(ids)
    except Exception as error:
        raise SaliencyError(f"{advice} Its call with {len(ids)} ids failed: {error}") from error
    if not isinstance(rows, Tensor) or not rows.is_floating_point():
        raise SaliencyError(f"{advice} For {len(ids)} ids it returned a {type(rows).__name__} not of floats.")
    if rows.dim() != 2 or len(rows) != len(ids):
        raise SaliencyError(f"{advice} For {len(ids)} ids it returned the shape {tuple(rows.shape)}.")
    return rows.detach()
