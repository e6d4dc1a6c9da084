"""GradientNorm and LayerGradientNorm against closed forms, dense one-hot gradients, finite differences and laws."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from captum.attr import GradientAttribution, LayerAttribution, NoiseTunnel
from captum.metrics import sensitivity_max
from hypothesis import given, settings, strategies as st
from torch import Tensor, nn

from hf_saliency.attribution.gradient_norm import GradientNorm, LayerGradientNorm
from hf_saliency.attribution.vocabulary import Vocabulary
from hf_saliency.errors import SaliencyError

SPACES = ("one_hot", "embedding")
ORDERS = (1, 2, math.inf)
# The largest relative difference if all arithmetic is in float64: the project's meaning of "exact".
EXACT = {"rtol": 1e-10, "atol": 0.0}

VOCABULARY, WIDTH, CLASSES = 11, 4, 3


class Reader(nn.Module):
    """A nonlinear model that depends on token order: ids (batch, tokens) to logits (batch, classes)."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)
        self.cell = nn.GRU(WIDTH, 6, batch_first=True)
        self.head = nn.Linear(6, CLASSES)
        self.double()

    def read(self, embeds: Tensor) -> Tensor:
        return self.head(self.cell(embeds)[1][0])

    def forward(self, ids: Tensor) -> Tensor:
        return self.read(self.embedding(ids))


class Bag(Reader):
    """A model that does not depend on token order."""

    def read(self, embeds: Tensor) -> Tensor:
        return self.head(torch.tanh(embeds @ self.cell.weight_ih_l0.T[:, :6]).sum(1))


def some_ids(batch: int = 3, tokens: int = 5) -> Tensor:
    return torch.randint(VOCABULARY, (batch, tokens))


def from_embeds(model: Reader, ids: Tensor, target: object, **options: object) -> Tensor:
    method = GradientNorm(model.read, model.embedding, **options)
    return method.attribute(model.embedding(ids).detach(), target)


def from_ids(model: Reader, ids: Tensor, target: object, **options: object) -> Tensor:
    return LayerGradientNorm(model, model.embedding, **options).attribute(ids, target)


WAYS = pytest.mark.parametrize("way", [from_embeds, from_ids])
ALL_SPACES = pytest.mark.parametrize("space", SPACES)
ALL_ORDERS = pytest.mark.parametrize("order", ORDERS)


# Closed forms


@ALL_ORDERS
def test_a_linear_score_gives_the_norm_of_its_weight_at_every_token(order: float) -> None:
    embedding = nn.Embedding(VOCABULARY, WIDTH, dtype=torch.float64)
    weight = torch.randn(WIDTH, dtype=torch.float64)
    norm = LayerGradientNorm(lambda ids: (embedding(ids) @ weight).sum(1), embedding, order=order)
    expected = torch.linalg.vector_norm(embedding.weight.detach() @ weight, order)
    torch.testing.assert_close(norm.attribute(some_ids()), expected.expand(3, 5), **EXACT)


@ALL_ORDERS
def test_a_quadratic_score_gives_the_norm_of_its_matrix_times_the_embedding(order: float) -> None:
    table = torch.randn(VOCABULARY, WIDTH, dtype=torch.float64)
    matrix = torch.randn(WIDTH, WIDTH, dtype=torch.float64)
    matrix = matrix + matrix.T
    embeds = torch.randn(2, 5, WIDTH, dtype=torch.float64)
    norm = GradientNorm(lambda e: torch.einsum("btw,wv,btv->b", e, matrix, e) / 2, table, order=order)
    expected = torch.linalg.vector_norm(embeds @ matrix @ table.T, order, dim=-1)
    torch.testing.assert_close(norm.attribute(embeds), expected, **EXACT)


# Replica and finite differences


def replica(model: Reader, ids: Tensor, target: int, space: str, order: float) -> Tensor:
    """The norms one row at a time, from one-hot vectors of the vocabulary's size."""
    rows = []
    for row in ids:
        if space == "one_hot":
            point = nn.functional.one_hot(row, VOCABULARY).double().requires_grad_()
            embeds = point @ model.embedding.weight.detach()
        else:
            point = embeds = model.embedding(row).detach().requires_grad_()
        (gradient,) = torch.autograd.grad(model.read(embeds[None])[0, target], point)
        rows.append(torch.linalg.vector_norm(gradient, order, dim=-1))
    return torch.stack(rows)


@WAYS
@ALL_SPACES
@ALL_ORDERS
def test_replica(way: Callable[..., Tensor], space: str, order: float) -> None:
    model, ids = Reader(), some_ids()
    expected = replica(model, ids, 1, space, order)
    assert expected.min() > 0
    torch.testing.assert_close(way(model, ids, 1, space=space, order=order), expected, **EXACT)


@WAYS
@ALL_ORDERS
def test_finite_differences(way: Callable[..., Tensor], order: float) -> None:
    model, ids, eps = Reader(), some_ids(1), 1e-5
    one_hot = nn.functional.one_hot(ids, VOCABULARY).double()
    steps = eps * torch.eye(5 * VOCABULARY, dtype=torch.float64).reshape(-1, 5, VOCABULARY)
    with torch.no_grad():
        up, down = (model.read((one_hot + sign * steps) @ model.embedding.weight)[:, 1] for sign in (1, -1))
    expected = torch.linalg.vector_norm(((up - down) / (2 * eps)).reshape(1, 5, VOCABULARY), order, dim=-1)
    # Errors of central differences: truncation of eps**2, cancellation of eps64 / eps; the gradients are near 0.01.
    torch.testing.assert_close(way(model, ids, 1, order=order), expected, rtol=1e-6, atol=1e-9)


# Laws


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(SPACES), st.sampled_from(ORDERS), st.floats(1e-3, 1e3), st.booleans())
def test_scaling_the_score_scales_the_norm(space: str, order: float, factor: float, negative: bool) -> None:
    model, ids = Reader(), some_ids()
    factor = -factor if negative else factor
    scaled = LayerGradientNorm(
        lambda ids: model(ids)[:, 0] * factor, model.embedding, space=space, order=order
    ).attribute(ids)
    torch.testing.assert_close(
        scaled, abs(factor) * from_ids(model, ids, 0, space=space, order=order), **EXACT
    )


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(SPACES), st.sampled_from(ORDERS), st.permutations(range(5)))
def test_permuting_the_tokens_of_a_bag_permutes_the_norms(
    space: str, order: float, permutation: list[int]
) -> None:
    model, ids = Bag(), some_ids()
    norms = from_ids(model, ids, 2, space=space, order=order)
    permuted = from_ids(model, ids[:, permutation], 2, space=space, order=order)
    torch.testing.assert_close(permuted, norms[:, permutation], **EXACT)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(SPACES), st.sampled_from(ORDERS), st.lists(st.integers(0, 2), min_size=1, max_size=6))
def test_a_batch_is_its_rows(space: str, order: float, targets: list[int]) -> None:
    model, ids = Reader(), some_ids(len(targets))
    batch = from_ids(model, ids, targets, space=space, order=order)
    singles = [from_ids(model, ids[i : i + 1], t, space=space, order=order) for i, t in enumerate(targets)]
    torch.testing.assert_close(batch, torch.cat(singles), **EXACT)


# Tables


def test_a_scaled_embedding_is_what_it_returns() -> None:
    class Scaled(nn.Embedding):
        def forward(self, ids: Tensor) -> Tensor:
            return super().forward(ids) * 8

    embedding = Scaled(VOCABULARY, WIDTH, dtype=torch.float64)
    weight = torch.randn(WIDTH, dtype=torch.float64)
    norm = LayerGradientNorm(lambda ids: (embedding(ids) @ weight).sum(1), embedding).attribute(some_ids())
    torch.testing.assert_close(norm, (8 * embedding.weight.detach() @ weight).norm().expand(3, 5), **EXACT)


def test_the_padding_row_counts_and_is_explained() -> None:
    embedding = nn.Embedding(VOCABULARY, WIDTH, padding_idx=0, dtype=torch.float64)
    embedding.weight.data[0] = 5.0
    weight = torch.randn(WIDTH, dtype=torch.float64)
    norm = LayerGradientNorm(lambda ids: (embedding(ids) @ weight).sum(1), embedding)
    expected = (embedding.weight.detach() @ weight).norm().expand(1, 2)
    torch.testing.assert_close(norm.attribute(torch.tensor([[0, 3]])), expected, **EXACT)


@pytest.mark.parametrize("kind", ["module", "weight", "vocabulary"])
def test_a_table_may_be_given_in_three_ways(kind: str) -> None:
    model, ids = Reader(), some_ids()
    module = model.embedding
    table = {"module": module, "weight": module.weight, "vocabulary": Vocabulary(module)}[kind]
    norm = GradientNorm(model.read, table).attribute(module(ids).detach(), 1)
    torch.testing.assert_close(norm, replica(model, ids, 1, "one_hot", 2), **EXACT)


@pytest.mark.parametrize("change", ["step", "data"])
def test_one_object_sees_the_table_change(change: str) -> None:
    model, ids = Reader(), some_ids()
    method, layer_method = (
        GradientNorm(model.read, model.embedding),
        LayerGradientNorm(model, model.embedding),
    )
    embeds = model.embedding(ids).detach()
    before = method.attribute(embeds, 0)
    layer_method.attribute(ids, 0)
    if change == "step":
        optimizer = torch.optim.SGD([model.embedding.weight], lr=0.1)
        model(ids).sum().backward()
        optimizer.step()
    else:
        model.embedding.weight.data.mul_(2)
    assert not torch.allclose(method.attribute(embeds, 0), before, rtol=1e-6)
    torch.testing.assert_close(layer_method.attribute(ids, 0), replica(model, ids, 0, "one_hot", 2), **EXACT)


def test_order_2_makes_nothing_of_tokens_times_vocabulary(largest_tensor: type) -> None:
    vocabulary, width, tokens = 3000, 8, 400
    embedding = nn.Embedding(vocabulary, width)
    with largest_tensor() as largest:
        LayerGradientNorm(lambda ids: embedding(ids).square().sum((1, 2)), embedding).attribute(
            torch.randint(vocabulary, (1, tokens))
        )
    assert 0 < largest.numel <= vocabulary * width < tokens * vocabulary


# Shapes and dtypes


@WAYS
@ALL_SPACES
def test_keepdim_keeps_a_dimension(way: Callable[..., Tensor], space: str) -> None:
    model, ids = Reader(), some_ids()
    kept = way(model, ids, 1, space=space, keepdim=True)
    assert kept.shape == (3, 5, 1)
    assert torch.equal(kept[..., 0], way(model, ids, 1, space=space))


@pytest.mark.parametrize("order", ORDERS)
def test_other_leading_dimensions_stay(order: float) -> None:
    model = Reader()
    ids = torch.randint(VOCABULARY, (2, 3, 5))

    def choose(embeds: Tensor) -> Tensor:
        return model.read(embeds.flatten(0, 1))[:, 0].reshape(2, 3)

    embeds = model.embedding(ids).detach()
    flat = from_embeds(model, ids.flatten(0, 1), 0, order=order).reshape(2, 3, 5)
    for choice in range(3):
        norms = GradientNorm(choose, model.embedding, order=order).attribute(embeds, choice)
        layered = LayerGradientNorm(lambda ids: choose(model.embedding(ids)), model.embedding, order=order)
        torch.testing.assert_close(layered.attribute(ids, choice), norms, rtol=1e-14, atol=0)
        torch.testing.assert_close(norms[:, choice], flat[:, choice], **EXACT)
        assert norms.count_nonzero() == 2 * 5


@WAYS
@pytest.mark.parametrize(
    ("dtype", "result", "digits"),
    [
        (torch.float64, torch.float64, 1e-10),
        (torch.float32, torch.float32, 1e-4),
        # The forward and the backward pass have a dozen roundings each: 24 of them in the format's last digit.
        (torch.bfloat16, torch.float32, 24 * 2**-8),
        (torch.float16, torch.float32, 24 * 2**-11),
    ],
)
@ALL_SPACES
def test_dtypes(
    way: Callable[..., Tensor], dtype: torch.dtype, result: torch.dtype, digits: float, space: str
) -> None:
    model, ids = Bag().to(dtype), some_ids()
    norms = way(model, ids, 1, space=space)
    assert norms.dtype == result
    expected = replica(model.double(), ids, 1, space, 2)
    assert ((norms.double() - expected).abs() / expected).max() < digits


# Gradient modes, and traces of autograd


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
@WAYS
def test_gradient_modes_of_the_caller_do_not_matter(way: Callable[..., Tensor], mode: Callable) -> None:
    model, ids = Reader(), some_ids()
    expected = replica(model, ids, 1, "one_hot", 2)
    with mode():
        norms = way(model, ids.clone(), 1)
        assert torch.is_inference_mode_enabled() == (mode is torch.inference_mode)
        assert torch.is_grad_enabled() == (mode is torch.enable_grad)
    assert not norms.requires_grad
    torch.testing.assert_close(norms, expected, **EXACT)


def test_arguments_made_in_inference_mode() -> None:
    model, ids = Reader(), some_ids()
    expected = from_embeds(model, ids, 1)
    with torch.inference_mode():
        embeds, mask = model.embedding(ids), torch.ones(3, 5, 1, dtype=torch.float64)
    method = GradientNorm(lambda e, mask, name: model.read(e * mask), model.embedding)
    torch.testing.assert_close(method.attribute(embeds, 1, (mask, "name")), expected, **EXACT)


def test_a_model_made_in_inference_mode_is_refused() -> None:
    with torch.inference_mode():
        model = Bag()
    with pytest.raises(SaliencyError, match="made under torch.inference_mode"):
        from_embeds(model, some_ids(), 1)


def test_create_graph_lets_the_norm_be_trained_on() -> None:
    model, ids = Bag(), some_ids()
    method = LayerGradientNorm(model, model.embedding)
    method.attribute(ids, 0, grad_kwargs={"create_graph": True}).sum().backward()
    assert model.head.weight.grad is not None
    assert model.head.weight.grad[0].abs().min() > 0


# Captum's classes around the method


def test_what_captum_reads_off_the_classes() -> None:
    method = GradientNorm(lambda e: e.sum((1, 2)), space="embedding")
    layer_method = LayerGradientNorm(lambda ids: ids, nn.Embedding(2, 2), [0, 1])
    assert GradientNorm.get_name() == "Gradient Norm"
    assert LayerGradientNorm.get_name() == "Layer Gradient Norm"
    assert isinstance(layer_method, LayerAttribution)
    assert layer_method.device_ids == [0, 1]
    for one in (method, layer_method):
        assert isinstance(one, GradientAttribution)
        assert not one.multiplies_by_inputs
        assert not one.has_convergence_delta()
        assert one.attribute.__wrapped__
        with pytest.raises(NotImplementedError, match="norms do not add up to a difference of scores"):
            one.compute_convergence_delta(torch.zeros(1), torch.zeros(1), torch.zeros(1))
        with pytest.raises(NotImplementedError, match="no futures"):
            one.attribute_future()


@pytest.mark.parametrize("keepdim", [False, True])
def test_noise_tunnel_averages(keepdim: bool) -> None:
    model, ids = Reader(), some_ids()
    method = GradientNorm(model.read, model.embedding, keepdim=keepdim)
    embeds = model.embedding(ids).detach()
    still = NoiseTunnel(method).attribute(embeds, nt_samples=3, stdevs=0.0, target=[0, 1, 2])
    torch.testing.assert_close(still, method.attribute(embeds, [0, 1, 2]), **EXACT)
    noisy = NoiseTunnel(method).attribute(embeds, nt_samples=3, stdevs=0.5, target=[0, 1, 2])
    assert noisy.shape == still.shape
    assert not torch.allclose(noisy, still)


def test_sensitivity_max_takes_kept_dimensions() -> None:
    model, ids = Reader(), some_ids()
    method = GradientNorm(model.read, model.embedding, keepdim=True)
    found = sensitivity_max(method.attribute, model.embedding(ids).detach(), target=1, n_perturb_samples=2)
    assert found.shape == (3,)
    assert found.min() > 0


# Errors


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize("build", [GradientNorm, LayerGradientNorm])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"space": "onehot"}, "space='onehot': give 'one_hot'.*'embedding'"),
        ({"order": 3}, "order=3: give.*1, 2 or math.inf"),
        ({"order": "2"}, "order='2'"),
    ],
)
def test_unknown_options_are_refused(build: Callable, options: dict[str, object], message: str) -> None:
    with pytest.raises(SaliencyError, match=message):
        build(len, nn.Embedding(3, 2), **options)


def test_one_hot_space_needs_a_table() -> None:
    with pytest.raises(SaliencyError, match=r"GradientNorm\(forward_func, embedding\).*space='embedding'"):
        GradientNorm(len)
    GradientNorm(len, space="embedding")


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize("table", [nn.Linear(2, 2), "bert", torch.zeros(2), [nn.Embedding(3, 2)]])
def test_what_is_no_table_is_refused_at_once(table: object) -> None:
    with pytest.raises(SaliencyError, match="is not an embedding table"):
        GradientNorm(len, table)


@pytest.mark.usefixtures("unchecked_types")
def test_layers_that_embed_nothing_are_refused_at_once() -> None:
    with pytest.raises(SaliencyError, match="a Linear is not an embedding table"):
        LayerGradientNorm(len, nn.Linear(2, 2))
    with pytest.raises(SaliencyError, match="a Linear is not an embedding table"):
        LayerGradientNorm(len, [nn.Embedding(3, 2), nn.Linear(2, 2)])
    with pytest.raises(SaliencyError, match="layer='bert'"):
        LayerGradientNorm(len, "bert")
    LayerGradientNorm(len, nn.Linear(2, 2), space="embedding")


def score(*embeds: Tensor) -> Tensor:
    return sum(e.square().sum((1, 2)) for e in embeds)


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize(
    ("table", "inputs", "message"),
    [
        (torch.ones(3, 2), torch.ones(1, 4, dtype=torch.long), "int64 are not embeddings.*LayerGradientNorm"),
        (torch.ones(3, 2), torch.ones(4, 2), r"shape \(4, 2\).*embeds\[None\]"),
        (torch.ones(3, 2), [torch.ones(1, 4, 2)], "a list.*embeddings"),
        (torch.ones(3, 2), (), "an empty tuple"),
        (torch.ones(3, 2), (torch.ones(1, 4, 2), "x"), "a str"),
        (torch.ones(3, 5), torch.ones(1, 4, 2), "embeddings are 2 wide, but their table is 5 wide"),
        (torch.ones(3, 2), (torch.ones(1, 4, 2),) * 2, r"1 table\(s\) for 2 tensor\(s\)"),
        ((torch.ones(3, 2),) * 2, torch.ones(1, 4, 2), r"2 table\(s\) for 1 tensor\(s\)"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(table: object, inputs: object, message: str) -> None:
    with pytest.raises(SaliencyError, match=message):
        GradientNorm(score, table).attribute(inputs)


@pytest.mark.usefixtures("unchecked_types")
def test_token_ids_must_be_whole_numbers() -> None:
    model = Reader()
    with pytest.raises(
        SaliencyError, match=r"float64 are not token ids.*GradientNorm\(forward_func, table\)"
    ):
        LayerGradientNorm(model, model.embedding).attribute(torch.zeros(1, 4, dtype=torch.float64), 1)


def test_gradients_in_token_ids_are_refused() -> None:
    model = Reader()
    with pytest.raises(SaliencyError, match="attribute_to_layer_input=True"):
        LayerGradientNorm(model, model.embedding).attribute(some_ids(), 1, attribute_to_layer_input=True)


@pytest.mark.parametrize(
    ("output", "message"),
    [(lambda e: {"logits": e}, "returned a dict.*wrap the model"), (lambda e: e.sum(), "returned a number")],
)
def test_what_is_no_score_is_refused(output: Callable[[Tensor], object], message: str) -> None:
    with pytest.raises(SaliencyError, match=message):
        GradientNorm(output, torch.ones(3, 2)).attribute(torch.ones(1, 4, 2))


def test_a_score_apart_from_the_embeddings_is_refused() -> None:
    embeds, table = torch.ones(1, 4, 2), torch.ones(3, 2)
    with pytest.raises(SaliencyError, match="score does not depend on the embeddings"):
        GradientNorm(lambda e: e.detach().sum((1, 2)), table).attribute(embeds)
    with pytest.raises(SaliencyError, match="score does not depend on some of the embeddings"):
        GradientNorm(lambda e, f: score(e), (table, table)).attribute((embeds, embeds))
