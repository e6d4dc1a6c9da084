"""Further inputs: a model's inputs other than the text are passed by name, and errors name a missing one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor, nn

import hf_saliency as hs

TEXT = "the cat sat on a mat"


class Scaled(nn.Module):
    """A classifier that needs a number in addition to the text, and accepts any other input."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = tiny.of_class("BertModel")
        torch.manual_seed(1)
        self.head = nn.Linear(16, 3).double()

    def forward(self, input_ids: Tensor, scale: Tensor, attention_mask: Any = None, **further: Any) -> Tensor:
        states = self.encoder(input_ids, attention_mask=attention_mask).last_hidden_state
        return scale * self.head(states[:, 0])


def explainer(inputs: Any, name: str = "BertForSequenceClassification") -> hs.Explainer:
    return hs.Explainer(tiny.of_class(name), tiny.tokenizer(), inputs=inputs)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (
            {"token_type_idz": torch.zeros(1, 1)},
            "inputs={'token_type_idz': ...}: .*forward takes .*token_type_ids",
        ),
        ({"input_ids": torch.zeros(1, 1)}, "inputs={'input_ids': ...}.*the tokenizer gives the rest"),
        ([1], r"inputs=\[1\]: give what the model needs by name"),
    ],
)
@pytest.mark.parametrize("name", ["BertForSequenceClassification", "GPT2ForSequenceClassification"])
def test_inputs_that_the_model_does_not_take(inputs: Any, message: str, name: str) -> None:
    with pytest.raises(hs.SaliencyError, match=message):
        explainer(inputs, name)


def test_what_a_model_of_transformers_passes_on() -> None:
    on = explainer({"output_hidden_states": True})
    target = hs.Output(lambda output, inputs: output.hidden_states[1][:, 0].sum(dim=-1))
    assert on(TEXT, target=target).scores.any()


def test_a_module_that_takes_anything() -> None:
    on = hs.Explainer(Scaled(), tiny.tokenizer(), inputs={"scale": torch.ones(1, 1), "anything": 3})
    double = hs.Explainer(Scaled(), tiny.tokenizer(), inputs={"scale": lambda rows: 2.0})
    target = hs.Label(1)
    np.testing.assert_allclose(double(TEXT, target=target).scores, 2 * on(TEXT, target=target).scores)


def test_an_input_that_is_missing() -> None:
    with pytest.raises(hs.SaliencyError, match=r"Scaled.forward needs scale.*inputs=\{'scale': \.\.\.\}"):
        hs.Explainer(Scaled(), tiny.tokenizer())


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda rows: 1 / 0, "inputs={'position_ids': ...} raised ZeroDivisionError"),
        (lambda rows: None, "inputs={'position_ids': ...} returned None"),
    ],
)
def test_a_function_that_fails(function: Any, message: str) -> None:
    with pytest.raises(hs.SaliencyError, match=message):
        explainer({"position_ids": function})(TEXT)


def test_an_input_of_the_wrong_shape_is_named() -> None:
    on = explainer({"token_type_ids": torch.zeros(1, 2, dtype=torch.long)})
    with pytest.raises(
        hs.SaliencyError, match=r"forward raised RuntimeError.*inputs= \(token_type_ids\)"
    ) as info:
        on(TEXT)
    assert isinstance(info.value.__cause__, RuntimeError)
