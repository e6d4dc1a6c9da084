from __future__ import annotations

import numpy as np
import pytest
from handmade import outside, overlapping, pair, panels, saliency_map, strings, with_scores
from matplotlib.patches import PathPatch

from hf_saliency.errors import SaliencyError
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.render.figure import figure
from hf_saliency.render.marks import Bipartite

ONE = with_scores(
    saliency_map("one two six ten", targets=[0, 2]), [[9.0, 0.2, 0.6, 0.4], [0.1, 0.9, 9.0, 0.0]]
)


def links(one: SaliencyMap, mark: Bipartite) -> list[PathPatch]:
    (ax,) = panels(figure(one, mark, width=4.0))
    return [patch for patch in ax.patches if patch.get_gid() == "link"]


def test_each_target_is_linked_with_its_strongest_tokens_and_not_with_itself() -> None:
    drawn = links(ONE, Bipartite(links=2))
    assert len(drawn) == 4
    ends = sorted({round(float(link.get_path().vertices[-1][0]), 3) for link in drawn})
    assert len(ends) == 2
    starts = [[p.get_path().vertices[0][0] for p in drawn if p.get_path().vertices[-1][0] < np.mean(ends)]]
    assert len(set(starts[0])) == 2


def test_stronger_links_are_thicker_and_zero_has_none() -> None:
    drawn = links(ONE, Bipartite(links=3))
    assert len(drawn) == 5  # the last token of the second target has a score of 0
    widths = [float(link.get_linewidth()) for link in drawn]
    assert widths == sorted(widths)  # weak links are drawn first


@pytest.mark.parametrize("one", [ONE, pair(), saliency_map(targets=range(0, 30, 3))])
def test_nothing_overlaps_and_nothing_leaves_the_canvas(one: SaliencyMap) -> None:
    fig = figure(one, Bipartite(), width=4.0)
    assert overlapping(fig) == []
    assert outside(fig) == []
    assert not {"masked", "target"} & set(strings(fig))  # there are no frames to explain


def test_links_are_a_whole_number_and_need_room() -> None:
    with pytest.raises(SaliencyError, match="links=0: give a whole number of at least 1"):
        Bipartite(links=0)
    with pytest.raises(SaliencyError, match="90 labels on a line: the smallest width is"):
        figure(saliency_map("a " * 90, targets=[0]), Bipartite(), width=2.0)
