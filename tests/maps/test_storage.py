"""Storage: saved maps come back equal, and errors name documents that are damaged or no maps."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from sample_maps import maps, sweep, target

from hf_saliency.errors import SaliencyError
from hf_saliency.maps import storage
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.maps.spans import Token
from hf_saliency.maps.storage import digest

Change = Callable[[dict[str, Any]], object]

MARK = '{"format": "hf_saliency.SaliencyMap"'


def nested(depth: int) -> list[Any]:
    return json.loads("[" * depth + "]" * depth)


def resealed(document: str, change: Change) -> str:
    """Return the document with changed content and a valid digest, as only a forger would write it."""
    data = json.loads(document)
    change(data["map"])
    data["sha256"] = digest(data["map"])
    return json.dumps(data)


# function_scoped_fixture is suppressed because every example must overwrite the same file.
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(heat=maps())
def test_any_map_comes_back_equal(heat: SaliencyMap, tmp_path: Path) -> None:
    heat.save(tmp_path / "map.json")
    again = SaliencyMap.load(tmp_path / "map.json")
    assert again == heat
    assert again.scores.tobytes() == heat.scores.tobytes() or np.isnan(heat.scores).any()
    assert storage.dumps(again) == storage.dumps(heat)
    json.loads(storage.dumps(heat), parse_constant=pytest.fail)  # strict JSON, without NaN


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scores_come_back_to_the_last_bit(dtype: Any) -> None:
    limits = np.finfo(dtype)
    edges = [0, -0.0, limits.max, -limits.max, limits.tiny, limits.smallest_subnormal, limits.eps, 1 / 3, 0.1]
    bits = np.random.default_rng(0).integers(0, 256, (6 * 8 - len(edges)) * limits.dtype.itemsize, np.uint8)
    scores = np.concatenate([np.array(edges, dtype), np.nan_to_num(bits.view(dtype))]).reshape(6, 8)
    heat = sweep(scores=scores, convergence_delta=np.nextafter(np.arange(6.0), 9))
    again = storage.loads(storage.dumps(heat), SaliencyMap)
    assert again.scores.dtype == dtype
    assert again.scores.tobytes() == scores.tobytes()
    assert again.convergence_delta.tobytes() == heat.convergence_delta.tobytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_many_scores_are_bytes_in_base64(dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = np.array([0.1, -0.0, np.nan, -np.inf, *range(44)], dtype).reshape(6, 8)
    monkeypatch.setattr(storage, "_MOST_DECIMALS", 47)
    document = storage.dumps(sweep(scores=scores))
    data = json.loads(document)
    stored = base64.b64decode(data["map"]["scores"])
    assert data["version"] == 2
    assert stored == scores.astype(scores.dtype.newbyteorder("<")).tobytes()
    again = storage.loads(document, SaliencyMap)
    assert again == sweep(scores=scores)
    assert again.scores.dtype == dtype
    monkeypatch.setattr(storage, "_MOST_DECIMALS", 48)
    assert json.loads(storage.dumps(sweep(scores=scores)))["version"] == 1
    with pytest.raises(SaliencyError, match="is damaged"):
        storage.loads(resealed(document, lambda content: content.update(dtype="no type")), SaliencyMap)
    with pytest.raises(SaliencyError, match="is damaged"):
        storage.loads(resealed(document, lambda content: content["targets"].pop()), SaliencyMap)


def test_float32_is_written_with_few_digits_unless_they_miss_it() -> None:
    scores = np.full((6, 8), 0.1, np.float32)
    assert '"scores": [[0.1, 0.1,' in storage.dumps(sweep(scores=scores))
    # The shortest decimal of this float32, 7.038531e-26, becomes another float32 if it is read as float64 first.
    scores[0, 0], scores[1, 1] = 7.038530691851209e-26, -7.038530691851209e-26
    assert np.float32(float(str(scores[0, 0]))) != scores[0, 0]
    assert (
        storage.loads(storage.dumps(sweep(scores=scores)), SaliencyMap).scores.tobytes() == scores.tobytes()
    )


def test_the_format() -> None:
    """Other programs can rely on this format; a change needs a new version."""
    delta = np.array([0, np.nan, np.inf, -np.inf, 1, 2])
    heat = sweep(convergence_delta=delta, arguments={"order": (2, np.inf)})
    data = json.loads(storage.dumps(heat))
    assert list(data) == ["format", "version", "sha256", "map"]
    assert (data["format"], data["version"]) == ("hf_saliency.SaliencyMap", 1)
    content = data["map"]
    assert content["texts"] == list(heat.texts)
    assert content["tokens"][1] == {"piece": "an", "start": 0, "end": 2, "text": 0, "special": False}
    assert content["targets"][0] == {
        "label": "an",
        "position": 1,
        "score": 1.5,
        "unit": "logit",
        "masked": True,
        "against": None,
        "predictions": [
            {"label": "AN", "index": 7, "probability": 0.5},
            {"label": "other", "index": 8, "probability": 0.25},
        ],
        "index": None,
    }
    assert content["scores"] == heat.scores.tolist()
    assert content["convergence_delta"] == [0, "nan", "inf", "-inf", 1, 2]
    assert content["arguments"] == {"order": [2, "inf"]}
    assert {name: content[name] for name in ("dtype", "method", "signed", "provenance")} == {
        "dtype": "float64",
        "method": "gradient_norm",
        "signed": False,
        "provenance": {},
    }


def test_text_of_any_script_is_readable_in_the_file(tmp_path: Path) -> None:
    heat = sweep(texts=("grün 中文 👍🏽\u2028\x00" + " " * 20,))
    heat.save(tmp_path / "map.json")
    assert "grün 中文 👍🏽" in (tmp_path / "map.json").read_text(encoding="utf-8")
    assert SaliencyMap.load(tmp_path / "map.json") == heat


def test_half_a_character_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SaliencyError, match=r"contains '\\ud800', an unpaired surrogate"):
        sweep(method="\ud800").save(tmp_path / "map.json")
    assert list(tmp_path.iterdir()) == []


def test_a_byte_order_mark_and_white_space_do_no_harm(tmp_path: Path) -> None:
    pretty = json.dumps(json.loads(storage.dumps(sweep())), indent=4, sort_keys=True)
    (tmp_path / "map.json").write_text(pretty, encoding="utf-8-sig")
    assert SaliencyMap.load(tmp_path / "map.json") == sweep()


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("", "is damaged or not a saliency map: it is not JSON"),
        ("hello", "it is not JSON"),
        ("[" * 100_000, "it is not JSON"),
        ('{"format": ' + "1" * 5000 + "}", "it is not JSON"),
        ('{"format": NaN}', r"it is not JSON \(JSON has no NaN\)"),
        ("[]", "is not a saliency map: it lacks the mark 'hf_saliency.SaliencyMap'"),
        ("null", "is not a saliency map"),
        ('{"cells": []}', "is not a saliency map"),
        (MARK + "}", "damaged: None is not a version of the format"),
        (MARK + ', "version": true}', "damaged: True is not a version"),
        (MARK + ', "version": 0}', "damaged: 0 is not a version"),
        (MARK + ', "version": "1"}', "damaged: '1' is not a version"),
        (MARK + ', "version": 3}', "has version 3 .*newer than the 2 .*: upgrade"),
        (MARK + ', "version": 1}', "damaged: its content does not match its SHA-256"),
        (MARK + ', "format": 1}', r"it is not JSON \(a key occurs twice\)"),
    ],
    ids=range(15),
)
def test_what_is_no_map_is_named(document: str, message: str) -> None:
    with pytest.raises(SaliencyError, match=f"the upload .*{message}"):
        storage.loads(document, SaliencyMap, "the upload")


def test_content_nested_too_deep_is_damage() -> None:
    # The larger depths exceed the limit of the encoder of the digest, though not always that of the parser.
    for depth in (100, 500, 900, 990, 2000):
        document = MARK + f', "version": 1, "map": {"[" * depth + "]" * depth}}}'
        with pytest.raises(SaliencyError, match="damaged"):
            storage.loads(document, SaliencyMap)


def test_every_truncation_and_every_changed_character_is_found() -> None:
    document = storage.dumps(sweep(scores=np.full((6, 8), 0.5, np.float32)))
    for end in range(0, len(document), 41):
        with pytest.raises(SaliencyError, match="it is not JSON"):
            storage.loads(document[:end], SaliencyMap)
    for place in range(0, len(document), 37):
        character = "7" if document[place] != "7" else "8"
        with pytest.raises(SaliencyError, match="this document (is damaged|is no|has version)"):
            storage.loads(document[:place] + character + document[place + 1 :], SaliencyMap)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.clear(),
        lambda content: content.pop("scores"),
        lambda content: content.update(texts="an un-\nbelievable  end"),
        lambda content: content.update(texts="a", tokens=[], scores=[[]] * 6, targets=[]),
        lambda content: content.update(texts=[1]),
        lambda content: content.update(tokens=7),
        lambda content: content.update(method=None),
        lambda content: content.update(arguments=[]),
        lambda content: content["arguments"].update(deep=nested(700)),
        lambda content: content.update(dtype="object"),
        lambda content: content.update(dtype="int64"),
        lambda content: content.update(dtype="no such type"),
        lambda content: content.update(convergence_delta=[1]),
        lambda content: content["tokens"].pop(),
        lambda content: content["tokens"][0].update(start=99),
        lambda content: content["tokens"][0].update(start="0"),
        lambda content: content["tokens"][0].update(colour="red"),
        lambda content: content["targets"].append({}),
        lambda content: content["targets"].append("x"),
        lambda content: content["targets"][0].update(score="high"),
        lambda content: content["targets"][0].update(score=10**400),
        lambda content: content["targets"][0].update(unit="nats"),
        lambda content: content["targets"][0].update(position=99),
        lambda content: content["targets"][0].update(predictions=["x"]),
        lambda content: content["scores"][0].pop(),
        lambda content: content["scores"][0].append("x"),
        lambda content: content["scores"].append(None),
        lambda content: content.update(scores="AAAA"),
        lambda content: content.update(scores="A" * 8 * 6 * 8 + "é"),
    ],
)
def test_content_that_is_no_map_is_damage_though_its_digest_fits(change: Change) -> None:
    document = storage.dumps(sweep())
    assert storage.loads(resealed(document, lambda content: None), SaliencyMap) == sweep()
    with pytest.raises(SaliencyError, match="the upload is damaged") as raised:
        storage.loads(resealed(document, change), SaliencyMap, "the upload")
    assert raised.value.__cause__ is not None


def test_maps_without_rows_or_columns_come_back() -> None:
    for rows, tokens in ((0, 0), (0, 2), (2, 0)):
        heat = SaliencyMap(
            ("ab",), (Token("a", 0, 1),) * tokens, (target("x", None),) * rows, np.ones((rows, tokens)), "own"
        )
        assert storage.loads(storage.dumps(heat), SaliencyMap).scores.shape == (rows, tokens)


def test_a_target_at_several_tokens_keeps_them_all() -> None:
    heat = sweep()
    several = dataclasses.replace(heat.targets[0], positions=(1, 2))
    found = dataclasses.replace(heat, targets=(several, *heat.targets[1:]))
    content = json.loads(storage.dumps(found))["map"]["targets"]
    assert (content[0]["positions"], "positions" in content[1]) == ([1, 2], False)
    assert storage.loads(storage.dumps(found), SaliencyMap) == found != heat


def test_names_of_texts_are_saved_where_there_are_any() -> None:
    named = sweep(text_names=("sentence",))
    assert json.loads(storage.dumps(named))["map"]["text_names"] == ["sentence"]
    assert storage.loads(storage.dumps(named), SaliencyMap) == named != sweep()
    assert "text_names" not in json.loads(storage.dumps(sweep()))["map"]
    assert storage.loads(storage.dumps(sweep()), SaliencyMap).text_names == ()


def test_a_file_of_the_first_release_still_loads() -> None:
    """The file was written when tokens had ``text`` and targets had ``index``; its bytes are unchanged."""
    heat = SaliencyMap.load(Path(__file__).parent / "data" / "first_format.json")
    assert [token.text_index for token in heat.tokens] == [0, 0, 1]
    assert (heat.targets[0].class_id, heat.targets[0].predictions[0].class_id) == (3, 3)
    assert storage.dumps(heat) == (Path(__file__).parent / "data" / "first_format.json").read_text("utf-8")
