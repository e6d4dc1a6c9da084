from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from handmade import (
    frames,
    outside,
    overlapping,
    pair,
    panels,
    saliency_map,
    strings,
    texts,
    with_scores,
)
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch

from hf_saliency.errors import SaliencyError
from hf_saliency.maps.fields import TargetRow
from hf_saliency.maps.spans import Token
from hf_saliency.render.colors import Colors
from hf_saliency.render.figure import figure
from hf_saliency.render.marks import Arcs

LETTERS = with_scores(
    saliency_map("aa bb cc dd", targets=[0, 2]), [[9.0, 2.0, 1.0, 4.0], [1.0, 0.0, 9.0, np.nan]]
)


def arcs(ax: Axes) -> list[PathPatch]:
    return [patch for patch in ax.findobj(PathPatch) if patch.get_gid() == "arc"]


def ends(ax: Axes) -> set[tuple[float, float]]:
    found = [np.asarray(patch.get_path().vertices) for patch in arcs(ax)]
    return {(round(float(v[0, 0]), 3), round(float(v[-1, 0]), 3)) for v in found}


def test_arcs_go_from_the_strongest_tokens_to_their_target() -> None:
    ax = panels(figure(LETTERS, Arcs(links=2), width=3.25))[0]
    middles = {}
    for text in ax.texts:
        box = text.get_window_extent()
        middles[text.get_text()] = (box.x0 + box.x1) / 2
    order = sorted(middles, key=middles.__getitem__)
    assert order == ["aa", "bb", "cc", "dd"]
    places = sorted({x for pair in ends(ax) for x in pair})
    a, b, c, d = places
    assert ends(ax) == {(d, a), (b, a), (a, c)}  # no arc to the target itself, or for NaN or zero


def test_colour_and_width_follow_the_score() -> None:
    ax = panels(figure(LETTERS, Arcs(links=2), width=3.25))[0]
    colors = Colors.of([LETTERS])
    drawn = {tuple(np.round(patch.get_edgecolor(), 6)): patch.get_linewidth() for patch in arcs(ax)}
    for value in (4 / 9, 2 / 9, 1 / 9):
        assert tuple(np.round(colors.fill(np.array([value]))[0], 6)) in drawn
    assert max(drawn.values()) == pytest.approx(0.5 + 4 / 9)


def test_targets_have_frames() -> None:
    fig = figure(LETTERS, Arcs(), width=3.25)
    assert "masked" in strings(fig)
    assert [p.get_gid() for p in panels(fig)[0].patches].count("target") == 2


def test_two_texts_have_a_gap_between_them_and_every_token_of_a_target_a_frame() -> None:
    parted = pair(text_names=())
    starts = dict(zip(parted.tokens, (0, 4, 8, 12), strict=True))
    tokens = tuple(Token(token.piece, start, start + 3) for token, start in starts.items())
    gaps = []
    for one in (parted, replace(parted, texts=("one two six ten",), tokens=tokens)):
        ax = panels(figure(one, Arcs(), width=3.25))[0]
        boxes = [text.get_window_extent() for text in ax.texts]
        between = [later.x0 - earlier.x1 for earlier, later in itertools.pairwise(boxes)]
        gaps.append(np.array(between) * 72 / ax.figure.dpi)
        assert len(frames(ax)) == 2
    np.testing.assert_allclose(gaps[0] - gaps[1], [0, 5, 0], atol=0.05)


@pytest.mark.parametrize("width", [3.25, 6.75])
def test_nothing_overlaps_or_leaves_the_canvas(width: float) -> None:
    for one in (LETTERS, saliency_map(), saliency_map(signed=True, special=True, targets=[3])):
        fig = figure(one, Arcs(links=3), width=width)
        assert overlapping(fig) == []
        assert outside(fig) == []


def test_short_texts_lie_as_running_text_and_long_ones_stand() -> None:
    assert {t.get_rotation() for t in texts(figure(LETTERS, Arcs(), width=3.25))} == {0}
    assert {t.get_rotation() for t in panels(figure(saliency_map(), Arcs(), width=3.25))[0].texts} == {90}


def test_what_cannot_be_drawn_is_refused() -> None:
    unread = replace(LETTERS, targets=(TargetRow("yes", None, 1.0), LETTERS.targets[1]))
    with pytest.raises(SaliencyError, match=r"the target 'yes' has no token among.*mark=Bars\(\)"):
        figure(unread, Arcs(), width=3.25)
    with pytest.raises(SaliencyError, match=r"links=0: give a whole number of at least 1, such as links=1"):
        Arcs(links=0)
    with pytest.raises(SaliencyError, match="90 tokens on a line: the smallest width is"):
        figure(saliency_map(" ".join("abc" for _ in range(90))), Arcs(), width=3.0)
