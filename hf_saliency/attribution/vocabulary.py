"""Vocabulary: an embedding table, prepared for the norms of gradients in one-hot tokens."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Hashable, Iterator, MutableMapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torch.utils.weak import WeakIdKeyDictionary

from hf_saliency.errors import SaliencyError


def width_of(table: nn.Embedding | Tensor) -> int:
    """Return the width of an embedding."""
    return next(pieces(table, rows=1)).shape[1]


@torch.no_grad()
def pieces(table: nn.Embedding | Tensor, rows: int) -> Iterator[Float[Tensor, "rows width"]]:
    """Yield the table from its first row to its last, at most ``rows`` rows at a time."""
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
    """Return the embeddings of some tokens."""
    weight = _plain(table)
    if weight is not None:
        return weight[ids]
    assert isinstance(table, nn.Embedding)
    return _realised(_embed_without_renormalizing(table), ids, table)


def _plain(table: nn.Embedding | Tensor) -> Float[Tensor, "vocabulary width"] | None:
    """Return the table if it is a plain tensor, or None if a module computes it."""
    if isinstance(table, Tensor):
        return table.detach()
    return table.weight.detach() if _is_its_weight(table) else None


def _split(tensor: Shaped[Tensor, "n ..."], size: int) -> Iterator[Shaped[Tensor, "size ..."]]:
    size = max(1, size)
    return (tensor[start : start + size] for start in range(0, len(tensor), size))


def _is_its_weight(module: nn.Embedding) -> bool:
    """Whether the module returns rows of its weight unchanged."""
    changed = module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module)
    return type(module) is nn.Embedding and module.max_norm is None and not changed


def _embed_without_renormalizing(module: nn.Embedding) -> Callable[[Tensor], object]:
    """Return the module's call. With ``max_norm`` it uses a copy, since torch then rewrites the weight in a call."""
    if module.max_norm is None:
        return module
    copies = {name: parameter.detach().clone() for name, parameter in module.named_parameters()}
    return lambda ids: torch.func.functional_call(module, copies, ids)


def _realised(
    embed: Callable[[Tensor], object], ids: Int[Tensor, " rows"], module: nn.Embedding
) -> Float[Tensor, "rows width"]:
    advice = (
        f"{type(module).__name__} does not map each token id to a separate row: the one-hot gradient needs "
        "an embedding from ids of shape (n,) to (n, width); space='embedding' needs none."
    )
    try:
        rows = embed(ids)
    except Exception as error:
        raise SaliencyError(f"{advice} Its call with {len(ids)} ids failed: {error}") from error
    if not isinstance(rows, Tensor) or not rows.is_floating_point():
        raise SaliencyError(
            f"{advice} For {len(ids)} ids it returned a {type(rows).__name__}, not a float tensor."
        )
    if rows.dim() != 2 or len(rows) != len(ids):
        raise SaliencyError(f"{advice} For {len(ids)} ids it returned the shape {tuple(rows.shape)}.")
    return rows.detach()


# Largest number of elements in a temporary tensor: 16 MiB in float32.
_TEMPORARY = 2**22

# On other devices the factor is computed on the CPU: MPS has no float64.
_FLOAT64_DEVICES = ("cpu", "cuda")


class Vocabulary:
    """An embedding table, (vocabulary, width), for norms of one-hot gradients; read once, at its first use.

    The table of an ``nn.Embedding`` holds the module's output for every token, so a subclass that scales is exact.
    """

    # A token enters a model as e = E^T x with a one-hot x, so a score with gradient g in e has the gradient E g in x.
    # That vector is as long as the vocabulary and is never stored. With L L^T = E^T E its 2-norm is |g^T L|; the other
    # orders run over the vocabulary piece by piece. GradientNorm reads a plain table on each call of attribute to see
    # whether it has changed (7 ms for 30522 x 768 in float32 on one core). A Vocabulary does not notice such a change:
    # make a new one.

    def __init__(self, table: nn.Module | Float[Tensor, "vocabulary width"]) -> None:
        self.table = table
        self._known: _Prepared | None = None

    def check(self) -> nn.Embedding | Float[Tensor, "vocabulary width"]:
        """Return the table; refuse anything but a float tensor (vocabulary, width) or an ``nn.Embedding``."""
        if isinstance(self.table, nn.Embedding):
            return self.table
        kind = f"a {type(self.table).__name__}"
        if isinstance(self.table, Tensor):
            if self.table.dim() == 2 and self.table.is_floating_point():
                return self.table
            kind = f"a {self.table.dtype} tensor of shape {tuple(self.table.shape)}"
        raise SaliencyError(
            f"{kind} is not an embedding table: the one-hot gradient needs an nn.Embedding, such as "
            "model.get_input_embeddings(), or a float tensor of shape (vocabulary, width); "
            "space='embedding' needs no table."
        )

    def norm(
        self, gradient: Float[Tensor, "*tokens width"], order: int | float = 2
    ) -> Float[Tensor, "*tokens"]:
        """Compute the norm of each token's one-hot gradient, of order 1, 2 or infinity, in its dtype."""
        table, width = self.check(), self.width(gradient)
        if order == 2:
            factor = self._prepared.factor_like(gradient)
            return torch.linalg.vector_norm(gradient @ factor, dim=-1)  # type: ignore[no-any-return]
        return _streamed_norm(table, gradient.reshape(-1, width), order).reshape(gradient.shape[:-1])

    def width(self, embeds: Float[Tensor, "*tokens width"]) -> int:
        """Return the width of the table; refuse embeddings, or gradients in them, of another width."""
        width = width_of(self.check())
        if embeds.shape[-1] != width:
            raise SaliencyError(
                f"the embeddings are {embeds.shape[-1]} wide, but their table is {width} wide: pass the "
                "table that embeds this very input, of shape (vocabulary, width)."
            )
        return width

    @property
    def _prepared(self) -> _Prepared:
        # Not a cached_property, whose lock all vocabularies share in Python 3.11: another thread may hold it for long.
        if self._known is None:
            self._known = _prepared(self.check())
        return self._known


def _streamed_norm(
    table: nn.Embedding | Tensor, tokens: Float[Tensor, "n width"], order: int | float
) -> Float[Tensor, " n"]:
    """Compute a norm of order 1 or infinity over pieces of the vocabulary."""
    norm = tokens.new_zeros(len(tokens))
    for rows in pieces(table, rows=_TEMPORARY // max(tokens.shape)):
        magnitude = (tokens @ rows.to(tokens).T).abs()
        norm = norm + magnitude.sum(-1) if order == 1 else torch.maximum(norm, magnitude.amax(-1))
    return norm


@dataclass(frozen=True)
class _Prepared:
    """The factor of a table, and the state of the table when the factor was computed."""

    state: Hashable
    fingerprint: Float[Tensor, " vocabulary"]
    factor: Float[Tensor, "width rank"]
    copies: dict[tuple[torch.dtype, torch.device], Tensor] = field(default_factory=dict)

    # Outside inference mode: the copies are kept, and autograd cannot save tensors of that mode.
    @torch.inference_mode(False)
    @torch.no_grad()
    def factor_like(self, gradient: Tensor) -> Float[Tensor, "width rank"]:
        """Return the factor in the dtype of a gradient and on its device."""
        key = (gradient.dtype, gradient.device)
        if key not in self.copies:
            # The dtype comes before the device: MPS cannot even hold float64.
            self.copies[key] = self.factor.to(gradient.dtype).to(gradient.device)
        return self.copies[key]


_known: MutableMapping[nn.Module | Tensor, _Prepared] = WeakIdKeyDictionary()
_lock = threading.Lock()


def _renew_lock() -> None:
    """Replace the lock in a forked child, where the thread that held it no longer exists."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


@torch.inference_mode(False)
@torch.no_grad()
def _prepared(table: nn.Embedding | Tensor) -> _Prepared:
    """Return the factor of the table, computed again only if the table has changed."""
    fingerprint = _fingerprint(table)
    state = (_state(table), fingerprint.dtype, fingerprint.device)
    with _lock:
        prepared = _known.get(table)
    if prepared is None or prepared.state != state or not torch.equal(prepared.fingerprint, fingerprint):
        prepared = _Prepared(state, fingerprint, _factor(table))
        with _lock:
            _known[table] = prepared
    return prepared


def _state(table: nn.Embedding | Tensor) -> Hashable:
    """Return identity and version of each tensor behind the table, which change at every step of an optimizer."""
    tensors = [table] if isinstance(table, Tensor) else itertools.chain(table.parameters(), table.buffers())
    return tuple(
        (id(t), t.data_ptr(), t.shape, t.dtype, t.device, None if t.is_inference() else t._version)
        for t in tensors
    )


def _fingerprint(table: nn.Embedding | Tensor) -> Float[Tensor, " vocabulary"]:
    """Return every row's product with one fixed random vector, which also shows changes through ``.data``.

    A change that does not show is below the rounding of the product, and so below that of a norm."""
    width = width_of(table)
    probe = torch.randn(width, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def project(rows: Float[Tensor, "rows width"]) -> Float[Tensor, " rows"]:
        dtype = torch.promote_types(rows.dtype, torch.float32)
        return rows.to(dtype) @ probe.to(dtype).to(rows.device)

    return torch.cat([project(rows) for rows in pieces(table, rows=_TEMPORARY // width)])


def _factor(table: nn.Embedding | Tensor) -> Float[Tensor, "width rank"]:
    r"""Compute a float64 matrix :math:`L` with :math:`LL^\top = E^\top E`, for a table of any rank."""
    width = width_of(table)
    gram = torch.zeros(width, width, dtype=torch.float64)
    for piece in pieces(table, rows=_TEMPORARY // width):
        rows = (piece if piece.device.type in _FLOAT64_DEVICES else piece.cpu()).double()
        gram = gram.to(rows.device).addmm_(rows.T, rows)
    if not gram.isfinite().all():
        raise SaliencyError(
            "the embedding table holds NaN or infinity, so that the one-hot gradient has no norm: repair the "
            "model's embedding, or choose space='embedding', which does not read the table."
        )
    eigenvalues, eigenvectors = torch.linalg.eigh(gram)
    # Directions below the rounding of the Gram matrix are dropped: a gradient orthogonal to all tokens has norm 0.
    rounding = eigenvalues[-1] * width * torch.finfo(torch.float64).eps
    seen = eigenvalues > rounding
    factor: Tensor = eigenvectors[:, seen] * eigenvalues[seen].sqrt()
    return factor
