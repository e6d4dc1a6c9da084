"""Conformance with Captum: the calls that its users make, for both classes, and no traces in the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from captum.attr import LayerGradientXActivation, LLMGradientAttribution, TextTokenInput
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from hf_saliency.attribution.gradient_norm import GradientNorm, LayerGradientNorm
from hf_saliency.errors import SaliencyError

EXACT = {"rtol": 1e-10, "atol": 0.0}
BATCH, TOKENS, WIDTH, CLASSES = 3, 5, 4, 3


class Pair(nn.Module):
    """A model with embeddings for the tokens of two texts; the second text is optional."""

    def __init__(self) -> None:
        super().__init__()
        self.source, self.other = nn.Embedding(11, WIDTH), nn.Embedding(7, WIDTH)
        self.head = nn.Linear(WIDTH, TOKENS * CLASSES)
        self.double()

    def read(self, first: Tensor, second: Tensor | None = None) -> Tensor:
        hidden = torch.tanh(first.cumsum(1)).sum(1)
        if second is not None:
            hidden = hidden * second.exp().sum(1)
        return self.head(hidden)[:, :CLASSES]

    def forward(self, first: Tensor, second: Tensor | None = None) -> Tensor:
        return self.read(self.source(first), None if second is None else self.other(second))


@dataclass(frozen=True)
class Call:
    """One way to call ``attribute``: the arguments, and how the forward function computes its output from the logits.

    Parameters
    ----------
    target
        The target, in one of Captum's forms.
    rows
        The logit that the target selects in each row, for the true values.
    streams
        The number of texts, 1 or 2.
    extra
        The ``additional_forward_args``.
    finish
        A function from the logits and the additional arguments to the output of the forward function.
    """

    target: Any = 1
    rows: tuple[int, ...] = (1, 1, 1)
    streams: int = 1
    extra: Any = None
    finish: Callable[..., Tensor] = field(default=lambda logits: logits)


def grid(logits: Tensor) -> Tensor:
    """Logits with a dimension for tokens: (batch, 2, classes)."""
    return torch.stack([logits, 2 * logits], dim=1)


MASK = torch.tensor([[1.0], [0.5], [2.0]], dtype=torch.float64)

CALLS = {
    "target None": Call(None, finish=lambda logits: logits[:, 1]),
    "target None, a column": Call(None, finish=lambda logits: logits[:, 1:2]),
    "target int": Call(1),
    "target negative": Call(-2),
    "target tuple": Call((0, 1), finish=grid),
    "target tensor of one": Call(torch.tensor([1])),
    "target tensor without dimensions": Call(torch.tensor(1)),
    "target tensor": Call(torch.tensor([2, 0, 1]), (2, 0, 1)),
    "target list": Call([2, 0, 1], (2, 0, 1)),
    "target list of tuples": Call([(0, 2), (0, 0), (0, 1)], (2, 0, 1), finish=grid),
    "two texts": Call(streams=2),
    "two texts, target list": Call([2, 0, 1], (2, 0, 1), streams=2),
    "argument tensor": Call(extra=MASK, finish=lambda logits, mask: logits * mask),
    "argument tuple": Call(
        extra=(None, MASK, "name", 3), finish=lambda logits, none, mask, name, n: logits * mask
    ),
    "argument list": Call(extra=[1, 2], finish=lambda logits, given: logits * len(given) / 2),
    "argument number": Call(extra=2.0, finish=lambda logits, factor: logits * factor / 2),
    "argument None": Call(extra=(None,), finish=lambda logits, none: logits),
    "two texts and arguments": Call(
        streams=2, extra=(MASK, None), finish=lambda logits, mask, none: logits * mask
    ),
}


def factor(call: Call) -> Tensor:
    """The factor by which the additional arguments multiply each row's score."""
    given = call.extra if isinstance(call.extra, tuple) else (call.extra,)
    return next((one for one in given if isinstance(one, Tensor)), torch.ones_like(MASK))


def truth(model: Pair, ids: tuple[Tensor, ...], call: Call, space: str) -> list[Tensor]:
    """The true norms by autograd, one row at a time; in one-hot space over the dense one-hot gradient."""
    tables = [model.source.weight.detach(), model.other.weight.detach()][: len(ids)]
    rows = []
    for row, column in enumerate(call.rows):
        points = [table[i[row : row + 1]].requires_grad_() for table, i in zip(tables, ids, strict=True)]
        gradients = torch.autograd.grad(model.read(*points)[0, column] * factor(call)[row, 0], points)
        dense = [g @ table.T for g, table in zip(gradients, tables, strict=True)]
        rows.append([g.norm(dim=-1) for g in (dense if space == "one_hot" else gradients)])
    return [torch.cat(norms) for norms in zip(*rows, strict=True)]


def some_ids(streams: int = 1) -> tuple[Tensor, ...]:
    return tuple(torch.randint(7, (BATCH, TOKENS - i)) for i in range(streams))


@pytest.mark.parametrize("as_tuple", [False, True])
@pytest.mark.parametrize("space", ["one_hot", "embedding"])
@pytest.mark.parametrize("name", CALLS)
def test_gradient_norm(name: str, space: str, as_tuple: bool) -> None:
    call, model = CALLS[name], Pair()
    ids = some_ids(call.streams)
    embeddings = (model.source, model.other)[: call.streams]
    embeds = tuple(e(i).detach() for e, i in zip(embeddings, ids, strict=True))
    single = call.streams == 1 and not as_tuple

    def forward(*arguments: Any) -> Tensor:
        return call.finish(model.read(*arguments[: call.streams]), *arguments[call.streams :])

    method = GradientNorm(forward, embeddings[0] if single else embeddings, space=space)
    found = method.attribute(embeds[0] if single else embeds, call.target, call.extra)
    assert isinstance(found, Tensor if single else tuple)
    torch.testing.assert_close([found] if single else list(found), truth(model, ids, call, space), **EXACT)


@pytest.mark.parametrize("as_list", [False, True])
@pytest.mark.parametrize("space", ["one_hot", "embedding"])
@pytest.mark.parametrize("name", CALLS)
def test_layer_gradient_norm(name: str, space: str, as_list: bool) -> None:
    call, model = CALLS[name], Pair()
    ids = some_ids(call.streams)
    embeddings = [model.source, model.other][: call.streams]
    single = call.streams == 1 and not as_list

    def forward(*arguments: Any) -> Tensor:
        return call.finish(model(*arguments[: call.streams]), *arguments[call.streams :])

    method = LayerGradientNorm(forward, embeddings[0] if single else embeddings, space=space)
    found = method.attribute(ids[0] if call.streams == 1 else ids, call.target, call.extra)
    assert isinstance(found, Tensor if single else list)
    torch.testing.assert_close([found] if single else found, truth(model, ids, call, space), **EXACT)


def test_one_layer_of_two_inputs_gives_a_tensor() -> None:
    model, ids = Pair(), some_ids(2)
    found = LayerGradientNorm(model, model.other).attribute(ids, 1)
    torch.testing.assert_close(found, truth(model, ids, Call(streams=2), "one_hot")[1], **EXACT)


def test_containers_are_captums() -> None:
    model, ids = Pair(), some_ids(2)
    for layer in (model.source, [model.source], [model.source, model.other]):
        theirs = LayerGradientXActivation(model, layer).attribute(ids, 1)
        ours = LayerGradientNorm(model, layer).attribute(ids, 1)
        assert type(ours) is type(theirs)
        if isinstance(ours, list):
            assert [type(one) for one in ours] == [type(one) for one in theirs]


def test_positional_arguments_come_in_captums_order() -> None:
    model, (ids,) = Pair(), some_ids()
    found = LayerGradientNorm(model, model.source).attribute(ids, 1, None, False, {"retain_graph": True})
    torch.testing.assert_close(found, truth(model, (ids,), Call(), "one_hot")[0], **EXACT)


class Parallel(nn.Module):
    """A stand-in for DataParallel: a wrapped model with the ids of its devices."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.device_ids = [0]

    def forward(self, *arguments: Any) -> Tensor:
        return self.module(*arguments)


@pytest.mark.parametrize("device_ids", [None, [0], [1, 0]])
def test_device_ids_pass_through(device_ids: list[int] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    from hf_saliency.attribution import gradient_norm

    seen: list[Any] = []
    compute = gradient_norm.compute_layer_gradients_and_eval

    def spy(forward: Any, *arguments: Any, **options: Any) -> Any:
        seen.append((options["device_ids"], forward.device_ids))
        return compute(forward, *arguments, **options)

    monkeypatch.setattr(gradient_norm, "compute_layer_gradients_and_eval", spy)
    model, (ids,) = Pair(), some_ids()
    found = LayerGradientNorm(Parallel(model), model.source, device_ids).attribute(ids, 1)
    assert seen == [(device_ids, [0])]
    torch.testing.assert_close(found, truth(model, (ids,), Call(), "one_hot")[0], **EXACT)


def test_a_forward_function_without_arguments_is_called_without() -> None:
    model, (ids,) = Pair(), some_ids()
    found = LayerGradientNorm(lambda: model(ids), model.source).attribute(ids, 1)
    torch.testing.assert_close(found, truth(model, (ids,), Call(), "one_hot")[0], **EXACT)


# grad_kwargs


def test_allow_unused_gives_zeros() -> None:
    model, ids = Pair(), some_ids(2)

    def forward(first: Tensor, second: Tensor) -> Tensor:
        model.other(second)
        return model(first)

    method = LayerGradientNorm(forward, [model.source, model.other])
    with pytest.raises(SaliencyError, match="allow_unused"):
        method.attribute(ids, 1)
    used, unused = method.attribute(ids, 1, grad_kwargs={"allow_unused": True})
    torch.testing.assert_close(used, truth(model, ids[:1], Call(), "one_hot")[0], **EXACT)
    assert unused.shape == (BATCH, TOKENS - 1)
    assert unused.count_nonzero() == 0


def test_grad_kwargs_are_not_written_to() -> None:
    model, (ids,) = Pair(), some_ids()
    given = {"allow_unused": True}
    LayerGradientNorm(model, model.source).attribute(ids, 1, grad_kwargs=given)
    assert given == {"allow_unused": True}


# Layers that cannot be explained


@pytest.mark.parametrize("calls", [0, 2])
def test_a_layer_not_called_once_is_refused(calls: int) -> None:
    model, ids = Pair(), some_ids(2)

    def forward(first: Tensor, second: Tensor) -> Tensor:
        return model.read(
            model.source(first), *[sum(model.other(second) for _ in range(calls))] * (calls > 0)
        )

    for layer in (model.other, [model.source, model.other]):
        with pytest.raises(SaliencyError, match=f"Embedding was called {calls} times.*embed_tokens"):
            LayerGradientNorm(forward, layer).attribute(ids, 1)
    assert not model.other._forward_hooks


def test_position_embeddings_are_refused() -> None:
    model, (ids,) = Pair(), some_ids()
    positions = nn.Embedding(TOKENS, WIDTH, dtype=torch.float64)

    def forward(ids: Tensor) -> Tensor:
        return model.read(model.source(ids) + positions(torch.arange(TOKENS)[None]))

    with pytest.raises(SaliencyError, match=r"output \(1, 5, 4\).*each of the 3 rows.*position embeddings"):
        LayerGradientNorm(forward, positions).attribute(ids, 1)


def test_a_layer_that_returns_no_tensor_is_refused() -> None:
    class Both(nn.Module):
        def forward(self, embeds: Tensor) -> tuple[Tensor, Tensor]:
            return embeds, embeds

    model, (ids,), both = Pair(), some_ids(), Both()
    method = LayerGradientNorm(lambda ids: model.read(both(model.source(ids))[0]), both, space="embedding")
    with pytest.raises(SaliencyError, match="the layer Both returned a tuple"):
        method.attribute(ids, 1)


def test_embedding_space_takes_any_module() -> None:
    model, (ids,), site = Pair(), some_ids(), nn.Identity()
    method = LayerGradientNorm(lambda ids: model.read(site(model.source(ids))), site, space="embedding")
    torch.testing.assert_close(
        method.attribute(ids, 1), truth(model, (ids,), Call(), "embedding")[0], **EXACT
    )


# No traces


class Interrupt:
    """A forward hook that raises an error inside a layer."""

    def __init__(self, error: type[BaseException]) -> None:
        self.error = error

    def __call__(self, *arguments: Any) -> None:
        raise self.error("inside")


def hooks(model: nn.Module) -> list[list[Any]]:
    """Every hook of every kind, for each module."""
    return [
        [hook for name, value in vars(module).items() if name.endswith("_hooks") for hook in value.values()]
        for module in model.modules()
    ]


def state(model: nn.Module) -> list[Any]:
    return [
        (p.requires_grad, p._version, None if p.grad is None else p.grad.tolist(), p.tolist())
        for p in model.parameters()
    ]


@contextmanager
def unchanged(model: nn.Module, given: Tensor) -> Iterator[None]:
    """Check that hooks, flags, versions, gradients and mode of the model and the input stay the same."""

    def everything() -> list[Any]:
        own = [given.requires_grad, given._version, given._backward_hooks, given.grad, given.tolist()]
        return [hooks(model), state(model), model.training, own]

    before = everything()
    yield
    assert everything() == before


def fails(kind: str, model: Pair) -> tuple[Any, type[BaseException] | None]:
    """Return the target and the expected error; add a hook that raises it if it must come from inside the model."""
    if kind == "success":
        return 1, None
    if kind == "wrong target":
        return CLASSES, IndexError
    error = {"error": ZeroDivisionError, "interrupt": KeyboardInterrupt}[kind]
    model.head.register_forward_hook(Interrupt(error))
    return 1, error


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("kind", ["success", "wrong target", "error", "interrupt"])
@pytest.mark.parametrize("layer", [False, True])
def test_nothing_is_left_behind(kind: str, frozen: bool, layer: bool) -> None:
    model, (ids,) = Pair(), some_ids()
    model(ids).sum().backward()
    model.requires_grad_(not frozen)
    model.source.register_forward_hook(lambda module, ids, output: None)
    embeds = model.source(ids).detach()
    target, error = fails(kind, model)
    method = LayerGradientNorm(model, model.source) if layer else GradientNorm(model.read, model.source)
    given = ids if layer else embeds
    with unchanged(model, given), pytest.raises(error) if error else nullcontext():
        method.attribute(given, target)
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("requires_grad", [False, True])
def test_inputs_keep_their_flag_and_their_gradient(requires_grad: bool) -> None:
    model, (ids,) = Pair(), some_ids()
    embeds = model.source(ids).detach().requires_grad_(requires_grad)
    if requires_grad:
        embeds.grad = torch.ones_like(embeds)
    with unchanged(model, embeds):
        GradientNorm(model.read, model.source).attribute(embeds, 1)


def test_inputs_within_a_graph_keep_it() -> None:
    model, (ids,) = Pair(), some_ids()
    embeds = model.source(ids)
    GradientNorm(model.read, model.source).attribute(embeds, 1)
    embeds.sum().backward()
    assert model.source.weight.grad is not None


def test_an_error_inside_of_the_embedding_leaves_no_hook() -> None:
    model, (ids,) = Pair(), some_ids()
    with pytest.raises(IndexError):
        LayerGradientNorm(model, [model.source, model.other]).attribute(ids + 100, 1)
    assert not any(hooks(model))


def test_no_gradient_of_a_weight_is_computed() -> None:
    model, (ids,) = Pair(), some_ids()

    def forbidden(gradient: Tensor) -> None:
        raise AssertionError("the gradient of a weight was computed")

    for parameter in model.parameters():
        parameter.register_hook(forbidden)
    LayerGradientNorm(model, model.source).attribute(ids, 1)
    GradientNorm(model.read, model.source).attribute(model.source(ids).detach(), 1)
    with pytest.raises(AssertionError, match="of a weight"):
        model(ids).sum().backward()


class Speaker(nn.Module):
    """A causal language model as LLMGradientAttribution needs it: from ids to an output with logits."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, WIDTH)
        self.cell = nn.GRU(WIDTH, vocabulary, batch_first=True)
        self.double()

    def forward(self, ids: Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=self.cell(self.embedding(ids))[0])


class LLMGradientNorm(LLMGradientAttribution):
    SUPPORTED_METHODS = (LayerGradientNorm,)


def test_llm_gradient_attribution_takes_kept_dimensions() -> None:
    words = {word: i for i, word in enumerate(["the", "cat", "sat", "on", "a", "mat"])}
    inner = Tokenizer(WordLevel(words, unk_token="the"))
    inner.pre_tokenizer = Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="the")
    model = Speaker(len(words))
    explainer = LLMGradientNorm(LayerGradientNorm(model, model.embedding, keepdim=True), tokenizer)
    found = explainer.attribute(TextTokenInput("the cat sat", tokenizer), target="on a")
    for position, ids in enumerate(([0, 1, 2], [0, 1, 2, 3])):
        method = LayerGradientNorm(lambda ids: model(ids).logits[:, -1].log_softmax(-1), model.embedding)
        expected = method.attribute(torch.tensor([ids]), 3 + position)[0, :3]
        torch.testing.assert_close(found.token_attr[position], expected, **EXACT)
