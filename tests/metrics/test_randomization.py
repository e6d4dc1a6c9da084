"""Random weights: the stages, the untouched model, and the methods that notice."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import tiny
import torch

import hf_saliency as hs
from hf_saliency.explain.randomized import randomized, stages

TEXTS = ["the cat sat on a mat and it ran", "she was learning music and not the formal grammar"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("BertForMaskedLM", ["head", "bert.encoder.layer.1", "bert.encoder.layer.0", "embeddings"]),
        ("GPT2LMHeadModel", ["head", "transformer.h.1", "transformer.h.0", "embeddings"]),
        (
            "T5ForConditionalGeneration",
            [
                "head",
                "decoder.block.1",
                "decoder.block.0",
                "encoder.block.1",
                "encoder.block.0",
                "embeddings",
            ],
        ),
    ],
)
def test_stages_hold_each_parameter_once(name: str, expected: list[str]) -> None:
    model = tiny.of_class(name)
    parts = stages(model)
    assert list(parts) == expected
    numbers = [id(parameter) for parameters in parts.values() for parameter in parameters]
    assert sorted(numbers) == sorted(id(parameter) for parameter in model.parameters())


def test_a_stage_changes_itself_only_and_the_model_stays() -> None:
    model, tokenizer = tiny.masked_lm("bert")
    before = copy.deepcopy(model.state_dict())
    state = torch.get_rng_state()
    explainer = hs.Explainer(model, tokenizer)
    previous = {name: value.clone() for name, value in before.items()}
    for stage, made in randomized(explainer, 0):
        now = made.text_model.model.state_dict()
        changed = {name for name, value in now.items() if not torch.equal(value, previous[name])}
        inside = "layer" if stage.startswith("bert") else "cls" if stage == "head" else "embeddings"
        assert changed
        assert all((stage if inside == "layer" else inside) in name or "decoder" in name for name in changed)
        previous = {name: value.clone() for name, value in now.items()}
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())


def test_the_table_begins_with_one_and_a_blind_method_stays_there() -> None:
    explainer = hs.Explainer(*tiny.masked_lm("bert"), progress=False)
    blind = {"saliency": "saliency", "blind": hs.random_baseline(seed=3)}
    table = hs.randomization_check(explainer, TEXTS, blind, target=hs.MaskedToken([2, 4]))
    stages_of = table.facts["stages"]
    assert len(table) == 3 * len(stages_of)
    assert table["value"][table["x"] == 0] == pytest.approx(np.ones(3))
    assert table["value"][table["group"] == "blind"] == pytest.approx(np.ones(len(stages_of)))
    last = (table["group"] == "saliency") & (table["x"] == len(stages_of) - 1)
    assert abs(table["value"][last][0]) < 0.9
    random = (table["group"] == "random") & (table["x"] > 0)
    assert (np.abs(table["value"][random]) < 0.6).all()
    assert table == hs.randomization_check(explainer, TEXTS, blind, target=hs.MaskedToken([2, 4]))


def test_a_model_whose_cache_is_switched_off() -> None:
    explainer = hs.Explainer(tiny.of_class("GPT2LMHeadModel"), tiny.tokenizer(), progress=False)
    table = hs.randomization_check(explainer, TEXTS[0], ["saliency"], target=hs.NextToken())
    assert np.isfinite(table["value"]).all()
