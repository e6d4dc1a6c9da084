"""The checks that all public arguments share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import hf_saliency as hs
from hf_saliency.errors import SaliencyError, one_of, whole


def test_every_warning_is_given_by_the_function_that_finds_the_users_line() -> None:
    """A fixed ``stacklevel`` is wrong as soon as somebody adds a decorator."""
    package = Path(hs.__file__).parent
    direct = [path.name for path in package.rglob("*.py") if "warnings.warn(" in path.read_text("utf-8")]
    assert direct == ["errors.py"]


def test_an_option_is_taken_and_its_misspelling_named() -> None:
    one_of("prob", ("logit", "log_prob", "prob"), "unit")
    with pytest.raises(
        SaliencyError, match=r"unit='probs': choose one of 'logit', 'prob' \(did you mean 'prob'"
    ):
        one_of("probs", ("logit", "prob"), "unit")
    with pytest.raises(SaliencyError, match=r"unit=\['prob'\]: choose one of 'logit', 'prob'"):
        one_of(["prob"], ("logit", "prob"), "unit")
    with pytest.raises(SaliencyError, match="order=True"):
        one_of(True, (1, 2), "order")


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3)])
def test_whole_numbers_of_any_library(value: object) -> None:
    number = whole(value, "n_steps")
    assert number == 3
    assert type(number) is int


@pytest.mark.parametrize("value", [0, -1, 2.0, "3", None, True, np.True_])
def test_other_values_are_refused(value: object) -> None:
    with pytest.raises(
        SaliencyError, match=r"n_steps=.*: give a whole number of at least 1, such as n_steps=1"
    ):
        whole(value, "n_steps")
