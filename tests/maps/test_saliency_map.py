"""SaliencyMap: a frozen value that can be copied, compared and read in a terminal."""

from __future__ import annotations

import copy
import dataclasses
import math
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from sample_maps import maps, of, sweep, target

from hf_saliency.errors import SaliencyError
from hf_saliency.maps.compare import aligned
from hf_saliency.maps.fields import Prediction, TargetRow
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.maps.spans import Token

LAWS = settings(max_examples=60, deadline=None)
NAN, INF = math.nan, math.inf


def test_arrays_are_read_only_copies() -> None:
    scores, delta = np.ones((6, 8)), np.ones(6)
    heat = sweep(scores=scores, convergence_delta=delta)
    scores[:], delta[:] = 5, 5
    copies = [heat, copy.deepcopy(heat), copy.copy(heat), pickle.loads(pickle.dumps(heat)), heat.select(0)]
    for one in copies:
        assert (one.scores == 1).all()
        for array in (one.scores, one.convergence_delta):
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0
    assert copies[:4] == [heat] * 4
    assert heat.normalized("none") is not heat.scores
    heat.normalized("none")[:] = 7
    assert (heat.scores == 1).all()


def test_arguments_and_provenance_are_copies() -> None:
    arguments: dict[str, Any] = {"steps": [1]}
    heat = sweep(arguments=arguments)
    arguments["steps"].append(2)
    arguments["more"] = 1
    assert heat.arguments == {"steps": [1]}


def test_lists_become_tuples() -> None:
    heat = sweep()
    lists = {name: list(getattr(heat, name)) for name in ("texts", "tokens", "targets")}
    again = sweep(**lists, scores=heat.scores.tolist())
    assert again == heat
    assert hash(again) == hash(heat)
    assert all(type(getattr(again, name)) is tuple for name in lists)
    with pytest.raises(dataclasses.FrozenInstanceError):
        heat.method = "other"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (np.float16, np.float32),
        (np.float32, np.float32),
        (np.float64, np.float64),
        (">f8", np.float64),
        (">f4", np.float32),
        (">f2", np.float32),
    ],
)
def test_scores_are_native_float32_or_float64(given: Any, kept: Any) -> None:
    scores = np.asfortranarray(np.linspace(0, 1, 48).reshape(6, 8).astype(given))
    heat = sweep(scores=scores, convergence_delta=scores[:, 1])
    assert heat.scores.dtype == kept
    assert heat.scores.dtype.isnative
    assert heat.scores.flags.c_contiguous
    assert heat.convergence_delta.dtype == np.float64
    np.testing.assert_array_equal(heat.scores, scores)
    np.testing.assert_array_equal(heat.convergence_delta, scores[:, 1])


def test_arguments_become_json_values() -> None:
    given = {
        "tuple": (1, (2.5, None)),
        "float32": np.float32(0.1),
        "int": np.int64(3),
        "bool": np.bool_(True),
        "array": np.array([[1, 2]]),
        "order": INF,
        "nan": [np.float32(NAN), -INF],
        "text": np.str_("x"),
        "nested": {"a": {"b": (True,)}},
    }
    heat = sweep(arguments=given)
    assert heat.arguments == {
        "tuple": [1, [2.5, None]],
        "float32": float(np.float32(0.1)),
        "int": 3,
        "bool": True,
        "array": [[1, 2]],
        "order": "inf",
        "nan": ["nan", "-inf"],
        "text": "x",
        "nested": {"a": {"b": [True]}},
    }
    assert type(heat.arguments["bool"]) is bool
    assert type(heat.arguments["text"]) is str


def test_rows_hold_plain_numbers() -> None:
    row = TargetRow(
        "x", np.int64(1), np.float32(0.1), predictions=[Prediction("y", np.int64(2), np.float32(0.5))]
    )
    assert row == TargetRow("x", 1, float(np.float32(0.1)), predictions=(Prediction("y", 2, 0.5),))
    assert [type(row.position), type(row.score), type(row.predictions)] == [int, float, tuple]
    assert [type(row.predictions[0].class_id), type(row.predictions[0].probability)] == [int, float]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scores": np.ones((8, 6))}, r"shape \(8, 6\), but there are 6 targets and 8 tokens"),
        ({"scores": np.ones(8)}, r"pass an array of shape \(targets, tokens\)"),
        ({"scores": np.ones((6, 8), int)}, "real floating-point numbers of at most 64 bits, not int64"),
        ({"scores": np.ones((6, 8), complex)}, "not complex128"),
        ({"scores": np.ones((6, 8), object)}, "not object"),
        pytest.param(
            {"scores": np.ones((6, 8), np.longdouble)},
            "64 bits, not float",
            marks=pytest.mark.skipif(np.dtype(np.longdouble).itemsize == 8, reason="is float64 here"),
        ),
        ({"convergence_delta": np.ones(5)}, r"convergence_delta has shape \(5,\), but there are 6 targets"),
        ({"texts": "a text"}, r"texts is one string: give a tuple, texts=\('a text',\)"),
        ({"texts": (b"a",)}, "texts must hold strs, not bytes"),
        ({"tokens": ("a",) * 8}, "tokens must hold Tokens, not str: 'a'"),
        ({"targets": ("a",) * 6}, "targets must hold TargetRows, not str"),
        ({"texts": ("short",)}, "is outside the given texts"),
        ({"tokens": (Token("a", 3, 2),) * 8}, "is outside the given texts"),
        ({"tokens": (Token("a", -1, 2),) * 8}, "is outside the given texts"),
        ({"tokens": (Token("a", 0, 2, text_index=1),) * 8}, "is outside the given texts"),
        ({"tokens": (Token("a", 0, 2, text_index=-1),) * 8}, "is outside the given texts"),
        ({"targets": (target("a", 8),) * 6}, "is at a token that does not exist: the map has 8 tokens"),
        ({"targets": (target("a", -1),) * 6}, "is at a token that does not exist"),
        ({"text_names": ("a", "b")}, "text_names has 2 names for 1 texts: give one for each text"),
        ({"text_names": "a"}, r"text_names is one string: give a tuple, text_names=\('a',\)"),
        ({"text_names": (1,)}, "text_names must hold strs, not int"),
        ({"method": len}, "method must be a string, not builtin_function"),
        ({"arguments": [1]}, "arguments must be a dictionary, not list"),
        ({"arguments": {1: 2}}, "arguments has the key 1: its keys must be strings"),
        (
            {"arguments": {"a": {"b": [1, len]}}},
            r"arguments\['a'\]\['b'\]\[1\] is a builtin_function.*be saved",
        ),
        ({"arguments": {"a": 1j}}, r"arguments\['a'\] is a complex"),
        ({"arguments": {"a": {1, 2}}}, r"arguments\['a'\] is a set"),
        ({"arguments": {"a": np.longdouble(1)}}, r"arguments\['a'\] is a longdouble"),
        ({"provenance": {"a": b""}}, r"provenance\['a'\] is a bytes"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SaliencyError, match=message):
        sweep(**changes)


def test_rows_refuse_what_they_cannot_hold() -> None:
    with pytest.raises(SaliencyError, match="unit='nats': choose one of 'logit', 'log_prob', 'prob'"):
        TargetRow("x", 0, 1.0, unit="nats")
    with pytest.raises(SaliencyError, match="predictions must hold Predictions, not str"):
        TargetRow("x", 0, 1.0, predictions=("y",))


CHANGES: dict[str, Any] = {
    "texts": ("an un-\nbelievable  END",),
    "tokens": tuple(Token(f"{i}", 0, i) for i in range(8)),
    "targets": (target("other", 1),) * 6,
    "scores": np.ones((6, 8)),
    "method": "other",
    "arguments": {"a": 1},
    "signed": np.True_,
    "convergence_delta": np.zeros(6),
    "provenance": {"model": "other"},
    "text_names": ("premise",),
    "missed_sums": np.arange(6.0),
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_field_counts_for_equality(name: str) -> None:
    assert set(CHANGES) == {field.name for field in dataclasses.fields(SaliencyMap)}
    assert sweep() == sweep()
    assert sweep(**{name: CHANGES[name]}) != sweep()
    assert type(sweep(signed=np.True_).signed) is bool
    assert sweep(**{name: CHANGES[name]}) == sweep(**{name: CHANGES[name]})


def test_names_of_texts_stay_with_every_part() -> None:
    heat = sweep(text_names=("sentence",))
    parts = [heat.words(), heat.drop_special(), heat.select("end"), aligned([heat, heat])[1], copy.copy(heat)]
    assert [one.text_names for one in parts] == [("sentence",)] * 5


def test_equality_is_exact_and_hash_follows_it() -> None:
    heat = sweep()
    assert heat != sweep(scores=heat.scores.astype(np.float32))
    assert heat != sweep(scores=np.nextafter(heat.scores, INF))
    assert heat.__eq__("a map") is NotImplemented
    assert sweep(arguments={"a": 1, "b": 2}) == sweep(arguments={"b": 2, "a": 1})
    zero, negative = np.zeros((6, 8)), -np.zeros((6, 8))
    assert sweep(scores=zero) == sweep(scores=negative)
    assert hash(sweep(scores=zero)) == hash(sweep(scores=negative))
    nan = {"scores": np.full((6, 8), NAN), "convergence_delta": np.full(6, NAN)}
    rows = [
        (target("x", 1, score=float("nan"), predictions=(Prediction("y", 1, float("nan")),)),) * 6
        for _ in "ab"
    ]
    assert sweep(**nan, targets=rows[0]) == sweep(**nan, targets=rows[1])


@LAWS
@given(maps())
def test_equal_copies_have_equal_hashes(heat: SaliencyMap) -> None:
    again = pickle.loads(pickle.dumps(heat))
    assert again == heat
    assert hash(again) == hash(heat)


def test_repr_names_what_matters() -> None:
    heat = sweep(
        arguments={"space": "one_hot", "order": 2},
        provenance={"model": "bert"},
        convergence_delta=np.array([0, -0.25, 0, 0, 0, 0.125]),
    )
    assert repr(heat).splitlines() == [
        "SaliencyMap: 6 targets x 8 tokens, logit, unsigned float64",
        r"  text     'an un-\nbelievable  end'",
        "  targets  'an', 'un', '-', 'believ', 'able', 'end'",
        "  method   gradient_norm(space='one_hot', order=2)",
        "  delta    2.50e-01 (largest of a row)",
        "  model    bert",
    ]


def test_repr_of_other_maps() -> None:
    scores = np.array([[1, NAN, -INF]], np.float32)
    shown = repr(dataclasses.replace(of("abc", [(0, 1), (1, 2), (2, 3)], scores), signed=True))
    assert shown.startswith("SaliencyMap: 1 target x 3 tokens, logit, signed float32\n")
    assert "scores   2 of 3 not finite" in shown
    assert "0 targets x 8 tokens, no unit" in repr(sweep(targets=(), scores=np.ones((0, 8))))


@LAWS
@given(maps())
def test_repr_fits_a_terminal(heat: SaliencyMap) -> None:
    long = dataclasses.replace(
        heat,
        method="m" * 90,
        provenance={"model": "a\nb" * 40},
        texts=tuple(t + "x" * 90 for t in heat.texts),
    )
    for one in (heat, long):
        lines = repr(one).split("\n")
        assert len(lines) <= 7
        assert max(map(len, lines)) <= 80
