"""Tables for other programs: predictions and scores."""

from __future__ import annotations

import csv
import dataclasses
import io

from render.test_terminal import scored

import hf_saliency as hs
from hf_saliency.cli.outputs import predictions_table, scores_table
from hf_saliency.maps.table import score_columns


def test_predictions() -> None:
    head, row = csv.reader(io.StringIO(predictions_table(scored(6))), "excel-tab")
    assert head == [
        *("position", "target", "logit", "probability", "rank"),
        *("prediction_1", "probability_1", "prediction_2", "probability_2"),
    ]
    assert row == ["2", "tea", "3", "", "2", "tea", "0.5", "mil k", "0.25"]
    odd = dataclasses.replace(scored(6).targets[0], label='a "tab\t\n')
    table = predictions_table(dataclasses.replace(scored(6), targets=(odd,)))
    assert list(csv.reader(io.StringIO(table), "excel-tab"))[1][1] == 'a "tab\t\n'
    assert predictions_table(scored(9)).splitlines()[1].split("\t")[4] == ""


def test_scores_are_exact() -> None:
    heat = hs.Explainer(*hs.load_demo())("Tea, please.")
    rows = list(csv.DictReader(io.StringIO(scores_table([heat, heat]))))
    assert len(rows) == 2 * heat.scores.size
    assert [float(row["score"]) for row in rows[: heat.scores.size]] == heat.scores.ravel().tolist()
    assert [row["label"] for row in rows[: len(heat.tokens)]] == list(heat.labels)
    assert {row["map_index"] for row in rows} == {"0", "1"}
    assert list(rows[0]) == list(score_columns([heat]))  # the same columns as in to_dataframe()


def test_a_failed_completeness_check_is_in_each_table_of_scores() -> None:
    failed = dataclasses.replace(scored(6), convergence_delta=[4.0], missed_sums=[10.0])
    assert {row["missed_sum"] for row in csv.DictReader(io.StringIO(scores_table([failed])))} == {"10.0"}
    assert {row["missed_sum"] for row in csv.DictReader(io.StringIO(scores_table([scored(6)])))} == {""}
    assert set(score_columns([failed])["missed_sum"].tolist()) == {10.0}
