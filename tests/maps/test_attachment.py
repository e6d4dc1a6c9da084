"""The line of data in figure files: it is exact, private on request, and harmless if a stranger wrote it."""

from __future__ import annotations

import base64
import dataclasses
import json
import zlib
from typing import Any

import pytest
import sample_maps as maps
from hypothesis import given, settings

from hf_saliency.errors import SaliencyError
from hf_saliency.maps import attachment, storage
from hf_saliency.maps.attachment import Attachment
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.maps.storage import digest

SECRET = "un-\nbelievable"  # a part of maps.TEXT


def recipe(heat: SaliencyMap) -> Any:
    return Attachment((heat,)).recipes[0]


def packed(value: Any) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return "zlib,base64," + base64.b64encode(zlib.compress(text)).decode()


def unpacked(line: str) -> Any:
    return json.loads(zlib.decompress(base64.b64decode(line.removeprefix("zlib,base64,"))))


@settings(max_examples=30, deadline=None)
@given(maps.maps(), maps.maps())
def test_maps_come_back_equal(one: SaliencyMap, other: SaliencyMap) -> None:
    line = attachment.dumps(Attachment((one, other), {"width": 3.25}))
    found = attachment.loads(line, "f")
    assert list(found.maps) == [one, other]
    assert found.drawing == {"width": 3.25}
    assert line.isascii()
    assert attachment.dumps(found) == line


def test_a_recipe_has_neither_text_nor_scores() -> None:
    heat = maps.sweep(
        arguments={
            "baseline": "secret text",
            "of": ["saliency", {"x": "Secret"}],
            "n_steps": 50,
            "order": "inf",
        },
        provenance={"model": "a/b", "revision": "abc", "torch": "2.6"},
    )
    whole = Attachment((heat,), {"titles": ["secret"], "width": 2.0})
    line = attachment.dumps(whole, "recipe")
    text = json.dumps(unpacked(line))
    for word in ("believable", "secret", "Secret", "scores", "tokens", "##able", "OTHER"):
        assert word not in text
    assert "believable" in json.dumps(unpacked(attachment.dumps(whole)))
    found = attachment.loads(line, "f")
    assert found.maps == ()
    (recipe,) = found.recipes
    assert recipe["arguments"] == {
        "baseline": "(left out)",
        "of": ["saliency", {"x": "(left out)"}],
        "n_steps": 50,
        "order": "inf",
    }
    assert recipe["provenance"] == {"model": "a/b", "revision": "abc", "torch": "2.6"}
    assert (recipe["shape"], recipe["units"], recipe["signed"]) == ([6, 8], ["logit"], False)
    assert found.drawing == {"width": 2.0}


def test_the_digest_is_that_of_the_maps_own_file() -> None:
    heat = maps.sweep()
    assert recipe(heat)["sha256"] == json.loads(storage.dumps(heat))["sha256"]
    assert recipe(heat) != recipe(dataclasses.replace(heat, scores=heat.scores + 1))


def test_a_baseline_that_is_a_function_keeps_its_name() -> None:
    kept = recipe(maps.sweep(arguments={"baseline": "mask_embedding"}))["arguments"]
    assert kept == {"baseline": "mask_embedding"}
    assert recipe(maps.sweep(arguments={"baseline": "paris"}))["arguments"] == {"baseline": "(left out)"}


def test_none_is_nothing_and_other_words_are_refused() -> None:
    assert attachment.dumps(Attachment((maps.sweep(),)), "none") == ""
    with pytest.raises(SaliencyError, match="provenance='all': choose 'map', 'recipe' or 'none'"):
        attachment.checked("all")


def test_maps_too_large_leave_their_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attachment, "_LARGEST", 1500)
    found = attachment.loads(attachment.dumps(Attachment((maps.sweep(),))), "f")
    assert (found.maps, len(found.recipes)) == ((), 1)


def forged(**changes: Any) -> dict[str, Any]:
    return {**unpacked(attachment.dumps(Attachment((maps.sweep(),)))), **changes}


def content(**changes: Any) -> dict[str, Any]:
    """Return a record of one map, forged with a valid digest."""
    document = storage.document(maps.sweep())
    document["map"] = {**document["map"], **changes}
    document["sha256"] = digest(document["map"])
    return forged(maps=[document])


TOKEN = {"piece": "a", "start": 0, "end": 1, "text": 0, "special": False}
ROW = {"label": "a", "position": 0, "score": 1.0, "predictions": []}


@pytest.mark.parametrize(
    "line",
    [
        *("", "zlib", "zlib,base64,", "zlib,base64,####", "zlib,base64,AAAA", "<svg>", "\0"),
        packed(forged())[:200],  # cut off
        packed(forged())[:200] + "=",
        packed(b"\xff\xfe"),
        packed(b"[" * 100_000),  # nested deeply
        packed(b'{"format": "hf_saliency.Record", "version": 1, "version": 2}'),
        packed([]),
        packed({}),
        packed(forged(format="other")),
        packed(forged(version="1")),
        packed(forged(version=99)),
        packed(forged(maps=7)),
        packed(forged(maps=[7])),
        packed(forged(maps=[], recipes=[])),
        packed(forged(maps=[], recipes=[7])),
        packed(forged(recipes=None)),
        packed(forged(drawing=[])),
        packed(forged(maps=[{**storage.document(maps.sweep()), "sha256": "0" * 64}])),
        packed(content(texts="one string")),
        packed(content(texts=[7])),
        packed(content(tokens=[{**TOKEN, "piece": 7}], targets=[], scores=[])),
        packed(content(tokens=[{**TOKEN, "end": 10**6}], targets=[], scores=[])),
        packed(content(tokens=[{**TOKEN, "more": 1}], targets=[], scores=[])),
        packed(content(tokens=[TOKEN], targets=[{**ROW, "label": ["<b>"]}], scores=[[1.0]])),
        packed(content(tokens=[TOKEN], targets=[{**ROW, "against": 7}], scores=[[1.0]])),
        packed(content(tokens=[TOKEN], targets=[{**ROW, "unit": []}], scores=[[1.0]])),
        packed(content(tokens=[TOKEN], targets=[{**ROW, "position": 7}], scores=[[1.0]])),
        packed(
            content(
                tokens=[TOKEN],
                targets=[{**ROW, "predictions": [{"label": 7, "index": 0, "probability": 1}]}],
                scores=[[1.0]],
            )
        ),
        packed(content(scores=[[1.0]])),
        packed(content(scores="1")),
        packed(content(dtype="O")),
        packed(content(dtype="V999999999")),
        packed(content(dtype=7)),
        packed(content(convergence_delta={})),
        packed(content(arguments=[])),
        packed(content(method=7)),
    ],
)
def test_what_is_damaged_or_forged_is_refused(line: str) -> None:
    with pytest.raises(SaliencyError, match="f"):
        attachment.loads(line, "f")


def test_forgeries_differ_from_what_is_read() -> None:
    assert attachment.loads(packed(content()), "f").maps == (maps.sweep(),)
    assert attachment.loads(packed(forged()), "f").maps == (maps.sweep(),)


def test_a_bomb_does_not_go_off() -> None:
    bomb = packed(b" " * (attachment._LARGEST + 1))
    assert len(bomb) < 2**20
    with pytest.raises(SaliencyError, match="it holds more than 64 MiB"):
        attachment.loads(bomb, "f")


def test_objects_are_counted_before_they_are_made() -> None:
    bomb = packed(b"[" + b'{"a":{}},' * 400_000 + b"0]")
    assert len(bomb) < 20_000
    with pytest.raises(SaliencyError, match="more than 500,000 lists and objects"):
        attachment.loads(bomb, "f")


def test_a_line_that_is_too_long_is_not_decoded() -> None:
    with pytest.raises(SaliencyError, match="it holds more than 64 MiB"):
        attachment.loads("zlib,base64," + "A" * (2 * attachment._LARGEST), "f")


def test_values_are_counted_before_they_are_made() -> None:
    bomb = packed(b'{"maps":[' + b"1," * 5_000_001 + b"1]}")
    assert len(bomb) < 20_000
    with pytest.raises(SaliencyError, match="more than 5,000,000 values"):
        attachment.loads(bomb, "f")
