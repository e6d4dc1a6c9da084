"""A map as a sequence of targets: merged rows, scores as a tidy table, and failed checks in words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sample_maps import sweep

import hf_saliency as hs
from hf_saliency.errors import SaliencyError
from hf_saliency.maps import storage, wording
from hf_saliency.maps.saliency_map import SaliencyMap


def test_a_map_is_a_sequence_of_targets() -> None:
    heat = sweep()
    assert len(heat) == len(heat.targets)
    assert list(heat) == [heat.select(i) for i in range(len(heat))]
    assert heat[-1] == heat.select(-1)
    assert heat[1:3] == heat.select(slice(1, 3))
    assert len(heat[0:0]) == 0
    with pytest.raises(IndexError):
        heat[len(heat)]
    with pytest.raises(SaliencyError, match="select"):
        heat[1.5]  # type: ignore[index]


def test_a_map_without_targets_is_true() -> None:
    assert sweep()[0:0]


def test_rows_of_one_label_are_summed() -> None:
    heat = sweep(convergence_delta=np.arange(6.0))
    merged = heat.merge_targets(["a", "b", "a", "a", "b", "c"])
    np.testing.assert_array_equal(merged.scores[0], heat.scores[[0, 2, 3]].sum(axis=0))
    np.testing.assert_array_equal(merged.scores[2], heat.scores[5])
    assert merged.convergence_delta is not None
    assert merged.convergence_delta.tolist() == [5, 5, 5]
    assert [target.label for target in merged.targets] == ["a", "b", "c"]
    assert merged.targets[0].score == sum(heat.targets[i].score for i in (0, 2, 3))
    assert set(merged.targets[0].positions) == {p for i in (0, 2, 3) for p in heat.targets[i].positions}


def test_entities_are_runs_of_equal_labels() -> None:
    heat = sweep()
    labels = ["PER", "PER", "LOC", "PER", "PER", "LOC"]
    heat = replace(
        heat, targets=tuple(replace(t, label=x) for t, x in zip(heat.targets, labels, strict=True))
    )
    assert [len(t.positions) for t in heat.merge_targets().targets] == [2, 1, 2, 1]


def test_beginnings_of_entities_and_the_words_between_them() -> None:
    heat = sweep()
    labels = ["B-PER", "I-PER", "B-PER", "O", "O", "B-LOC"]
    texts = [
        heat.texts[0][heat.tokens[t.positions[0]].start : heat.tokens[t.positions[0]].end]
        for t in heat.targets
    ]
    rows = [
        replace(t, label=f"{text}: {label}")
        for t, text, label in zip(heat.targets, texts, labels, strict=True)
    ]
    merged = replace(heat, targets=tuple(rows)).merge_targets()
    assert [len(t.positions) for t in merged.targets] == [2, 1, 1, 1, 1]
    assert merged.targets[0].label.endswith(": PER")
    assert [t.label for t in merged.targets[1:]] == [row.label for row in rows[2:]]
    np.testing.assert_allclose(merged.scores.sum(), heat.scores.sum(), rtol=1e-6)


def test_equal_tokens_are_no_entity() -> None:
    heat = sweep()
    with pytest.raises(SaliencyError, match="neighbouring tokens that one entity labels"):
        heat.merge_targets()


@pytest.mark.parametrize("by", ["word", ["a"], [1] * 6])
def test_other_groups_of_targets_are_refused(by: Any) -> None:
    with pytest.raises(SaliencyError, match="by="):
        sweep().merge_targets(by)


def test_rows_of_different_units_are_not_summed() -> None:
    heat = sweep()
    heat = replace(heat, targets=(replace(heat.targets[0], unit="prob"), *heat.targets[1:]))
    with pytest.raises(SaliencyError, match="different units"):
        heat.merge_targets(["a"] * 6)


@pytest.mark.parametrize(
    ("reduction", "expected"),
    [("sum", -1.0), ("mean", -0.5), ("norm", 5.0), ("norm_1", 7.0), ("max", -4.0), ("absmax", 4.0)],
)
def test_six_reductions_of_a_word(reduction: Any, expected: float) -> None:
    heat = SaliencyMap(
        ("ab",),
        (hs.Token("a", 0, 1), hs.Token("##b", 1, 2)),
        (hs.TargetRow("x", None, 1.0),),
        np.array([[3.0, -4.0]]),
        "m",
        signed=True,
    )
    merged = heat.words(reduction)
    if reduction != "sum":
        assert merged.scores.tolist() == [[expected]]
    assert merged.signed is (reduction in ("sum", "mean", "max"))
    assert merged.arguments["words"] == reduction


def test_the_former_name_of_the_sum_is_refused() -> None:
    with pytest.raises(SaliencyError, match="'sum'"):
        sweep().words("total")  # type: ignore[arg-type]


def test_context_leaves_the_targets_own_column_out() -> None:
    heat = sweep()
    values = heat.normalized("row_max", columns="context")
    for row, target in enumerate(heat.targets):
        rest = np.delete(heat.scores[row], list(target.positions))
        assert not values[row, list(target.positions)].any()
        np.testing.assert_allclose(np.delete(values[row], list(target.positions)), rest / np.abs(rest).max())
    shares = heat.normalized("row_sum", columns="context")
    np.testing.assert_allclose(np.abs(shares).sum(axis=1), 1)
    with pytest.raises(SaliencyError, match="columns='own'"):
        heat.normalized(columns="own")  # type: ignore[arg-type]


def test_prompt_is_the_first_text_or_what_precedes_the_target() -> None:
    tokens = tuple(hs.Token("a", i, i + 1) for i in range(4))
    rows = (hs.TargetRow("x", 2, 1.0),)
    heat = SaliencyMap(("abcd",), tokens, rows, np.array([[1.0, 2.0, 8.0, 4.0]]), "m")
    assert heat.normalized(columns="prompt").tolist() == [[0.5, 1, 0, 0]]
    pair = tuple(replace(t, text_index=int(i > 0)) for i, t in enumerate(tokens))
    heat = SaliencyMap(("abcd", "abcd"), pair, rows, heat.scores, "m")
    assert heat.normalized(columns="prompt").tolist() == [[1, 0, 0, 0]]


def failed() -> SaliencyMap:
    sums = np.full(6, np.nan)
    sums[2] = 4.13
    return sweep(convergence_delta=np.array([0, 0, 1303.2, 0, 0, 0]), missed_sums=sums)


def test_a_failed_check_is_said_everywhere() -> None:
    heat = failed()
    assert heat.incomplete == (2,)
    assert wording.incomplete_words(heat, 2) == "does not add up: misses 4.1 by 1303"
    assert wording.incomplete_words(heat, 1) == ""
    assert wording.incomplete_note(heat[2]) == "does not add up: misses 4.1 by 1303"
    assert wording.incomplete_note(heat).startswith("1 of 6 targets do not add up")
    assert "1 of 6 targets do not add up" in repr(heat)
    assert "does not add up: misses 4.1 by 1303" in heat._repr_html_()
    assert "add up" not in sweep()._repr_html_()


def test_a_failed_check_survives_files_and_selection() -> None:
    heat = failed()
    assert storage.loads(storage.dumps(heat), SaliencyMap) == heat
    assert heat[2].incomplete == (0,)
    assert heat[0].missed_sums is None
    assert heat != sweep(convergence_delta=heat.convergence_delta)
    assert '"missed_sums"' not in storage.dumps(sweep())


def test_the_tidy_table_has_a_row_for_each_score() -> None:
    pytest.importorskip("pandas")
    maps = hs.SaliencyMaps([sweep(), sweep(method="other")])
    frame = maps.to_dataframe()
    assert len(frame) == 2 * sweep().scores.size
    row = frame[(frame.map_index == 1) & (frame.target == 3) & (frame.token == 2)].iloc[0]
    assert (row.method, row.score, row.label) == ("other", sweep().scores[3, 2], sweep().labels[2])
    assert row.normalized == sweep().normalized()[3, 2]
    assert hs.to_dataframe(sweep()).equals(sweep().to_dataframe())
    with pytest.raises(SaliencyError, match="takes a SaliencyMap or several, not str"):
        hs.to_dataframe("text")  # type: ignore[arg-type]
