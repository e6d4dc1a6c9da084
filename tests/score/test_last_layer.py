"""Last layer: if it runs only at the tokens that are read, scores are the same and the model is unchanged."""

from __future__ import annotations

import concurrent.futures
import copy
import warnings
from collections.abc import Callable
from typing import Any

import captum.attr
import interrupts
import numpy as np
import pytest
import tiny
import torch
from torch import Tensor, nn

import hf_saliency as hs
from hf_saliency.adapter.architecture import LastLayer
from hf_saliency.score import last_layer
from hf_saliency.score.head import _Reads
from hf_saliency.score.score import Score

TEXTS = ["the cat sat on a mat and it learned music", "she sat"]


@pytest.fixture(autouse=True)
def _always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(last_layer, "WORK", 0)
    monkeypatch.setattr(last_layer, "ROWS", 1)


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat the modules of this file as modules of a known package."""
    monkeypatch.setattr(last_layer, "_PLAIN", {*last_layer._PLAIN, __name__.partition(".")[0]})


@pytest.fixture
def outcomes(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Record for each score of a call whether the last layer runs only at some tokens."""
    found: list[bool] = []
    tried = last_layer.tried

    def noted(*arguments: Any, **options: Any) -> LastLayer | None:
        result = tried(*arguments, **options)
        found.append(result is not None)
        return result

    monkeypatch.setattr(last_layer, "tried", noted)
    return found


def without(call: Callable[[], Any]) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(last_layer, "WORK", float("inf"))
        return call()


def largest_difference(maps: Any, others: Any) -> float:
    pairs = zip(maps, others, strict=True)
    return max(float(np.abs(a.scores - b.scores).max() / np.abs(b.scores).max()) for a, b in pairs)


# CASES have post-norm layers, with the residual inside or outside the attention module, or pre-norm layers. The last
# layer of the models in WHOLE has another shape and runs at all tokens.
CASES = [
    *(("masked", family) for family in ("bert", "distilbert", "mpnet", "deberta-v2", "modernbert", "esm")),
    *(("causal", family) for family in ("llama", "opt", "bloom", "gpt_neox", "gemma2", "mixtral")),
    ("token_classification", "bert"),
]
WHOLE = [
    ("masked", "albert"),
    ("masked", "mobilebert"),
    ("causal", "gpt2"),
    ("causal", "phi"),
    ("masked", "bart"),
]


@pytest.mark.parametrize(("head", "family"), CASES + WHOLE)
def test_scores_are_those_of_the_whole_layer(head: str, family: str, outcomes: list[bool]) -> None:
    explainer = hs.Explainer(*tiny.model(head, family), progress=False)
    expected = without(lambda: explainer(TEXTS))
    maps = explainer(TEXTS)
    assert outcomes[-1] == ((head, family) in CASES)
    assert largest_difference(maps, expected) < 1e-10
    assert largest_difference([explainer(text) for text in TEXTS], maps) < 1e-10
    for heat, other in zip(maps, expected, strict=True):
        assert [row.label for row in heat.targets] == [row.label for row in other.targets]
        np.testing.assert_allclose(
            [row.score for row in heat.targets], [row.score for row in other.targets], rtol=1e-10
        )


@pytest.mark.parametrize(
    ("method", "used"),
    [
        (hs.integrated_gradients(n_steps=4), True),
        (hs.gradient_shap(n_samples=3), True),
        (hs.leave_one_out(), True),
        (hs.attn_lrp(), False),
        (hs.value_zeroing(), False),
        (hs.attention_rollout(), False),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_methods(method: hs.Method, used: bool, outcomes: list[bool]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        explainer = hs.Explainer(*tiny.masked_lm("bert"), progress=False)
        expected = without(lambda: explainer(TEXTS, method=method))
        assert largest_difference(explainer(TEXTS, method=method), expected) < 1e-10
    assert outcomes[-1] == used


@pytest.mark.parametrize(
    "target",
    [hs.MaskedSpan("sat"), hs.PseudoLogLikelihood(), hs.UnmaskedToken()],
    ids=lambda t: type(t).__name__,
)
def test_targets_that_read_several_tokens_or_share_a_pass(target: hs.Target, outcomes: list[bool]) -> None:
    explainer = hs.Explainer(*tiny.masked_lm("bert"), progress=False)
    expected = without(lambda: explainer(TEXTS, target=target))
    assert largest_difference(explainer(TEXTS, target=target), expected) < 1e-10
    assert outcomes[-1]


@pytest.mark.parametrize(("head", "family"), [("masked", "bert"), ("causal", "llama")])
def test_variants_with_masked_tokens(head: str, family: str, outcomes: list[bool]) -> None:
    explainer = hs.Explainer(*tiny.model(head, family), progress=False)
    target = hs.MaskedToken() if head == "masked" else hs.NextToken()
    keep = np.random.default_rng(0).random((4, len(explainer.encode(TEXTS[0], target=target)))) < 0.5
    expected = without(lambda: explainer.score_masked(TEXTS[0], target, keep))
    np.testing.assert_allclose(explainer.score_masked(TEXTS[0], target, keep), expected, rtol=1e-10)
    assert outcomes == [True]


class MeanAdded(nn.Module):
    """A model whose head reads all tokens, in addition to each one."""

    def __init__(self) -> None:
        super().__init__()
        self.inner: Any = tiny.masked_lm("bert")[0]
        self.config = self.inner.config

    def get_input_embeddings(self) -> nn.Module:
        return self.inner.get_input_embeddings()  # type: ignore[no-any-return]

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Any:
        states = self.inner.bert(input_ids, attention_mask=attention_mask).last_hidden_state
        return {"logits": self.inner.cls(states + states.mean(dim=1, keepdim=True))}


@pytest.mark.usefixtures("plain")
def test_a_head_that_mixes_tokens_has_all_of_them(outcomes: list[bool]) -> None:
    explainer = hs.Explainer(MeanAdded(), tiny.tokenizer(), progress=False)
    expected = without(lambda: explainer(TEXTS, target=hs.MaskedToken()))
    assert largest_difference(explainer(TEXTS, target=hs.MaskedToken()), expected) == 0
    assert not outcomes[-1]


def test_a_hook_on_the_model_sees_all_tokens() -> None:
    model: Any = tiny.masked_lm("bert")[0]
    explainer = hs.Explainer(model, tiny.tokenizer(), progress=False)
    explainer(TEXTS[0])  # runs the trial
    shapes: list[int] = []
    handle = model.bert.encoder.layer[-1].register_forward_hook(
        lambda module, arguments, output: shapes.append(output.shape[1])
    )
    heat = explainer(TEXTS[0])
    handle.remove()
    assert set(shapes) == {heat.scores.shape[1]}


class DecayAttention(nn.Module):
    """A stand-in for attention that weights tokens by their distance."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(16, 16)

    def forward(self, hidden: Tensor) -> Tensor:
        numbers = torch.arange(hidden.shape[1], dtype=hidden.dtype)
        return self.out(-(numbers - numbers[:, None]).abs().softmax(dim=-1) @ hidden)  # type: ignore[no-any-return]


class ScaledInPlace(nn.Module):
    """A layer that changes its input states in place."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = DecayAttention()

    def forward(self, hidden: Tensor) -> Tensor:
        mixed = self.attention(hidden)
        return hidden.mul_(1.5) + mixed.mul_(2)


class OwnModel(nn.Module):
    """A model of one :class:`ScaledInPlace` layer, followed by ``tail`` and a head."""

    def __init__(self, tail: Callable[[OwnModel, Tensor], Tensor] = lambda model, hidden: hidden) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table, self.layers = nn.Embedding(48, 16), nn.ModuleList([ScaledInPlace()])
        self.head, self.gate, self.tail = nn.Linear(16, 48), nn.Parameter(torch.zeros(())), tail
        self.double().eval()

    def get_input_embeddings(self) -> nn.Module:
        return self.table

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Any:
        hidden = self.layers[0](self.table(input_ids).sin())
        return {"logits": self.head(self.tail(self, hidden).tanh())}


def gated(model: OwnModel, hidden: Tensor) -> Tensor:
    return hidden + model.gate * hidden.mean(dim=1, keepdim=True)


def within_capacity(model: OwnModel, hidden: Tensor) -> Tensor:
    return hidden * (hidden[..., :1].sigmoid().cumsum(dim=1) < 3)


@pytest.mark.usefixtures("plain")
def test_a_layer_that_changes_its_input_in_place(outcomes: list[bool]) -> None:
    explainer = hs.Explainer(OwnModel(), tiny.tokenizer(), progress=False)
    for target in (hs.MaskedToken(), hs.UnmaskedToken()):
        expected = without(lambda target=target: explainer(TEXTS[0], target=target))
        assert largest_difference([explainer(TEXTS[0], target=target)], [expected]) < 1e-10
        assert outcomes[-1]


@pytest.mark.usefixtures("plain")
def test_it_is_tried_again_after_a_weight_changed(outcomes: list[bool]) -> None:
    model = OwnModel(gated)
    explainer = hs.Explainer(model, tiny.tokenizer(), progress=False)
    explainer(TEXTS[0], target=hs.MaskedToken())
    with torch.no_grad():
        model.gate.fill_(0.5)
    heat = explainer(TEXTS[0], target=hs.MaskedToken())
    assert outcomes == [True, False]
    assert largest_difference([heat], [without(lambda: explainer(TEXTS[0], target=hs.MaskedToken()))]) == 0


@pytest.mark.usefixtures("plain")
def test_the_last_tokens_are_tried_as_well(outcomes: list[bool]) -> None:
    hs.Explainer(OwnModel(within_capacity), tiny.tokenizer(), progress=False)(
        TEXTS[0], target=hs.MaskedToken()
    )
    assert outcomes == [False]


class FirstAdded(nn.Module):
    """A user's module that adds the first token's state to every token."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, hidden: Tensor) -> Tensor:
        return self.inner(hidden + hidden[:, :1])  # type: ignore[no-any-return]


def module_replaced(model: Any) -> None:
    model.model.layers[-1].mlp.down_proj = FirstAdded(model.model.layers[-1].mlp.down_proj)


def forward_replaced(model: Any) -> None:
    model.model.norm.forward = FirstAdded(copy.copy(model.model.norm)).forward


@pytest.mark.parametrize("change", [module_replaced, forward_replaced])
def test_code_of_a_users_has_all_tokens(change: Callable[[Any], None], outcomes: list[bool]) -> None:
    model, tokenizer = tiny.model("causal", "llama")
    explainer = hs.Explainer(model, tokenizer, progress=False)
    explainer(TEXTS[0])
    change(model)
    heat = explainer(TEXTS[0])
    assert outcomes == [True, False]
    assert largest_difference([heat], [without(lambda: explainer(TEXTS[0]))]) == 0


def test_a_hook_on_all_modules_sees_all_tokens() -> None:
    model: Any = tiny.model("causal", "llama")[0]
    explainer = hs.Explainer(model, tiny.tokenizer(), progress=False)
    explainer(TEXTS[0])
    handle = nn.modules.module.register_module_forward_hook(
        lambda module, arguments, output: output + output[:, :1] if module is model.model.norm else None
    )
    try:
        heat, expected = explainer(TEXTS[0]), without(lambda: explainer(TEXTS[0]))
    finally:
        handle.remove()
    assert largest_difference([heat], [expected]) == 0


def test_another_thread_has_all_of_its_tokens() -> None:
    reads = _Reads(torch.tensor([0]), torch.tensor([[1]]), torch.Size([1, 4]))
    hidden = torch.zeros(1, 4, 2)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        assert pool.submit(reads.leave, nn.Identity(), (hidden,)).result() is None
    assert reads.leave(nn.Identity(), (hidden,))[0].shape == (1, 1, 2)


def test_a_layer_that_is_never_handed_all_states_leaves_the_head_as_it_was(
    monkeypatch: pytest.MonkeyPatch, outcomes: list[bool]
) -> None:
    monkeypatch.setattr(LastLayer, "of", lambda model: LastLayer(nn.Identity(), nn.Identity(), ()))
    hs.Explainer(*tiny.masked_lm("bert"), progress=False)(TEXTS[0])
    assert outcomes == [False]


@pytest.mark.usefixtures("plain")
def test_what_fails_later_runs_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    model: Any = tiny.masked_lm("bert")[0]
    explainer = hs.Explainer(model, tiny.tokenizer(), progress=False)
    expected = explainer(TEXTS[0]).scores
    dense = model.cls.predictions.transform.dense
    forward = dense.forward

    def whole(hidden: Tensor) -> Tensor:
        if hidden.shape[1] == 1:
            raise ValueError("one token")
        return forward(hidden)

    monkeypatch.setattr(dense, "forward", whole)
    np.testing.assert_allclose(explainer(TEXTS[0]).scores, expected, rtol=1e-10)


@pytest.mark.usefixtures("plain")
def test_an_error_leaves_no_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    model: Any = tiny.masked_lm("bert")[0]
    explainer = hs.Explainer(model, tiny.tokenizer(), progress=False)
    explainer(TEXTS[0])

    def broken(*arguments: Any) -> Tensor:
        raise KeyboardInterrupt

    monkeypatch.setattr(model.bert.encoder.layer[-1].output.dense, "forward", broken)
    with pytest.raises(KeyboardInterrupt):
        explainer(TEXTS[0])
    assert not any(interrupts.state(model)["hooks"])


# Python drops an exception that is raised while a generator closes, and warns.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_no_interrupt_leaves_anything_changed() -> None:
    model, tokenizer = tiny.masked_lm("bert")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert list(interrupts.changes(model, tokenizer, 60)) == []


def test_nothing_is_tried_where_it_does_not_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    explainer = hs.Explainer(*tiny.masked_lm("bert"), progress=False)
    calls: list[bool] = []
    monkeypatch.setattr(last_layer, "_agrees", lambda *arguments: calls.append(True))
    without(lambda: explainer(TEXTS[0]))
    monkeypatch.setattr(last_layer, "ROWS", 1000)
    explainer(TEXTS[0])
    with torch.autocast("cpu", torch.bfloat16):
        explainer(TEXTS[0])
    assert not calls
    assert not explainer.text_model.layer_trials


def test_scores_for_captum_run_whole() -> None:
    explainer = hs.Explainer(*tiny.masked_lm("bert"), progress=False)
    explainer(TEXTS[0])
    score: Score = explainer.captum(TEXTS[0])[0]
    assert score.last_layer is None


def test_a_method_that_asks_for_modules_later_has_all_tokens() -> None:
    explainer = hs.Explainer(*tiny.masked_lm("bert"), progress=False)
    seen: list[LastLayer | None] = []

    class Late(captum.attr.Saliency):
        def attribute(self, *arguments: Any, **options: Any) -> Any:
            seen.append(self.forward_func.last_layer)
            assert self.forward_func.layers
            seen.append(self.forward_func.last_layer)
            return super().attribute(*arguments, **options)

    method = hs.Method("late", lambda score, tables: Late(score), reduction="norm")
    explainer(TEXTS[0], method=method)
    assert seen[0] is not None
    assert seen[1] is None
