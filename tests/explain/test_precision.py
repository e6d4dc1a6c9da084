"""Precision: bfloat16 on request, and the error that a map reports."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import tiny
import torch

import hf_saliency as hs
from hf_saliency.explain.attribute import RowResult
from hf_saliency.explain.precision import Deviation

TEXT = "the cat sat on a mat and dog ran to formal study of grammar is an important part"


def result(*values: float) -> RowResult:
    return RowResult(range(len(values)), np.array(values), 0.0, (), ())


def test_scores_are_close_to_float32_and_the_map_says_how_close() -> None:
    model, tokenizer = tiny.masked_lm("bert")
    model = model.float()
    exact = hs.Explainer(model, tokenizer)(TEXT)
    low = hs.Explainer(model, tokenizer, precision="bfloat16")(TEXT)
    rows = len(exact.targets)
    assert rows > 16
    error = np.abs(low.scores - exact.scores).max(axis=1) / np.abs(exact.scores).max(axis=1)
    assert 0 < error.max() < 0.1
    note = low.provenance["precision"]
    assert note.startswith(f"bfloat16, error {error[::16].max():.1e}, rank 0.")
    assert note.endswith(f"(2 of {rows} rows repeated)")
    assert note in repr(low)
    assert low.scores.dtype == np.float32
    assert "precision" not in exact.provenance
    assert not torch.is_autocast_enabled("cpu")


def test_a_deviation_is_the_worst_of_its_rows() -> None:
    exact = [result(1.0, 2.0, 4.0), result(10.0, 20.0, 30.0), result(0.0, 0.0)]
    low = [result(1.0, 2.0, 3.0), result(20.0, 10.0, 30.0), result(0.0, 0.0)]
    deviation = Deviation.between(low, exact, 40)
    assert deviation.error == pytest.approx(1 / 3)
    assert deviation.rank == pytest.approx(0.5)
    assert str(deviation) == "bfloat16, error 3.3e-01, rank 0.500 (3 of 40 rows repeated)"
    with pytest.warns(RuntimeWarning, match=r"off by up to 33\.3%.*correlation of 0\.50.*Omit precision="):
        deviation.warn()


def test_close_scores_and_scores_that_are_no_numbers() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Deviation.between([result(1.0, 2.0, 3.0)], [result(1.0, 2.0, 3.01)], 1).warn()
    with pytest.warns(RuntimeWarning, match="off by up to nan"):
        Deviation.between([result(1.0, np.nan, 3.0)], [result(1.0, 2.0, 3.0)], 1).warn()


def test_what_cannot_be_lowered_is_refused() -> None:
    with pytest.raises(hs.SaliencyError, match="precision='bfloat16' is for a model in float32.*float64"):
        hs.Explainer(*tiny.masked_lm("bert"), precision="bfloat16")
    model, tokenizer = tiny.masked_lm("bert")
    with pytest.raises(hs.SaliencyError, match="precision='float16': choose one of None, 'bfloat16'"):
        hs.Explainer(model.float(), tokenizer, precision="float16")  # type: ignore[arg-type]
