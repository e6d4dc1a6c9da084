"""The table of methods and metrics agrees with loops over the plain model, in float64."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import tiny
import torch

import hf_saliency as hs

TEXTS = ["the cat sat on a mat", "it ran", "she was learning music and not the formal grammar"]
TARGET = hs.MaskedToken(unit="log_prob")
SHARES = (0.1, 0.5)


@pytest.fixture(scope="module")
def explainer() -> hs.Explainer:
    return hs.Explainer(*tiny.masked_lm("bert"), progress=False)


def replica(explainer: hs.Explainer, text: str, heat: hs.SaliencyMap, words: bool) -> dict[str, list[float]]:
    """Compute comprehensiveness and sufficiency of each target, running one masked text at a time."""
    model, mask = explainer.text_model.model, explainer.text_model.tokenizer.mask_token_id
    ids = list(explainer.encode(text).ids)
    values: dict[str, list[float]] = {"comprehensiveness": [], "sufficiency": []}
    for row, target in enumerate(heat.targets):
        units: list[list[int]] = []
        for i, token in enumerate(heat.tokens):
            if token.special or i == target.position:
                continue
            previous = heat.tokens[i - 1] if i else token
            joins = words and bool(units) and units[-1][-1] == i - 1 and previous.end == token.start
            units[-1].append(i) if joins else units.append([i])
        strength = [sum(heat.scores[row, i] for i in unit) for unit in units]
        order = sorted(range(len(units)), key=lambda unit: (-strength[unit], unit))

        def log_prob(masked: list[int], row: int = row, position: Any = target.position) -> float:
            read = [mask if i in (*masked, position) else one for i, one in enumerate(ids)]
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([read])).logits[0, position]
            return float(logits.log_softmax(-1)[ids[position]])

        drops: dict[str, list[float]] = {"comprehensiveness": [], "sufficiency": []}
        for share in SHARES:
            top = order[: max(1, math.ceil(share * len(units)))]
            for name, gone in (("comprehensiveness", top), ("sufficiency", set(order) - set(top))):
                masked = [i for unit in gone for i in units[unit]]
                drops[name].append(log_prob([]) - log_prob(masked))
        for name, each in drops.items():
            values[name].append(float(np.mean(each)))
    return values


@pytest.mark.parametrize("unit", ["token", "word"])
def test_the_table_is_what_loops_over_the_model_give(explainer: hs.Explainer, unit: Any) -> None:
    metrics = [hs.comprehensiveness(SHARES), hs.sufficiency(SHARES)]
    table = hs.faithfulness(
        explainer, TEXTS, target=TARGET, methods=["input_x_gradient", "saliency"], metrics=metrics, unit=unit
    )
    row = 0
    for method in ("input_x_gradient", "saliency"):
        maps = explainer(TEXTS, target=TARGET, method=method)
        each = [
            replica(explainer, text, heat, unit == "word") for text, heat in zip(TEXTS, maps, strict=True)
        ]
        for metric in metrics:
            expected = np.mean([np.mean(values[metric.name]) for values in each])  # per text, then over texts
            assert (table["label"][row], table["group"][row], table["n"][row]) == (method, metric.name, 3)
            assert table["value"][row] == pytest.approx(expected, rel=1e-9)
            assert table["low"][row] <= table["value"][row] <= table["high"][row]
            row += 1
        single = metrics[0](explainer, TEXTS[0], maps[0], target=TARGET, unit=unit)
        np.testing.assert_allclose(single, each[0]["comprehensiveness"], rtol=1e-9)
    assert table["label"][row:].tolist() == ["random", "random"]


def test_maps_stand_for_a_method(explainer: hs.Explainer) -> None:
    arguments: dict[str, Any] = {"target": TARGET, "metrics": [hs.comprehensiveness(SHARES)]}
    maps = explainer(TEXTS, target=TARGET, method="saliency")
    table = hs.faithfulness(explainer, TEXTS, methods={"saliency": maps}, **arguments)
    assert table == hs.faithfulness(explainer, TEXTS, methods=["saliency"], **arguments)
    with pytest.raises(hs.SaliencyError, match=r"methods\['a'\] has 2 maps for 3 texts"):
        hs.faithfulness(explainer, TEXTS, methods={"a": maps[:2]}, **arguments)
    with pytest.raises(hs.SaliencyError, match="the maps in the order of the texts"):
        hs.faithfulness(explainer, TEXTS, methods={"a": list(maps)[::-1]}, **arguments)
    with pytest.raises(hs.SaliencyError, match=r"methods\['a'\] is a list: give a method"):
        hs.faithfulness(explainer, TEXTS, methods={"a": ["saliency"]}, **arguments)
    with pytest.raises(hs.SaliencyError, match="a randomized model has maps of its own"):
        hs.randomization_check(explainer, TEXTS, {"a": maps}, target=TARGET)


def test_random_orders_stand_beside_the_methods_and_repeat(explainer: hs.Explainer) -> None:
    arguments: dict[str, Any] = {"target": TARGET, "methods": ["saliency", "leave_one_out"]}
    table = hs.faithfulness(explainer, TEXTS[:2], **arguments)
    again = hs.faithfulness(explainer, TEXTS[:2], **arguments)
    other = hs.faithfulness(explainer, TEXTS[:2], **arguments, seed=1)
    assert table == again
    at = table["label"] == "random"
    assert at.sum() == 4
    assert (table["low"][at] <= table["value"][at]).all()
    assert (table["value"][at] != other["value"][at]).any()
    one = (table["label"] == "leave_one_out") & (table["group"] == "rank_agreement")
    assert table["value"][one] == pytest.approx(1)
    assert table.facts["random"] == "lowest and highest of 5 seeds"


def test_curves_begin_with_the_whole_text_and_end_with_the_empty_one(explainer: hs.Explainer) -> None:
    arguments: dict[str, Any] = {"target": TARGET, "methods": {"a": "saliency", "b": "lime"}, "points": 4}
    down = hs.masking_curves(explainer, TEXTS, **arguments)
    up = hs.masking_curves(explainer, TEXTS, kind="insertion", **arguments)
    assert down["group"].tolist() == ["a"] * 5 + ["b"] * 5 + ["random"] * 5
    ends = {
        tuple(np.round(table["value"][i : i + 5 : 4][::step], 10))
        for table, step in ((down, 1), (up, -1))
        for i in (0, 5, 10)
    }
    assert len(ends) == 1
    whole = np.mean([explainer.score_masked(text, TARGET).mean() for text in TEXTS])
    assert ends.pop()[0] == pytest.approx(whole)
    assert (down.facts["x"], up.facts["x"]) == ("share of tokens masked", "share of tokens kept")


def test_only_what_can_be_removed_counts() -> None:
    masked = hs.Explainer(*tiny.masked_lm("bert"))
    removable = masked.variants("the [MASK] sat on", hs.MaskedToken([1, 3])).removable
    assert removable.astype(int).tolist() == [[0, 0, 0, 1, 1, 0], [0, 1, 0, 0, 1, 0]]
    causal = hs.Explainer(tiny.of_class("GPT2LMHeadModel"), tiny.tokenizer())
    removable = causal.variants("the cat sat", hs.NextToken()).removable
    assert removable[:3].astype(int).tolist() == [[0, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 1, 1, 0, 0]]
    table = hs.faithfulness(
        causal,
        ["the cat sat", "the"],
        target=hs.NextToken(),
        methods=["saliency"],
        metrics=[hs.sufficiency()],
    )
    assert table["n"].tolist() == [1, 1]  # the second text has only one word, and nothing before it


def test_the_predicted_class_and_its_flip() -> None:
    explainer = hs.Explainer(tiny.of_class("BertForSequenceClassification"), tiny.tokenizer())
    target, metric = hs.Label(), hs.decision_flip()
    heat = explainer(TEXTS[0], target=target, method="leave_one_out")
    (share,) = metric(explainer, TEXTS[0], heat, target=target)
    encoding = explainer.encode(TEXTS[0])
    order = np.argsort(-heat.scores[0, 1:-1], kind="stable") + 1
    answers = []
    for count in range(7):
        ids = [
            explainer.text_model.tokenizer.mask_token_id if i in order[:count] else one
            for i, one in enumerate(encoding.ids)
        ]
        with torch.no_grad():
            answers.append(int(explainer.text_model.model(input_ids=torch.tensor([ids])).logits.argmax()))
    flips = [count / 6 for count in range(1, 7) if answers[count] != answers[0]]
    assert share == (flips or [1.0])[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": "saliency"}, r"methods='saliency': give a list"),
        ({"methods": []}, "methods is empty"),
        ({"methods": ["saliency", "saliency"]}, "the name 'saliency' is taken"),
        ({"methods": {"random": "saliency"}}, "the name 'random' is taken"),
        ({"metrics": ["sufficiency"]}, r"metrics=.*hs.comprehensiveness\(\)"),
        ({"metrics": [hs.sufficiency(), hs.sufficiency()]}, "two metrics have one name"),
        ({"unit": "sentence"}, "unit='sentence': choose one of 'token', 'word'"),
        ({"ranking": "sign"}, "ranking='sign'"),
        ({"texts": []}, "texts is empty"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_refused(explainer: hs.Explainer, changes: dict[str, Any], message: str) -> None:
    arguments = {"texts": TEXTS, "methods": ["saliency"], "target": TARGET, **changes}
    with pytest.raises(hs.SaliencyError, match=message):
        hs.faithfulness(explainer, **arguments)


def test_a_map_of_another_text_or_target(explainer: hs.Explainer) -> None:
    heat = explainer(TEXTS[0], target=TARGET)
    metric = hs.comprehensiveness()
    with pytest.raises(hs.SaliencyError, match="before words"):
        metric(explainer, TEXTS[0], heat.drop_special(), target=TARGET)
    with pytest.raises(hs.SaliencyError, match="the map has 6 targets and the target has 1 rows"):
        metric(explainer, TEXTS[0], heat, target=hs.MaskedToken("cat"))
    with pytest.raises(
        hs.SaliencyError, match="is at token 3, masked, but that of target= is at token 2, masked"
    ):
        metric(explainer, TEXTS[0], heat[2], target=hs.MaskedToken("cat"))
    with pytest.raises(
        hs.SaliencyError, match="is at token 2, masked, but that of target= is at token 2: give"
    ):
        metric(explainer, TEXTS[0], heat[1], target=hs.UnmaskedToken("cat"))
    logits = explainer(TEXTS[0], target=hs.MaskedToken("cat"))  # a map with another unit may be ranked
    assert np.isfinite(
        metric(explainer, TEXTS[0], logits, target=hs.MaskedToken("cat", unit="log_prob"))
    ).all()


def test_a_map_that_is_not_finite_is_refused(explainer: hs.Explainer) -> None:
    heat = explainer(TEXTS[0], target=hs.MaskedToken("cat"))
    broken = dataclasses.replace(heat, scores=np.where(np.arange(len(heat.tokens)) == 3, np.nan, heat.scores))
    with pytest.raises(hs.SaliencyError, match="scores that are not finite for target 0, 'cat'"):
        hs.comprehensiveness()(explainer, TEXTS[0], broken, target=hs.MaskedToken("cat"))
