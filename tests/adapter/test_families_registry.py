"""Registering the family of a class of models: by a call, by an installed package, for a wrapped model."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import Any

import dense
import numpy as np
import pytest
import tiny
import torch
import transformers
from torch import nn

import hf_saliency as hs
from hf_saliency.adapter import families
from hf_saliency.adapter.families import GROUP, Family, family


class Own(nn.Module):
    """A head around an encoder."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder


class Heir(Own): ...


@pytest.fixture(autouse=True)
def _no_traces(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(families, "_REGISTERED", {})
    families._installed.cache_clear()
    yield
    families._installed.cache_clear()


def plug_in(monkeypatch: pytest.MonkeyPatch, value: Any, name: str = "own_models") -> None:
    """Simulate an installed package whose entry point loads ``value``, or raises it if it is an exception."""

    class Point(metadata.EntryPoint):
        def load(self) -> Any:
            if isinstance(value, Exception):
                raise value
            return value

    def entry_points(*, group: str) -> list[metadata.EntryPoint]:
        return [Point(name, "own_models.saliency:FAMILIES", group)] if group == GROUP else []

    monkeypatch.setattr(families.metadata, "entry_points", entry_points)


def test_a_registered_class_and_its_heirs() -> None:
    hs.register_family(Own, hs.Family(pads=False))
    assert family(Heir(nn.Linear(1, 1))).pads is False
    hs.register_family(Heir, hs.Family(refused="it cannot be read"))
    with pytest.raises(hs.SaliencyError, match="Heir cannot be explained: it cannot be read"):
        family(Heir(nn.Linear(1, 1)))
    assert family(Own(nn.Linear(1, 1))).pads is False


def test_a_registration_comes_before_the_package_s_own() -> None:
    model = tiny.masked_lm("convbert")[0]
    assert family(model).pads is False
    hs.register_family(type(model), hs.Family())
    assert family(type(model)(model.config)).pads is False  # the inner model is still a ConvBERT
    hs.register_family(transformers.ConvBertPreTrainedModel, hs.Family())
    assert family(model).pads is None


@pytest.mark.parametrize("given", [(Own, {"pads": False}), ("Own", hs.Family()), (int, hs.Family())])
def test_a_wrong_registration_is_named(given: tuple[Any, Any]) -> None:
    with pytest.raises(hs.SaliencyError, match=r"register_family\(MyModel, hs.Family\(pads=False\)\)"):
        hs.register_family(*given)


def test_what_an_installed_package_registers(monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(monkeypatch, {f"{Own.__module__}.Own": Family(pads=False)})
    assert not family(Heir(nn.Linear(1, 1))).pads
    assert family(nn.Linear(1, 1)) == Family()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (ImportError("no module named x"), "ImportError: no module named x"),
        ([Family()], "not a mapping from class names to Family"),
        ({"own_models.Own": False}, "not a mapping from class names to Family"),
    ],
)
def test_a_broken_package_is_named_and_left_out(
    monkeypatch: pytest.MonkeyPatch, value: Mapping[str, Any] | Exception, said: str
) -> None:
    plug_in(monkeypatch, value)
    with pytest.warns(RuntimeWarning, match=f"own_models = own_models.saliency:FAMILIES.*left out.*{said}"):
        assert family(Own(nn.Linear(1, 1))) == Family()
    assert family(Own(nn.Linear(1, 1))) == Family()  # the warning appears once


def test_the_families_of_the_models_within_count() -> None:
    assert family(Own(tiny.masked_lm("bert")[0])) == Family()
    assert not family(Own(tiny.masked_lm("convbert")[0])).pads
    ibert = transformers.IBertModel(transformers.IBertConfig(**tiny.SIZES))
    with pytest.raises(hs.SaliencyError, match=r"Own \(IBertModel\) cannot be explained: its quantised"):
        family(Own(ibert))


def test_a_caution_within_is_given() -> None:
    model = tiny.masked_lm("deberta", legacy=True)[0]
    given = family(nn.Sequential(model))
    assert given.caution is not None
    assert "legacy=False" in str(given.caution(model))
    assert family(nn.Sequential(tiny.masked_lm("deberta")[0])).caution(None) is None  # type: ignore[misc]


def test_an_embedding_that_only_the_class_knows() -> None:
    hs.register_family(Own, hs.Family(embedding=lambda model: model.encoder[0]))
    model = Own(nn.Sequential(nn.Embedding(3, 2), nn.Linear(2, 2)))
    given = family(nn.Sequential(model))
    assert given.embedding is not None
    assert given.embedding(model) is model.encoder[0]


def without_weights(name: str, **changes: Any) -> nn.Module:
    """A model of a class with its configuration, but without layers and weights."""
    cls = getattr(transformers, name)
    model = nn.Module.__new__(cls)
    nn.Module.__init__(model)
    model.config = cls.config_class(**changes)
    return model


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("BltForCausalLM", "it reads bytes"),
        ("CanineForSequenceClassification", "it hashes characters"),
        ("DeepseekV4ForCausalLM", "choose experts by the token id"),
        ("Gemma3nForCausalLM", "second table (embed_tokens_per_layer)"),
        ("Gemma4ForCausalLM", "second table (embed_tokens_per_layer)"),
        ("IBertForMaskedLM", "its quantised"),
        ("NeoMMEForMaskedLM", "second table (value_embeddings)"),
        ("PerceiverForMaskedLM", "it reads bytes"),
        ("ProphetNetForCausalLM", "mixes up positions"),
        ("ReformerForMaskedLM", "in training mode only"),
        ("XLNetLMHeadModel", "perm_mask and target_mapping"),
    ],
)
def test_what_cannot_work_is_refused_by_name(name: str, reason: str) -> None:
    model = without_weights(name)
    with pytest.raises(hs.SaliencyError) as caught:
        family(model)
    assert str(caught.value).startswith(f"{name} cannot be explained: ")
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("Gemma4ForCausalLM", {"hidden_size_per_layer_input": 0}),
        ("DeepseekV4ForCausalLM", {"num_hidden_layers": 2, "mlp_layer_types": ["moe", "moe"]}),
    ],
)
def test_what_its_configuration_leaves_out_does_not_count(name: str, changes: dict[str, Any]) -> None:
    assert family(without_weights(name, **changes)) is not None


@pytest.mark.parametrize(
    "family_name", ["codegen", "ctrl", "gpt2", "gpt_bigcode", "gpt_neo", "gptj", "openai-gpt"]
)
def test_segments_that_are_looked_up_in_the_word_table(family_name: str) -> None:
    model, tokenizer = tiny.model("causal", family_name)
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.model_input_names = ["input_ids", "attention_mask", "token_type_ids"]
    text = "the cat sat on a mat"
    heat = hs.Explainer(model, tokenizer)(text)
    inputs = dense.known(model, tokenizer(text))
    assert "token_type_ids" in inputs
    target = heat.targets[-1]

    def score(output: Any) -> torch.Tensor:
        return output["logits"][0, target.position - 1, target.class_id]

    with torch.no_grad():
        plain = score(model(**inputs)).item()
        without = score(model(**{name: value for name, value in inputs.items() if name != "token_type_ids"}))
    assert target.score == pytest.approx(plain, rel=1e-5)
    assert plain != pytest.approx(without.item(), rel=1e-3)
    np.testing.assert_allclose(
        heat.scores[-1], dense.one_hot_norms(model, inputs, score), rtol=1e-5, atol=1e-12
    )


class Counting(transformers.PretrainedConfig):
    model_type = "counting"


class Counter(transformers.PreTrainedModel):
    """A custom model: a sum of word vectors, and a head."""

    config_class = Counting

    def __init__(self, config: Counting) -> None:
        super().__init__(config)
        self.words, self.head = nn.Embedding(48, 4), nn.Linear(4, 2)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.words

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"logits": self.head((self.words(input_ids) * attention_mask[..., None]).sum(1))}


class LateCounter(Counter):
    """A model that looks up other words before those of the text."""

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> dict[str, torch.Tensor]:
        before = self.words(input_ids.roll(1, dims=1)).sum()
        return {"logits": super().forward(input_ids, attention_mask)["logits"] + before}


def test_a_class_that_is_registered_for_a_task_has_its_default_target(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    auto = transformers.AutoModelForSequenceClassification
    monkeypatch.setattr(auto._model_mapping, "_extra_content", {})
    model, tokenizer = Counter(Counting()).double(), tiny.tokenizer()
    with pytest.raises(hs.SaliencyError, match="Counter has no default target"):
        hs.Explainer(model, tokenizer)("the cat sat")
    auto.register(Counting, Counter)
    (row,) = hs.Explainer(model, tokenizer)("the cat sat").targets
    assert row.label == "LABEL_" + str(row.class_id)
    with pytest.raises(hs.SaliencyError, match=r"Counter classifies a text: .*hs.Label\(\)"):
        hs.Explainer(model, tokenizer)("the cat sat", target=hs.MaskedToken())


def test_further_lookups_come_after_the_text() -> None:
    hs.register_family(LateCounter, hs.Family(extra_lookups=True))
    explainer = hs.Explainer(LateCounter(Counting()).double(), tiny.tokenizer())
    with pytest.raises(hs.SaliencyError, match="looks up something else before the text"):
        explainer("the cat sat", target=hs.Label(0))
