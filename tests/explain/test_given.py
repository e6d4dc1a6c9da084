"""User input: integers and texts are read in the same way everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import hf_saliency as hs
from hf_saliency.errors import integer, is_one, listed

MESSAGE = {"role": "user", "content": "the cat"}


@pytest.mark.parametrize("value", [2, np.int64(2), np.array(2), torch.tensor(2)])
def test_whole_numbers(value: Any) -> None:
    assert integer(value) == 2
    assert type(integer(value)) is int


@pytest.mark.parametrize("value", [True, np.bool_(True), torch.tensor(True), 2.0, "2", [2], None])
def test_what_is_no_whole_number(value: Any) -> None:
    assert integer(value) is None


@pytest.mark.parametrize(
    ("texts", "one"),
    [
        ("the cat", True),
        (("the cat", "sat"), True),
        ([MESSAGE], True),
        (([MESSAGE], "sat"), True),
        (([MESSAGE],), False),
        (([MESSAGE], [MESSAGE]), False),
        ((), False),
        ([], False),
        (["the cat"], False),
    ],
)
def test_one_explanation_or_several(texts: Any, one: bool) -> None:
    assert is_one(texts) is one


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"text": "the cat"}, r"not dict: explainer\('Some text.'\) or explainer\(row\['text'\]\)"),
        (MESSAGE, r"not dict.*explainer\(\[message\]\)"),
        ({"the cat"}, r"not set.*explainer\(\[text, text\]\)"),
        (np.array([["the cat"]]), "not ndarray"),
        (b"the cat", "not bytes"),
        (5, "not int"),
        *(
            (ids, r"explainer\(\(text, ids\)\), or .* explainer\(tokenizer\(text\)\)")
            for ids in ([2, 5, 3], (2, 5), torch.tensor([2, 5]), torch.tensor([[2, 5]]), np.array([2, 5]))
        ),
        ({"input_ids": [2, 5]}, r"explainer\(\(text, ids\)\), or .* explainer\(tokenizer\(text\)\)"),
    ],
)
def test_what_is_no_sequence_of_texts(texts: Any, message: str) -> None:
    with pytest.raises(hs.SaliencyError, match=message):
        listed(texts)


def test_ids_in_a_list_of_texts_name_the_call_that_takes_them() -> None:
    explainer = hs.Explainer(*hs.load_demo())
    for texts in ([[2, 5, 3], [2, 5]], [{"input_ids": [2, 5]}, {"input_ids": [2]}]):
        with pytest.raises(hs.SaliencyError, match=r"not (list|dict).*explainer\(tokenizer\(text\)\)"):
            explainer(texts)
