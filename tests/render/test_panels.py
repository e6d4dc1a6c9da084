from __future__ import annotations

from dataclasses import replace
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from handmade import (
    CHARACTERS,
    PIECES,
    SENTENCE,
    filled,
    frames,
    outside,
    overlapping,
    panels,
    saliency_map,
    strings,
    texts,
    with_scores,
)
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import hf_saliency as hs
from hf_saliency.errors import SaliencyError
from hf_saliency.render.figure import figure
from hf_saliency.render.marks import Bars, Highlight, Matrix
from hf_saliency.render.panels import distinct_names
from hf_saliency.render.settings import VENUES

ONE = saliency_map(targets=[5])
OTHER = saliency_map(targets=[5], signed=True, method="input_x_gradient", seed=1)


def boxes(figure: Figure) -> list[tuple[float, float, float, float]]:
    """Return the left, top, right and bottom edges of the panels, in points from the upper left corner."""
    width, height = figure.get_size_inches() * 72
    places = [ax.get_position() for ax in panels(figure)]
    return [(p.x0 * width, (1 - p.y1) * height, p.x1 * width, (1 - p.y0) * height) for p in places]


def test_panels_stand_side_by_side_and_in_rows() -> None:
    fig = figure([ONE, OTHER, ONE], ncols=2, width=6.75)
    first, second, third = boxes(fig)
    assert first[1] == second[1]
    assert first[2] < second[0]
    assert third[0] == first[0]
    assert third[1] > max(first[3], second[3])
    assert first[2] - first[0] == pytest.approx(third[2] - third[0])
    assert overlapping(fig) == outside(fig) == []


def test_maps_of_a_row_begin_on_one_level_whatever_their_titles() -> None:
    fig = figure([ONE, OTHER], ncols=2, width=6.75, title=[SENTENCE, "short"])
    first, second = boxes(fig)
    assert first[1] == second[1]
    assert overlapping(fig) == outside(fig) == []


def test_each_map_may_have_its_own_mark() -> None:
    fig = figure([ONE, ONE], [Highlight(), Bars(top=3)], ncols=2, width=6.75)
    assert [len(filled(ax)) for ax in panels(fig)] == [len(ONE.tokens), 3]
    with pytest.raises(SaliencyError, match="1 marks for 2 maps"):
        figure([ONE, ONE], [Matrix()])


def test_own_scales_have_own_legends() -> None:
    small = with_scores(saliency_map("a b", targets=[0]), [[1.0, 2.0]])
    large = with_scores(saliency_map("a b", targets=[0]), [[20.0, 40.0]])
    drawn = strings(figure([small, large], scale="separate", normalize="none", ncols=2, width=6.75))
    assert {"2", "40"} <= set(drawn)
    assert drawn.count("gradient norm of the logit") == 2
    shared = figure([small, large], normalize="none", ncols=2, width=6.75)
    assert "2" not in strings(shared)
    full = [max(filled(ax), key=lambda cell: -sum(cell[1]))[1] for ax in panels(shared)]
    assert full[0] != full[1]


def test_agreement_stands_below_each_panel_but_the_first() -> None:
    found = hs.agreement(ONE, OTHER)
    drawn = " ".join(strings(figure([ONE, OTHER], agreement=True, width=6.75)))
    assert f"{found} with gradient norm" in drawn
    assert "ρ" not in " ".join(strings(figure([ONE, OTHER], width=6.75)))


def test_agreement_of_other_tokenizers_is_over_words() -> None:
    pieces = saliency_map(split=PIECES, targets=[5])
    letters = saliency_map(split=CHARACTERS, targets=[40])
    first, second = hs.aligned([pieces, letters])
    again = figure([pieces, letters.select(0)], agreement=False, width=6.75)
    assert len(filled(panels(again)[0])) != len(filled(panels(again)[1]))
    assert first.tokens == second.tokens
    merged = figure([first, second], width=6.75)
    left, right = ([box[2] for box, _ in filled(ax)] for ax in panels(merged))
    np.testing.assert_allclose(left, right)


def test_legend_names_the_frames() -> None:
    both = replace(ONE, targets=(replace(ONE.targets[0], masked=False),))
    assert "masked" in strings(figure(ONE, width=3.25))
    assert "target" in strings(figure(both, width=3.25))
    assert {"masked", "target"} <= set(strings(figure([ONE, both], width=6.75)))
    nowhere = replace(ONE, targets=(hs.TargetRow("yes", None, 1.0),))
    assert not {"masked", "target"} & set(strings(figure(nowhere, width=3.25)))


@pytest.mark.parametrize("name", VENUES)
def test_venues_give_width_and_size_and_leave_rcparams(name: str) -> None:
    before = dict(mpl.rcParams)
    fig = figure(ONE, width=name)
    assert fig.get_figwidth() == pytest.approx(VENUES[name].width)
    largest = max(text.get_fontsize() for text in texts(fig))
    assert largest == pytest.approx(VENUES[name].fontsize * 0.833)
    assert dict(mpl.rcParams) == before
    assert overlapping(fig) == outside(fig) == []


def test_venues_have_columns_that_fit_their_pages() -> None:
    for name, venue in VENUES.items():
        assert venue.source
        if f"{name}-2col" in VENUES:
            assert 0.4 < venue.width / VENUES[f"{name}-2col"].width < 0.5
    assert VENUES["acl"].width == pytest.approx(3.03, abs=0.01)  # 7.7 cm, from ACL's instructions
    assert VENUES["icml"].width == 3.25


def test_excerpt_shows_what_is_near_the_target() -> None:
    fig = figure(ONE, around=2, width=6.75)
    drawn = strings(fig)
    assert drawn[:7] == ["…", *SENTENCE.split()[3:8], "…"]
    assert "5 of 35 tokens, around the target" in drawn
    assert len(frames(panels(fig)[0])) == 1
    whole = strings(figure(ONE, around=99, width=6.75))
    assert "…" not in whole
    assert not any("around" in text for text in whole)


@pytest.mark.parametrize("mark", [Highlight(), Matrix(), Bars()])
def test_limits_of_an_excerpt_come_from_its_tokens(mark: Highlight | Matrix | Bars) -> None:
    scores = np.full((1, 35), 0.1)
    scores[0, 0], scores[0, 6] = 100, 0.2
    fig = figure(with_scores(ONE, scores), mark, around=2, width=6.75)
    strongest = min(color for _, color in filled(panels(fig)[0]))
    assert strongest == pytest.approx((0.851, 0.337, 0.039, 1), abs=0.01)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ncols": 0}, "ncols=0: give a whole number of at least 1"),
        ({"ncols": 1.5}, r"ncols=1.5: give a whole number"),
        ({"columns": 2}, "columns=2 selects the tokens that count; for panels side by side, pass ncols=2"),
        ({"around": -1}, "around=-1: give a whole number of at least 0"),
        ({"around": "all"}, "around='all': give a whole number"),
        ({"scale": "both"}, "scale='both': choose one of 'shared', 'separate'"),
        ({"agreement": True}, r"there is only one: figure\(\[one, other\], agreement=True\)"),
        ({"title": 3}, "title=3: a title is a string, not int"),
        ({"title": [None]}, "a title is a string, not NoneType"),
        ({"width": "acm"}, "'acm' is not a known venue.*'acl', 'acl-2col'.*'neurips'"),
        ({"width": np.float32(-1)}, "give inches above 0"),
        ({"width": float("nan")}, "give inches above 0"),
        ({"ax": "axes"}, r"ax=str is neither Matplotlib Axes nor a list of Axes: pass Figure\(\)"),
        ({"ax": Figure()}, "ax=Figure is neither Matplotlib Axes"),
        ({"targets": np.array([0])[:0]}, "no target is selected"),
    ],
)
@pytest.mark.usefixtures("unchecked_types")
def test_options_that_cannot_work_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SaliencyError, match=message):
        figure(ONE, **options)


def test_maps_without_a_common_text_are_not_compared() -> None:
    with pytest.raises(SaliencyError, match="do not share their text"):
        figure([ONE, saliency_map("a b", targets=[0])], agreement=True)
    assert figure([ONE, saliency_map("a b", targets=[0])], width=6.75)


def test_label_that_is_read_nowhere_has_no_surroundings() -> None:
    nowhere = replace(ONE, targets=(hs.TargetRow("yes", None, 1.0),))
    with pytest.raises(
        SaliencyError, match="around=3 needs targets whose tokens are drawn, but 'yes' has none"
    ):
        figure(nowhere, around=3)


@pytest.mark.parametrize("number", [np.float32(3.25), np.float64(3.25), np.int64(3), 3])
def test_numpy_numbers_are_widths(number: Any) -> None:
    assert figure(ONE, width=number).get_figwidth() == number
    assert figure([ONE, OTHER], width=number * 2, ncols=np.int64(2), around=np.int32(3))


def test_least_width_of_several_columns_works() -> None:
    with pytest.raises(SaliencyError, match="the smallest width is") as error:
        figure([ONE, OTHER], ncols=2, width=1.0)
    least = float(str(error.value).split("width=")[1].rstrip(")."))
    assert outside(figure([ONE, OTHER], ncols=2, width=least)) == []


def test_panels_in_the_callers_axes() -> None:
    mine = Figure(figsize=(7, 4))
    ax = mine.subplots()
    figure([ONE, OTHER], ncols=2, scale="separate", agreement=True, ax=ax)
    assert isinstance(ax, Axes)
    assert overlapping(mine) == outside(mine) == []


def test_titles_name_methods_as_papers_do_and_tell_apart_what_has_one_name() -> None:
    maps = [saliency_map("a b c", method=method) for method in ("attn_lrp", "lime")]
    assert distinct_names(maps) == ["AttnLRP", "LIME"]
    assert {"AttnLRP", "LIME"} <= set(strings(figure(maps, width=4.0)))
    same = [saliency_map("a b c", method=method) for method in ("saliency", "Saliency")]
    assert distinct_names(same) == ["saliency", "Saliency"]
