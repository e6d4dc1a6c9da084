"""Vocabulary: norms of E g against E g itself, embedding tables of every kind, and factors that are never stale."""

from __future__ import annotations

import gc
import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor, nn

from hf_saliency.attribution import vocabulary
from hf_saliency.attribution.vocabulary import Vocabulary
from hf_saliency.errors import SaliencyError

ORDERS = (1, 2, math.inf)
# Rounding of a float64 Gram matrix with a condition number below 1e4 is far smaller.
EXACT = {"rtol": 1e-10, "atol": 0.0}


class ScaledEmbedding(nn.Embedding):
    """An embedding like Gemma's and BART's, whose output differs from its weight."""

    def __init__(self, vocabulary: int, width: int, **kwargs: object) -> None:
        super().__init__(vocabulary, width, **kwargs)
        self.register_buffer("scale", torch.tensor(width**0.5, dtype=torch.float64))

    def forward(self, ids: Tensor) -> Tensor:
        return super().forward(ids) * self.scale


class PositionEmbedding(nn.Embedding):
    """An embedding like OPT's and BART's position tables, whose rows belong to positions, not to ids."""

    def forward(self, ids: Tensor) -> Tensor:
        return super().forward(torch.arange(ids.shape[1]))[None]


def dense(table: Tensor, gradient: Tensor, order: float) -> Tensor:
    return torch.linalg.vector_norm(gradient @ table.T, order, dim=-1)


def embedding(vocabulary: int = 13, width: int = 5, **kwargs: object) -> nn.Embedding:
    return nn.Embedding(vocabulary, width, dtype=torch.float64, **kwargs)


def doubling_hook(module: nn.Embedding) -> nn.Embedding:
    module.register_forward_hook(lambda module, ids, output: output * 2)
    return module


def patched(module: nn.Embedding) -> nn.Embedding:
    original = module.forward
    module.forward = lambda ids: original(ids) + 1
    return module


TABLES: dict[str, Callable[[], nn.Embedding | Tensor]] = {
    "embedding": embedding,
    "tensor": lambda: torch.randn(13, 5, dtype=torch.float64),
    "fewer tokens than width": lambda: embedding(3, 8),
    "padding row": lambda: embedding(padding_idx=4),
    "scaled subclass": lambda: ScaledEmbedding(13, 5, dtype=torch.float64),
    "hook": lambda: doubling_hook(embedding()),
    "patched forward": lambda: patched(embedding()),
    "max_norm": lambda: embedding(max_norm=0.5),
    "parametrized": lambda: nn.utils.parametrizations.weight_norm(embedding()),
    "rank 2": lambda: torch.randn(13, 2, dtype=torch.float64) @ torch.randn(2, 5, dtype=torch.float64),
    "not contiguous": lambda: torch.randn(5, 13, dtype=torch.float64).T,
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", TABLES)
def test_norm_is_that_of_the_dense_gradient(kind: str, order: float, monkeypatch: pytest.MonkeyPatch) -> None:
    table = TABLES[kind]()
    realised = table if isinstance(table, Tensor) else table(torch.arange(table.num_embeddings)).detach()
    gradient = torch.randn(2, 3, realised.shape[1], dtype=torch.float64)
    monkeypatch.setattr(vocabulary, "_TEMPORARY", 4 * realised.shape[1])  # pieces of four rows
    torch.testing.assert_close(
        Vocabulary(table).norm(gradient, order), dense(realised, gradient, order), **EXACT
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**31), st.sampled_from(ORDERS))
def test_any_shape_of_table(tokens: int, width: int, seed: int, order: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    table = torch.randn(tokens, width, dtype=torch.float64, generator=generator)
    gradient = torch.randn(4, width, dtype=torch.float64, generator=generator)
    # For a gradient near the table's null space, the rounding of the Gram matrix is sqrt(eps64) of its norm.
    atol = 1e-7 * float(torch.linalg.matrix_norm(table, 2) * gradient.norm())
    torch.testing.assert_close(
        Vocabulary(table).norm(gradient, order), dense(table, gradient, order), rtol=1e-9, atol=atol
    )


def test_gradient_that_no_token_sees_has_norm_zero() -> None:
    table = torch.randn(50, 4, dtype=torch.float64) @ torch.randn(4, 9, dtype=torch.float64)
    unseen = torch.linalg.svd(table).Vh[4:]
    # Eigenvectors are orthogonal to float64's precision; with rounding errors not dropped, this would be 1e-7.
    assert Vocabulary(table).norm(unseen).max() < 1e-13 * torch.linalg.matrix_norm(table, 2)


def test_max_norm_leaves_the_weight_alone() -> None:
    module = embedding(max_norm=0.5)
    before = module.weight.detach().clone()
    Vocabulary(module).norm(torch.randn(2, 5, dtype=torch.float64))
    assert torch.equal(module.weight, before)
    assert before.norm(dim=1).max() > 0.5


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("order", ORDERS)
def test_narrow_tables_are_widened_before_they_are_multiplied(dtype: torch.dtype, order: float) -> None:
    table = torch.randn(300, 16).to(dtype)
    gradient = torch.randn(2, 7, 16)
    norm = Vocabulary(table).norm(gradient, order)
    assert norm.dtype == torch.float32
    # Sums of 300 products in float32: 300 * 2**-24.
    torch.testing.assert_close(
        norm.double(), dense(table.double(), gradient.double(), order), rtol=2e-5, atol=0
    )


def test_float32_keeps_digits_that_a_float32_gram_matrix_loses() -> None:
    # One direction is 1e4 times the other. In float32 the square of the other is lost in rounding, in float64 not.
    table = torch.randn(40, 2) @ torch.tensor([[1e4, 0.0], [0.0, 1.0]])
    gradient = torch.tensor([[0.0, 1.0]])
    norm = Vocabulary(table).norm(gradient).double()
    torch.testing.assert_close(norm, dense(table.double(), gradient.double(), 2), rtol=1e-3, atol=0)


def add_a_hook(module: nn.Embedding) -> None:
    doubling_hook(module)


def one_step(module: nn.Embedding) -> None:
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    module(torch.tensor([1, 2])).square().sum().backward()
    optimizer.step()


def tiny_step(module: nn.Embedding) -> None:
    with torch.no_grad():
        module.weight[0, 0] += 1e-300


def replace_data(module: nn.Embedding) -> None:
    module.weight.data = torch.randn_like(module.weight)


def replace_parameter(module: nn.Embedding) -> None:
    module.weight = nn.Parameter(module.weight.detach() + 1)


CHANGES: dict[str, Callable[[nn.Embedding], object]] = {
    "optimizer step": one_step,
    "data in place": lambda module: module.weight.data.mul_(2),
    "one element of data": lambda module: module.weight.data[3, 2:3].add_(0.1),
    "two elements swapped": lambda module: module.weight.data[:2, 0].copy_(module.weight.data[:2, 0].flip(0)),
    "columns permuted": lambda module: module.weight.data.copy_(module.weight.data.roll(1, 1)),
    "data replaced": replace_data,
    "parameter replaced": replace_parameter,
    "state dict": lambda module: module.load_state_dict({"weight": torch.ones(13, 5)}),
    "hook": add_a_hook,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_table_is_seen(change: str) -> None:
    module = embedding()
    gradient = torch.randn(2, 3, 5, dtype=torch.float64)
    before = Vocabulary(module).norm(gradient)
    CHANGES[change](module)
    after = Vocabulary(module).norm(gradient)
    assert not torch.allclose(before, after, rtol=1e-6)
    torch.testing.assert_close(after, dense(module(torch.arange(13)).detach(), gradient, 2), **EXACT)


def test_a_change_below_the_fingerprint_is_seen_by_its_version() -> None:
    module = embedding()
    before = vocabulary._prepared(module)
    tiny_step(module)
    assert vocabulary._prepared(module) is not before


def test_a_changed_buffer_is_seen() -> None:
    module = ScaledEmbedding(13, 5, dtype=torch.float64)
    gradient = torch.randn(3, 5, dtype=torch.float64)
    before = Vocabulary(module).norm(gradient)
    module.scale.data.mul_(3)
    torch.testing.assert_close(Vocabulary(module).norm(gradient), 3 * before, **EXACT)


def test_a_module_moved_to_another_dtype_is_seen() -> None:
    module = embedding()
    gradient = torch.randn(3, 5, dtype=torch.float64)
    before = Vocabulary(module).norm(gradient)
    module.bfloat16()
    after = Vocabulary(module).norm(gradient)
    assert not torch.equal(before, after)
    torch.testing.assert_close(after, dense(module.weight.detach().double(), gradient, 2), **EXACT)


@pytest.mark.parametrize("kind", ["embedding", "tensor", "scaled subclass"])
def test_an_unchanged_table_is_factored_once(kind: str) -> None:
    table = TABLES[kind]()
    assert vocabulary._prepared(table) is vocabulary._prepared(table)


def test_a_vocabulary_reads_its_table_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[object] = []
    read = vocabulary._fingerprint
    monkeypatch.setattr(vocabulary, "_fingerprint", lambda table: reads.append(table) or read(table))
    prepared = Vocabulary(embedding())
    assert not reads
    for _ in range(3):
        prepared.norm(torch.randn(2, 5, dtype=torch.float64))
    assert len(reads) == 1


def test_the_cache_keeps_no_table_alive() -> None:
    module = embedding()
    Vocabulary(module).norm(torch.randn(2, 5, dtype=torch.float64))
    gc.collect()
    entries = len(vocabulary._known)
    assert module in vocabulary._known
    del module
    gc.collect()
    assert len(vocabulary._known) == entries - 1


def test_threads_share_the_cache() -> None:
    tables = [embedding() for _ in range(3)] * 4
    gradient = torch.randn(2, 5, dtype=torch.float64)
    with ThreadPoolExecutor(6) as pool:
        norms = list(pool.map(lambda table: Vocabulary(table).norm(gradient), tables))
    for table, norm in zip(tables, norms, strict=True):
        torch.testing.assert_close(norm, dense(table.weight.detach(), gradient, 2), **EXACT)


def test_a_factor_made_in_inference_mode_serves_autograd() -> None:
    module = embedding()
    with torch.inference_mode():
        Vocabulary(module).norm(torch.randn(2, 5, dtype=torch.float64))
    gradient = torch.randn(2, 5, dtype=torch.float64, requires_grad=True)
    Vocabulary(module).norm(gradient).sum().backward()
    assert gradient.grad is not None
    assert gradient.grad.abs().min() > 0


def test_order_2_makes_nothing_of_tokens_times_vocabulary(largest_tensor: type) -> None:
    tokens, entries, width = 600, 2000, 8
    table, gradient = torch.randn(entries, width), torch.randn(1, tokens, width)
    with largest_tensor() as dense_largest:
        dense(table, gradient, 2)
    assert dense_largest.numel >= tokens * entries
    with largest_tensor() as largest:
        Vocabulary(table).norm(gradient)
    assert largest.numel <= entries * width  # the table in a wider dtype


@pytest.mark.parametrize("order", [1, math.inf])
@pytest.mark.parametrize("tokens", [40, 600])
def test_streams_stay_within_their_temporary(
    order: float, tokens: int, monkeypatch: pytest.MonkeyPatch, largest_tensor: type
) -> None:
    monkeypatch.setattr(vocabulary, "_TEMPORARY", 6000)
    table, gradient = torch.randn(2000, 8), torch.randn(tokens, 8)
    with largest_tensor() as largest:
        norm = Vocabulary(table).norm(gradient, order)
    assert largest.numel <= 6000
    torch.testing.assert_close(norm, dense(table, gradient, order), rtol=1e-4, atol=0)


def test_without_float64_on_the_device_the_factor_comes_from_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary, "_FLOAT64_DEVICES", ())
    table, gradient = torch.randn(13, 5), torch.randn(3, 5)
    torch.testing.assert_close(Vocabulary(table).norm(gradient), dense(table, gradient, 2), rtol=1e-5, atol=0)


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize(
    ("table", "message"),
    [
        (nn.Linear(3, 5), "a Linear is not an embedding table.*nn.Embedding.*space='embedding'"),
        (torch.zeros(3), r"float32 tensor of shape \(3,\).*\(vocabulary, width\)"),
        (torch.zeros(3, 5, dtype=torch.long), "int64 tensor"),
        ("bert", "a str is not an embedding table"),
        (PositionEmbedding(13, 5), "PositionEmbedding does not map each token id.*failed"),
    ],
)
def test_what_is_no_table_is_refused(table: object, message: str) -> None:
    with pytest.raises(SaliencyError, match=message):
        Vocabulary(table).norm(torch.zeros(2, 5))


@pytest.mark.parametrize("returned", [lambda rows: (rows,), lambda rows: rows[:1], lambda rows: rows.long()])
def test_an_embedding_that_returns_something_else_is_refused(returned: Callable[[Tensor], object]) -> None:
    module = nn.Embedding(13, 5)
    module.register_forward_hook(lambda module, ids, rows: returned(torch.cat([rows, rows])))
    with pytest.raises(SaliencyError, match="Embedding does not map each token id.*returned"):
        Vocabulary(module).norm(torch.zeros(2, 5))


def test_another_width_is_refused() -> None:
    with pytest.raises(SaliencyError, match="embeddings are 4 wide, but their table is 5 wide"):
        Vocabulary(embedding()).norm(torch.zeros(2, 4, dtype=torch.float64))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_table_that_is_not_finite_is_refused(value: float) -> None:
    table = torch.ones(4, 3)
    table[1, 1] = value
    with pytest.raises(SaliencyError, match="NaN or infinity"):
        Vocabulary(table).norm(torch.ones(2, 3))


def test_threads_do_not_wait_for_the_norms_of_another_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    table, slow = torch.eye(3), torch.ones(3, 2)
    made = vocabulary._prepared
    thread = threading.Thread(target=Vocabulary(slow).norm, args=(torch.ones(1, 2),))
    begun, done = threading.Event(), threading.Event()

    def prepared(of: torch.Tensor) -> object:
        if of is slow:
            begun.set()
            done.wait(20)
        return made(of)

    monkeypatch.setattr(vocabulary, "_prepared", prepared)
    thread.start()
    begun.wait(20)
    other = threading.Thread(target=Vocabulary(table).norm, args=(torch.ones(1, 3),))
    other.start()
    other.join(10)
    waits = other.is_alive()
    done.set()
    thread.join()
    other.join()
    assert not waits
