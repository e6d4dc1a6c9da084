"""Output: custom heads, with any kind of output and with further inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import reference
import tiny
import torch
from torch import Tensor, nn

import hf_saliency as hs

TEXT = "the cat sat on a mat"


@dataclass
class Senses:
    senses: Tensor


SHAPES: dict[str, tuple[Callable[[Tensor], Any], Callable[[Any], Tensor]]] = {
    "tensor": (lambda x: x, lambda output: output),
    "tuple": (lambda x: (x, None), lambda output: output[0]),
    "dict": (lambda x: {"senses": x}, lambda output: output["senses"]),
    "dataclass": (Senses, lambda output: output.senses),
}


class Probe(nn.Module):
    """A head over an encoder that needs an input unrelated to the text."""

    def __init__(self, wrap: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.encoder = tiny.of_class("BertModel")
        torch.manual_seed(1)
        self.head = nn.Linear(16, 5).double()
        self.wrap = wrap

    def forward(self, input_ids: Tensor, attention_mask: Tensor, sense_labels: Tensor) -> Any:
        states = self.encoder(input_ids, attention_mask=attention_mask).last_hidden_state
        assert sense_labels.shape[0] == len(input_ids)
        return self.wrap(self.head(states) + 0 * sense_labels[..., None])


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("dummies", [torch.zeros(1, 1), lambda rows: torch.zeros(rows["input_ids"].shape)])
def test_any_head_against_dense_autograd(kind: str, dummies: Any) -> None:
    wrap, get = SHAPES[kind]
    model = Probe(wrap)
    on = hs.Explainer(model, tiny.tokenizer(), inputs={"sense_labels": dummies})
    target = hs.Output(lambda output, inputs: get(output)[:, 2, 4], label="sense 4")
    ids = on.text_model.tokenizer(TEXT)["input_ids"]

    def plain() -> Tensor:
        given = torch.tensor([ids])
        return get(model(given, torch.ones_like(given), torch.zeros(1, 1)))[0, 2, 4]

    heat = on(TEXT, target=target)
    assert heat.targets[0].score == pytest.approx(plain().item(), rel=1e-12)
    assert (heat.targets[0].label, heat.targets[0].unit) == ("sense 4", "value")
    expected = reference.dense([(model.encoder.get_input_embeddings(), ids)], plain)
    np.testing.assert_allclose(heat.scores[0], expected, rtol=1e-10)
    texts = [TEXT, "the dog ran"]
    for method in ("gradient_norm", "integrated_gradients", "occlusion"):
        for text, one in zip(texts, on(texts, target=target, method=method), strict=True):
            alone = on(text, target=target, method=method)
            np.testing.assert_allclose(one.scores, alone.scores, rtol=1e-8, atol=1e-10)


class Recurrent(nn.Module):
    """A model without any module from transformers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.other = nn.Embedding(48, 8).double(), nn.Embedding(3, 8).double()
        self.rnn = nn.GRU(8, 8, batch_first=True).double()

    def forward(self, input_ids: Tensor) -> Tensor:
        states, _ = self.rnn(self.embed(input_ids) + self.other.weight[0])
        return states


def test_a_plain_module_with_its_embedding_named() -> None:
    model = Recurrent()
    target = hs.Output(lambda output, inputs: output[:, -1].sum(dim=-1))
    with pytest.raises(
        hs.SaliencyError, match="contains the tables embed, other.*embedding=model.encoder.embed"
    ):
        hs.Explainer(model, tiny.tokenizer())
    on = hs.Explainer(model, tiny.tokenizer(), embedding=model.embed)
    for text, heat in zip([TEXT, "it"], on([TEXT, "it"], target=target), strict=True):
        ids = on.text_model.tokenizer(text)["input_ids"]
        expected = reference.dense([(model.embed, ids)], lambda i=ids: model(torch.tensor([i]))[0, -1].sum())
        np.testing.assert_allclose(heat.scores[0], expected, rtol=1e-10)


def test_a_function_that_is_none() -> None:
    on = hs.Explainer(*tiny.masked_lm("bert"))
    with pytest.raises(hs.SaliencyError, match=r"must return a tensor of shape \(1,\)"):
        on(TEXT, target=hs.Output(lambda output, inputs: output.logits[:, 0]))
    with pytest.raises(hs.SaliencyError, match="score=3: give a function"):
        hs.Output(3)  # type: ignore[arg-type]
    with pytest.raises(hs.SaliencyError, match="inputs=.'sense_labels'.*forward takes"):
        hs.Explainer(Recurrent(), tiny.tokenizer(), embedding=Recurrent().embed, inputs={"sense_labels": 0})


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (
            lambda output: output.logits[:, 0, 0],
            "hs.Output raised TypeError.*takes 1 positional.*lambda output, inputs",
        ),
        (lambda output, inputs: output.scores, "hs.Output raised AttributeError: .*'scores'"),
        (lambda output, inputs: output.logits[:, 0, 0] > 0, "returned torch.bool, which has no gradient"),
        (lambda output, inputs: output.logits[:, 0, 0] * 1j, "returned torch.complex128"),
        (lambda output, inputs: output.logits[:, 0, 0].detach(), "does not depend on the embeddings"),
    ],
)
@pytest.mark.parametrize("method", ["gradient_norm", "integrated_gradients"])
def test_a_function_that_fails(score: Any, message: str, method: str) -> None:
    on = hs.Explainer(*tiny.masked_lm("bert"))
    with pytest.raises(hs.SaliencyError, match=message):
        on(TEXT, target=hs.Output(score), method=method)


def test_a_module_without_a_table() -> None:
    with pytest.raises(hs.SaliencyError, match="and contains no embedding table: name the module"):
        hs.Explainer(Tableless(), tiny.tokenizer())


class Tableless(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 3)

    def forward(self, input_ids: Tensor) -> Tensor:
        return self.head(input_ids)


def test_a_module_without_a_target_of_its_own() -> None:
    model = Recurrent()
    on = hs.Explainer(model, tiny.tokenizer(), embedding=model.embed)
    with pytest.raises(hs.SaliencyError, match="target=hs.Output"):
        on(TEXT)
