"""MaskedToken and UnmaskedToken: the rows of a text, and the number that is read from each row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import reference
import tiny
import torch

import hf_saliency as hs

TEXT = "The cat sat on a mat and the dog ran to the cat, learning!"


@pytest.fixture(scope="module")
def explainer() -> hs.Explainer:
    return hs.Explainer(*tiny.masked_lm("bert"))


def logits(explainer: hs.Explainer, text: str, position: int | None, read: int) -> torch.Tensor:
    model, tokenizer = explainer.text_model.model, explainer.text_model.tokenizer
    with torch.no_grad():
        return reference.logits_of(model, reference.masked_ids(tokenizer, text, position))[read]


def id_of(explainer: hs.Explainer, piece: str) -> int:
    return explainer.text_model.tokenizer.convert_tokens_to_ids(piece)


def labels(explainer: hs.Explainer, target: hs.MaskedToken, text: str = TEXT) -> list[str]:
    return [row.label for row in explainer(text, target=target).targets]


def positions(explainer: hs.Explainer, target: hs.MaskedToken, text: str = TEXT) -> list[int | None]:
    return [row.position for row in explainer(text, target=target).targets]


def test_the_default_is_every_token_that_is_not_special(explainer: hs.Explainer) -> None:
    heat = explainer(TEXT)
    assert [row.position for row in heat.targets] == list(range(1, 18))
    assert all(row.masked and row.unit == "logit" for row in heat.targets)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (3, [3]),
        (-2, [16]),
        (0, [0]),
        ([3, 5, 3], [3, 5]),
        ("dog", [9]),
        ("cat", [2, 13]),
        ("learning", [15, 16]),
        ("sat on", [3, 4]),
        (slice(4, 7), [2]),
        (slice(4, 9), [2, 3]),
        (["dog", 2, slice(0, 3)], [9, 2, 1]),
    ],
)
def test_positions_words_and_characters(explainer: hs.Explainer, where: object, expected: list[int]) -> None:
    text = "The cat sat on a mat and the dog ran to the cat , learning"
    assert positions(explainer, hs.MaskedToken(where), text) == expected


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (99, "there is no token 99: the text has 19"),
        (-99, "there is no token -99"),
        ("zebra", "the word 'zebra' is not in the text"),
        ("Cat", r"there is 'cat'\."),
        ("ca", "parts of words do not"),
        (slice(3, 4), "there is no token at"),
        (slice(70, 90), "there is no token at"),
        (1.5, "where=1.5"),
        (True, "where=True"),
        (slice("a", "b"), "where=slice"),
        ([], "where=.* is empty"),
    ],
)
def test_places_that_are_not_there(explainer: hs.Explainer, where: object, message: str) -> None:
    with pytest.raises(hs.SaliencyError, match=message):
        explainer(TEXT, target=hs.MaskedToken(where))


@pytest.mark.parametrize("unit", ["logit", "log_prob", "prob"])
def test_units(explainer: hs.Explainer, unit: str) -> None:
    row = explainer(TEXT, target=hs.MaskedToken(3, unit=unit)).targets[0]
    values = logits(explainer, TEXT, 3, 3)
    expected = {"logit": values, "log_prob": values.log_softmax(-1), "prob": values.softmax(-1)}[unit]
    assert row.score == pytest.approx(expected[id_of(explainer, "sat")].item(), rel=1e-12)
    assert row.unit == unit


def test_a_given_token(explainer: hs.Explainer) -> None:
    values = logits(explainer, TEXT, 3, 3)
    for token in ("ran", "Ran", id_of(explainer, "ran")):
        row = explainer(TEXT, target=hs.MaskedToken("sat", token=token)).targets[0]
        assert row.label == "ran"
        assert row.score == pytest.approx(values[id_of(explainer, "ran")].item(), rel=1e-12)


def test_a_piece_is_given_by_its_own_name(explainer: hs.Explainer) -> None:
    row = explainer(TEXT, target=hs.MaskedToken(slice(54, 57), token="##ed")).targets[0]
    assert row.score == pytest.approx(
        logits(explainer, TEXT, row.position, row.position)[id_of(explainer, "##ed")].item(), rel=1e-12
    )


@pytest.mark.parametrize("target", [hs.MaskedToken, hs.UnmaskedToken])
def test_the_predicted_token(explainer: hs.Explainer, target: type) -> None:
    heat = explainer(TEXT, target=target(predicted=True))
    for row in heat.targets:
        values = logits(explainer, TEXT, row.position if row.masked else None, row.position)
        assert row.score == pytest.approx(values.max().item(), rel=1e-12)
        assert row.label == row.predictions[0].label


def test_a_contrast_is_the_difference_of_two_scores(explainer: hs.Explainer) -> None:
    values = logits(explainer, TEXT, 3, 3)
    row = explainer(TEXT, target=hs.MaskedToken("sat", against="ran")).targets[0]
    difference = values[id_of(explainer, "sat")] - values[id_of(explainer, "ran")]
    assert row.score == pytest.approx(difference.item(), rel=1e-10)
    assert row.against == "ran"


def test_the_gradient_of_a_contrast_is_that_of_the_difference(explainer: hs.Explainer) -> None:
    method = hs.input_x_gradient()
    first, second, contrast = (
        explainer(TEXT, target=target, method=method).scores
        for target in (
            hs.MaskedToken("sat"),
            hs.MaskedToken("sat", token="ran"),
            hs.MaskedToken("sat", against="ran"),
        )
    )
    np.testing.assert_allclose(contrast, first - second, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (hs.MaskedToken("sat", against="learning"), "against='learning' must be one token.*'learn', '…ing'"),
        (hs.MaskedToken("sat", token="xyzzy"), "token='xyzzy' must be one token"),
        (hs.MaskedToken("sat", token=48), "token ids 0 to 47"),
        (hs.MaskedToken("sat", against=-1), "token ids 0 to 47"),
        (hs.MaskedToken("sat", against="sat"), "against= names the very class that is explained"),
        (hs.MaskedToken("sat", token="ran", against="ran"), "against= names the very class"),
    ],
)
def test_tokens_that_are_not_one_token(explainer: hs.Explainer, target: hs.MaskedToken, message: str) -> None:
    with pytest.raises(hs.SaliencyError, match=message):
        explainer(TEXT, target=target)


def test_impossible_targets() -> None:
    with pytest.raises(hs.SaliencyError, match="unit='bits'"):
        hs.MaskedToken(unit="bits")
    with pytest.raises(hs.SaliencyError, match="exclude each other"):
        hs.MaskedToken(token="cat", predicted=True)


@pytest.mark.parametrize("value", [1.5, True, [1]])
def test_what_is_no_token(value: Any) -> None:
    with pytest.raises(hs.SaliencyError, match="token=.*give one token"):
        hs.MaskedToken(token=value)
    with pytest.raises(hs.SaliencyError, match="against=.*give one token"):
        hs.NextToken(against=[value])


def test_whole_numbers_of_numpy(explainer: hs.Explainer) -> None:
    expected = explainer(TEXT, target=hs.MaskedToken(3, token=9, against=8)).scores
    found = explainer(TEXT, target=hs.MaskedToken(np.int64(3), token=np.int64(9), against=np.int64(8))).scores
    np.testing.assert_array_equal(found, expected)


def test_a_sweep_that_meets_its_contrast_warns_of_it(explainer: hs.Explainer) -> None:
    with pytest.warns(UserWarning, match=r"the very class that 1 targets explain \('sat'\)"):
        heat = explainer(TEXT, target=hs.MaskedToken(against="sat"))
    assert [row.score == 0 for row in heat.targets].count(True) == 1


def test_a_text_with_masks_is_explained_at_these(explainer: hs.Explainer) -> None:
    text = "the [MASK] sat on a [MASK]"
    heat = explainer(text)
    assert [row.position for row in heat.targets] == [2, 6]
    for row in heat.targets:
        values = logits(explainer, text, None, row.position)
        assert row.score == pytest.approx(values.max().item(), rel=1e-12)
        assert row.label == row.predictions[0].label
        assert heat.tokens[row.position].piece == "[MASK]"


def test_a_token_at_the_mask_of_a_text(explainer: hs.Explainer) -> None:
    text = "the [MASK] sat on a mat"
    row = explainer(text, target=hs.MaskedToken(token="dog", against="cat")).targets[0]
    values = logits(explainer, text, None, 2)
    assert row.score == pytest.approx(
        (values[id_of(explainer, "dog")] - values[id_of(explainer, "cat")]).item(), rel=1e-10
    )


def test_a_position_beside_the_mask_of_a_text_is_masked_too(explainer: hs.Explainer) -> None:
    text = "the [MASK] sat on a mat"
    row = explainer(text, target=hs.MaskedToken("mat")).targets[0]
    assert row.score == pytest.approx(
        logits(explainer, text, 6, 6)[id_of(explainer, "mat")].item(), rel=1e-12
    )


def test_the_unmasked_text(explainer: hs.Explainer) -> None:
    heat = explainer(TEXT, target=hs.UnmaskedToken())
    ids = explainer.text_model.tokenizer(TEXT)["input_ids"]
    assert not any(row.masked for row in heat.targets)
    for row in heat.targets[:4]:
        assert row.score == pytest.approx(
            logits(explainer, TEXT, None, row.position)[ids[row.position]].item()
        )
    model, tokenizer = explainer.text_model.model, explainer.text_model.tokenizer
    classes = [ids[row.position] for row in heat.targets]
    expected = reference.connectivity(model, tokenizer, TEXT, heat, classes)
    np.testing.assert_allclose(heat.scores, expected, rtol=1e-10)


@pytest.mark.parametrize("order", [1, float("inf")])
def test_other_orders_of_the_norm(explainer: hs.Explainer, order: float) -> None:
    heat = explainer(TEXT, target=hs.MaskedToken([2, 9]), method=hs.gradient_norm(order=order))
    model, tokenizer = explainer.text_model.model, explainer.text_model.tokenizer
    classes = [tokenizer(TEXT)["input_ids"][row.position] for row in heat.targets]
    expected = reference.connectivity(model, tokenizer, TEXT, heat, classes, order)
    np.testing.assert_allclose(heat.scores, expected, rtol=1e-10)


def test_a_string_takes_a_few_words_around_each_target() -> None:
    on, seen = hs.Explainer(*tiny.masked_lm("bert", max_position_embeddings=600)), []
    on.text_model.limits = (600, *on.text_model.limits[1:])
    encode = on.text_model.encode

    def counted(text: str, *arguments: Any, **options: Any) -> Any:
        seen.append(len(text))
        return encode(text, *arguments, **options)

    text = "the cat sat on a mat and the dog ran to it , not from it . " * 8
    on.text_model.encode = counted  # type: ignore[method-assign]
    encoding = encode(text, "windows")
    rows = hs.MaskedToken(against="music").rows(encoding, on.text_model)
    music = on.text_model.tokenizer.convert_tokens_to_ids("music")
    assert {row.refs[0].against_id for row in rows} == {music}
    assert max(seen) < 200 < len(text)
