"""The table of predictions for other programs."""

from __future__ import annotations

from render.test_terminal import scored

from hf_saliency.cli.demo import tab_separated


def test_tab_separated() -> None:
    head, row = tab_separated(scored(6)).splitlines()
    assert head.split("\t") == [
        *("position", "target", "logit", "rank"),
        *("prediction_1", "probability_1", "prediction_2", "probability_2"),
    ]
    assert row.split("\t") == ["2", "tea", "3", "2", "tea", "0.5", "mil k", "0.25"]
    assert tab_separated(scored(9)).splitlines()[1].split("\t")[3] == ""
