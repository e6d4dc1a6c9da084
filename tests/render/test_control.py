"""Choices that users have for a figure: colours, limits, legends, and the axes to draw into."""

from __future__ import annotations

import warnings
from dataclasses import replace
from io import BytesIO
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from handmade import SENTENCE, filled, outside, overlapping, panels, saliency_map, strings, with_scores
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.patches import Rectangle

from hf_saliency.errors import SaliencyError
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.render.colors import Colors, luminance
from hf_saliency.render.drawing import settings_of
from hf_saliency.render.figure import figure, measure
from hf_saliency.render.marks import Arcs, Bars, Bipartite, Difference, Highlight, Mark, Matrix
from hf_saliency.render.points import Letters
from hf_saliency.render.settings import VENUES, installed_family
from hf_saliency.render.sheets import sheets

ONE = saliency_map("formal study of grammar", targets=[0])
SIGNED = replace(with_scores(ONE, -ONE.scores), signed=True)


# --- colours


@pytest.mark.parametrize("mark", [Highlight(), Matrix(values=True), Bars()])
def test_a_colormap_takes_the_place_of_our_colours(mark: Mark) -> None:
    boxes = filled(panels(figure(ONE, mark, width=3.25, cmap="Greens"))[0])
    strongest = mpl.colormaps["Greens"](1.0)
    assert any(np.allclose(color, strongest, atol=0.01) for _, color in boxes)


@pytest.mark.parametrize("mark", [Highlight(), Matrix()])
def test_frames_are_seen_on_the_colours_of_a_colormap(mark: Mark) -> None:
    strong = with_scores(saliency_map("a b", targets=[0, 1]), [[1.0, 0.2], [1.0, 0.0]])
    fig = figure(strong, mark, width=3.25, cmap="Greys")
    edges = [
        patch.get_edgecolor()[:3]
        for patch in panels(fig)[0].findobj(Rectangle)
        if patch.get_gid() == "target"
    ]
    assert edges == [(1.0, 1.0, 1.0), (0.0, 0.0, 0.0)]


def test_text_on_a_dark_colour_is_white() -> None:
    colors = Colors(1.0, False, palette=figure_palette("Greys"))
    assert colors.ink_on(np.array([0.0])) == "#000000"
    assert colors.ink_on(np.array([1.0])) == "#ffffff"


def figure_palette(cmap: str) -> Any:
    from hf_saliency.render.colors import palette_for

    return palette_for("white", cmap)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cmap": "jet"}, "'jet': its lightness goes up and down.*sequential colormap such as 'Oranges'"),
        ({"cmap": "Grens"}, "did you mean 'Greens'"),
        ({"limit": 0}, "limit=0: give a number above 0"),
        ({"legend": "left"}, "legend='left': choose one of True, False, 'bottom', 'top', 'right'"),
        ({"align": "middle"}, "align='middle': choose one of 'top', 'center', 'bottom'"),
    ],
)
def test_choices_that_cannot_be_drawn_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SaliencyError, match=message):
        figure(ONE, width=3.25, **options)


def test_dark_ground_has_dark_zeros_and_light_frames() -> None:
    with mpl.rc_context({"figure.facecolor": "black", "text.color": "white"}):
        fig = figure(with_scores(ONE, [[0.0, 0.2, 0.6, 1.0]]), Highlight(), width=3.25)
    boxes = [color for _, color in filled(panels(fig)[0])]
    assert np.allclose(boxes[0][:3], 0, atol=0.01)
    assert luminance(np.array(boxes[0][:3])) < luminance(np.array(boxes[-1][:3]))
    frames = [patch for patch in fig.findobj(Rectangle) if patch.get_gid() == "target"]
    assert all(patch.get_edgecolor()[:3] == (1.0, 1.0, 1.0) for patch in frames)


def test_negative_scores_are_underlined_if_asked() -> None:
    lines = [
        c
        for c in panels(figure(SIGNED, width=3.25, underline=True))[0].collections
        if c.get_gid() == "negative"
    ]
    assert lines
    plain = [c for c in panels(figure(SIGNED, width=3.25))[0].collections if c.get_gid() == "negative"]
    assert not plain


# --- limits


def test_two_figures_share_a_limit() -> None:
    small, large = with_scores(ONE, [[0.1, 0.2, 0.3, 0.4]]), with_scores(ONE, [[0.1, 0.2, 0.3, 4.0]])
    alone = filled(panels(figure(small, width=3.25, normalize="none"))[0])
    shared = filled(panels(figure(small, width=3.25, normalize="none", limit=[small, large]))[0])
    assert alone[-1][1] != shared[-1][1]
    number = filled(panels(figure(small, width=3.25, normalize="none", limit=4.0))[0])
    assert shared == number


def test_scores_beyond_the_limit_are_marked() -> None:
    fig = figure(ONE, width=3.25, limit=0.5)
    marked = [c for c in panels(fig)[0].collections if c.get_gid() == "clipped"]
    beyond = int((np.abs(ONE.normalized()) > 0.5).sum())
    assert sum(len(c.get_paths()) for c in marked) == beyond > 0
    assert {"≥0.5", "beyond the limit"} <= set(strings(fig))
    assert "beyond the limit" not in strings(figure(ONE, width=3.25, limit=2.0))


def test_bars_of_one_scale_have_one_zero_and_one_unit() -> None:
    unsigned = with_scores(ONE, [[0.5, 1.0, 0.25, 0.1]])
    signed = replace(with_scores(ONE, [[0.5, -1.0, 0.25, 0.1]]), signed=True, texts=ONE.texts)
    fig = figure([unsigned, signed], Bars(), width=6.0, ncols=2, title=["a", "b"])
    first, second = ({round(box[1], 2): box for box, _ in filled(ax)} for ax in panels(fig))
    top = min(first)
    np.testing.assert_allclose(first[top][0], second[top][0], atol=0.05)
    np.testing.assert_allclose(first[top][2], second[top][2], atol=0.05)


def test_bars_of_unequally_many_targets_have_one_unit_length() -> None:
    many = saliency_map("formal study of grammar", targets=[0, 1, 2])
    fig = figure([ONE, many], Bars(predictions=0), width=6.0, title=["a", "b"], normalize="none")
    widths = [max(box[2] for box, _ in filled(ax)) for ax in panels(fig)]
    largest = [float(each.scores.max()) for each in (ONE, many)]
    np.testing.assert_allclose(widths[0] / largest[0], widths[1] / largest[1], rtol=1e-3)
    assert outside(fig) == overlapping(fig) == []


@pytest.mark.parametrize("mark", [Matrix, Arcs, Bipartite, Bars])
def test_labels_are_as_long_as_they_may_be(mark: Any) -> None:
    long = saliency_map("incomprehensibilities aside " * 4, targets=[1, 3])
    options = {"vertical": True} if mark is Bars else {}
    cut, free = (strings(figure(long, mark(labels=inches, **options), width=2.0)) for inches in (0.3, 2.0))
    assert "incomprehensibilities" not in cut
    assert free.count("incomprehensibilities") == 4
    with pytest.raises(SaliencyError, match=r"labels=-1: give inches above 0, such as labels=0\.5"):
        mark(labels=-1, **options)


# --- numbers


@pytest.mark.parametrize(
    ("factor", "texts", "note"),
    [
        (1.0, ["0.25", "1.00"], ""),
        (0.0017, ["0.42", "1.70"], "numbers × 10⁻³"),
        (3.6e6, ["0.90", "3.60"], "numbers × 10⁶"),
        (0.05, ["0.013", "0.050"], ""),
        (40.0, ["10.0", "40.0"], ""),
        (812.0, ["203", "812"], ""),
    ],
)
def test_printed_numbers_follow_the_scale(factor: float, texts: list[str], note: str) -> None:
    one = with_scores(saliency_map("a b", targets=[0]), np.array([[0.25, 1.0]]) * factor)
    for mark in (Matrix(values=True), Bars(values=True)):
        drawn = strings(figure(one, mark, width=3.25, normalize="none"))
        assert set(texts) <= set(drawn)
        assert (note in drawn) == bool(note)


def test_an_all_zero_map_has_no_maximum() -> None:
    drawn = " ".join(strings(figure(with_scores(ONE, ONE.scores * 0), width=3.25)))
    assert "all scores are 0" in drawn
    assert "maximum" not in drawn


# --- legends and titles


@pytest.mark.parametrize("legend", ["bottom", "top", "right"])
@pytest.mark.parametrize("signed", [False, True])
def test_legends_overlap_nothing(legend: Any, signed: bool) -> None:
    fig = figure([SIGNED if signed else ONE] * 2, width=4.0, legend=legend, suptitle="A title", limit=0.7)
    assert overlapping(fig) == []
    assert outside(fig) == []
    assert "A title" in strings(fig)


def test_no_legend_is_drawn_if_none_is_asked_for() -> None:
    fig = figure(ONE, width=3.25, legend=False)
    assert len(fig.axes) == 1
    assert fig.get_size_inches()[1] < figure(ONE, width=3.25).get_size_inches()[1]


def test_panels_with_scales_of_their_own_have_no_legend_either_if_none_is_asked_for() -> None:
    drawn = strings(figure([ONE, SIGNED], width=4.0, scale="separate"))
    assert sum("scaled to" in text for text in drawn) == 2
    fig = figure([ONE, SIGNED], width=4.0, scale="separate", legend=False)
    assert not any("scaled to" in text for text in strings(fig))
    axes = Figure().subplots(2)
    figure([ONE, SIGNED], scale="separate", legend=False, ax=list(axes), shrink=True)
    assert not any("scaled to" in text for ax in axes for text in strings(ax.figure))


def test_a_narrow_legend_is_not_what_makes_a_figure_impossible() -> None:
    method = replace(saliency_map("a b", targets=[0]), method="sequential_integrated_gradients_of_something")
    assert outside(figure(method, width=0.8)) == []


def test_axes_have_labels_and_legends_no_lone_word() -> None:
    fig = figure([ONE, SIGNED], width=3.03, suptitle="A title", columns="context")
    assert [ax.get_label() for ax in fig.axes] == ["title", "panel 0", "panel 1", "legend"]
    for inches in (2.0, 2.5, 3.0, 3.5):
        label = strings(figure(ONE, width=inches, columns="context"))
        lines = [
            text for text in label if text in "gradient norm of the logit, scaled to max score, context only"
        ]
        assert len(lines) < 2 or " " in lines[-1]


def test_no_key_of_a_legend_has_a_line_of_its_own() -> None:
    missing = replace(SIGNED, scores=np.where(np.arange(SIGNED.scores.size) == 1, np.nan, SIGNED.scores))
    for one, limit in ((SIGNED, 0.5), (SIGNED, None), (missing, None), (missing, 0.5)):
        for inches in (2.4, 2.7, 3.03, 3.25, 3.6):
            fig = figure(one, width=inches, limit=limit)
            heights = {text.get_text(): round(text.get_position()[1], 3) for text in fig.axes[-1].texts}
            assert list(heights.values()).count(heights["masked"]) > 1, (limit, inches)
            assert overlapping(fig) == outside(fig) == []


def test_panels_say_what_tells_them_apart() -> None:
    other = saliency_map("other words", targets=[0])
    assert not any(text == "gradient norm" for text in strings(figure([ONE, other], width=3.25)))
    steps = [replace(ONE, method="integrated_gradients", arguments={"n_steps": n}) for n in (5, 50)]
    assert {"n steps 5", "n steps 50"} <= set(strings(figure(steps, width=3.25)))
    models = [replace(ONE, provenance={"model": f"somewhere/{name}"}) for name in ("bert", "roberta")]
    assert {"bert", "roberta"} <= set(strings(figure(models, width=3.25)))


# --- places


@pytest.mark.parametrize("mark", [Highlight(), Matrix(), Bars(), Bars(vertical=True)])
def test_a_box_is_where_its_token_is_drawn(mark: Mark) -> None:
    fig = figure(ONE, mark, width=3.25)
    box = fig.box("grammar")
    assert box.get_points().tolist() == fig.box(3).get_points().tolist()
    assert 0 <= box.x0 < box.x1 <= 1
    assert 0 <= box.y0 < box.y1 <= 1
    before = box.get_points().copy()
    fig.set_dpi(300)
    np.testing.assert_allclose(fig.box("grammar").get_points(), before)


def test_boxes_that_are_not_there_are_refused() -> None:
    fig = figure(ONE, width=3.25)
    for arguments in ({"token": "linguistics"}, {"token": 9}, {"token": 0, "target": 4}):
        with pytest.raises(SaliencyError, match="the panel has 1 targets and 4 tokens"):
            fig.box(**arguments)
    with pytest.raises(SaliencyError, match="this figure has 1 panels"):
        fig.box(0, panel=1)


def test_each_token_of_a_text_has_an_id() -> None:
    buffer = BytesIO()
    figure(ONE, Highlight(), width=3.25).savefig(buffer, format="svg")
    assert all(f'id="target-0-token-{i}"'.encode() in buffer.getvalue() for i in range(4))


# --- the caller's axes


def test_axes_are_returned_and_the_size_is_known_before() -> None:
    width, height = measure(ONE, Highlight(), width=3.0)
    mine = Figure(figsize=(width, height))
    ax = mine.add_axes((0, 0, 1, 1))
    drawn = figure(ONE, Highlight(), ax=ax)
    assert drawn is ax
    assert isinstance(drawn, Axes)
    assert outside(mine) == []
    with pytest.raises(SaliencyError, match="shrink=True"):
        figure(ONE, Highlight(), ax=Figure(figsize=(width, height * 0.95)).add_axes((0, 0, 1, 1)))


def test_a_drawing_shrinks_and_stands_where_it_is_asked_to() -> None:
    tall = Figure(figsize=(3.0, 3.0))
    low = Figure(figsize=(3.0, 0.6))
    figure(ONE, Highlight(), ax=tall.add_axes((0, 0, 1, 1)), align="bottom")
    boxes = [box for child in tall.axes[0].child_axes for box, _ in filled(child)]
    assert boxes
    assert min(child.get_position().y0 for child in tall.axes[0].child_axes) == pytest.approx(0, abs=0.01)
    figure(ONE, Highlight(), ax=low.add_axes((0, 0, 1, 1)), shrink=True)
    assert outside(low) == []


def places(height: float = 3.0, widths: tuple[float, float] = (0.45, 0.55)) -> tuple[Figure, np.ndarray]:
    """Return two Axes side by side, in an array like that of ``plt.subplots``."""
    mine = Figure(figsize=(6.3, height))
    left, right = widths
    return mine, np.array([mine.add_axes((0, 0, left, 1)), mine.add_axes((left, 0, right, 1))])


@pytest.mark.parametrize(("legend", "place"), [(True, 1), ("right", 1), ("top", 0), (False, None)])
def test_several_axes_share_one_legend_that_explains_all_of_them(legend: Any, place: int | None) -> None:
    mine, axes = places()
    unmasked = replace(ONE, targets=(replace(ONE.targets[0], masked=False),))
    assert figure([ONE, unmasked], Highlight(), ax=axes, legend=legend) == list(axes)
    holders = [
        i for i, ax in enumerate(axes) if any(child.get_label() == "legend" for child in ax.child_axes)
    ]
    assert holders == ([] if place is None else [place])
    if place is not None:
        (key,) = [child for child in axes[place].child_axes if child.get_label() == "legend"]
        assert {"masked", "target"} <= set(strings(key))
    # The words of a legend on the right may extend by a fraction of a point; new figures have a margin for this.
    if legend != "right":
        assert outside(mine) == []


def test_several_axes_share_scale_unit_length_and_size_of_type() -> None:
    weak = with_scores(ONE, ONE.scores * 0.5)
    _, axes = places()
    figure([ONE, weak], Bars(), ax=axes, normalize="none")
    longest = [
        max(
            box[2] for child in ax.child_axes for box, color in filled(child) if child.get_label() != "legend"
        )
        for ax in axes
    ]
    assert longest[1] == pytest.approx(longest[0] / 2, rel=0.01)
    _, axes = places(0.75, (0.5, 0.5))
    figure([ONE, ONE], Highlight(), ax=axes, shrink=True, title=["first", "second"])
    sizes = [{text.get_fontsize() for text in ax.findobj(Letters)} for ax in axes]
    assert len(sizes[0] | sizes[1]) <= 3  # the text, small and smaller type, the same in both


def test_axes_that_do_not_fit_the_maps_are_refused() -> None:
    _, axes = places()
    with pytest.raises(SaliencyError, match="2 Axes for 3 maps"):
        figure([ONE, ONE, ONE], ax=axes)
    with pytest.raises(SaliencyError, match="suptitle"):
        figure([ONE, ONE], ax=axes, suptitle="Both")
    with pytest.raises(SaliencyError, match="nor a list of Axes"):
        figure([ONE, ONE], ax=[axes[0], "right"])  # type: ignore[call-overload]


@pytest.mark.parametrize("dpi", [72, 100, 150, 300])
def test_letters_stay_on_their_colours_at_every_resolution(dpi: int) -> None:
    mine = Figure(figsize=(4, 1.5), dpi=dpi)
    canvas = FigureCanvasAgg(mine)
    figure(ONE, Highlight(), ax=mine.add_axes((0, 0, 1, 1)))
    canvas.draw()
    renderer = canvas.get_renderer()
    with mpl.rc_context({"text.hinting": "none"}):
        letters = {text.get_text(): text for text in mine.findobj(Letters)}
        wide = letters["grammar"].get_window_extent(renderer).width * 72 / dpi
    (cell,) = [box for child in mine.axes[0].child_axes for box, _ in filled(child) if box[2] > 30][-1:]
    assert wide < cell[2] + 72 / dpi


def mosaics() -> dict[str, tuple[tuple[float, float], list[tuple[Any, Any, dict[str, Any]]]]]:
    """Ten typical mosaics: the size of the figure, and the content of each of its equal columns."""
    long, short = saliency_map(SENTENCE, targets=[5]), saliency_map("a b c d e")
    heads = {"legend": False}
    return {
        "two texts": ((6.3, 1.6), [(long, Highlight(), {}), (long, Highlight(), heads)]),
        "text and bars": ((6.3, 2.4), [(long, Highlight(), {}), (ONE, Bars(), heads)]),
        "text and matrix": ((6.3, 2.6), [(long, Highlight(), {}), (short, Matrix(), {})]),
        "three texts": ((6.3, 1.6), [(ONE, Highlight(), {"legend": False})] * 3),
        "arcs and matrix": (
            (6.3, 2.4),
            [(saliency_map("a b c d"), Arcs(), {}), (saliency_map("a b c d"), Matrix(), {})],
        ),
        "signed and not": ((6.3, 1.6), [(ONE, Highlight(), {}), (SIGNED, Highlight(), {})]),
        "a low strip": (
            (6.3, 0.45),
            [(ONE, Highlight(predictions=0), {"legend": False, "shrink": True})] * 2,
        ),
        "a slide": (
            (11.5, 3.0),
            [(ONE, Highlight(), {"width": 5.0}), (ONE, Bars(vertical=True), {"width": 5.0})],
        ),
        "centred": (
            (6.3, 3.0),
            [(ONE, Highlight(), {"align": "center"}), (long, Matrix(), {"align": "bottom"})],
        ),
        "shrunk": ((3.2, 1.1), [(long, Highlight(), {"shrink": True, "legend": False})]),
    }


@pytest.mark.parametrize("name", mosaics())
def test_ordinary_mosaics_work(name: str) -> None:
    (width, height), drawn = mosaics()[name]
    mine = Figure(figsize=(width, height))
    share = 1 / len(drawn)
    for i, (one, mark, options) in enumerate(drawn):
        ax = mine.add_axes((i * share, 0, share - 0.03, 1))
        assert figure(one, mark, ax=ax, **options) is ax
    assert overlapping(mine) == []
    assert outside(mine) == []


# --- sizes


def test_everything_scales_with_the_type() -> None:
    def sizes(points: float) -> np.ndarray:
        with mpl.rc_context({"font.size": points}):
            return np.array(measure([ONE, ONE], Highlight(), width=0.4 * points))

    np.testing.assert_allclose(sizes(20) / sizes(10), 2, rtol=1e-6)


def test_conferences_that_print_in_one_style_share_its_sizes() -> None:
    assert VENUES["emnlp"] == VENUES["naacl"] == VENUES["eacl"] == VENUES["tacl"] == VENUES["acl"]
    assert all(7 <= venue.fontsize * 0.833 <= 8 for name, venue in VENUES.items() if name != "slide")


def test_tight_boxes_keep_the_width_or_say_so() -> None:
    fig = figure(ONE, width=3.25)
    exact, tight = BytesIO(), BytesIO()
    fig.savefig(exact, format="pdf")
    fig.savefig(tight, format="pdf", bbox_inches="tight")
    assert exact.getvalue() == tight.getvalue()
    fig.text(1.2, 0.5, "beyond")
    with pytest.warns(UserWarning, match=r"in wide instead of 3\.25 in"):
        fig.savefig(BytesIO(), format="pdf", bbox_inches="tight")


def test_a_new_size_says_that_text_is_not_broken_again() -> None:
    fig = figure(ONE, width=3.25)
    with pytest.warns(UserWarning, match=r"figure\(\.\.\., width=5\.00\)"):
        fig.set_size_inches(5, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure(ONE, width=3.25).set_size_inches(*figure(ONE, width=3.25).get_size_inches())


def test_a_figure_taller_than_its_page_says_so_and_sheets_takes_it() -> None:
    long = saliency_map(" ".join([SENTENCE] * 25), targets=[0])
    with pytest.warns(UserWarning, match="a page of 'acl' holds 9.72 in") as caught:
        figure(long, width="acl")
    assert caught[0].filename == __file__
    assert len(sheets(long, width="acl")) > 1
    many: SaliencyMap = saliency_map(" ".join([SENTENCE] * 9), targets=range(7))
    assert len(sheets(many, width="acl")) >= 1


# --- columns that count in a row, and sums that do not add up


def test_the_target_itself_may_be_left_out_of_its_row() -> None:
    one = with_scores(ONE, [[9.0, 1.0, 2.0, 0.5]])
    fig = figure(one, Matrix(values=True), width=3.25, columns="context")
    assert {"0.00", "0.50", "1.00", "0.25"} <= set(strings(fig))
    assert any(text.endswith("context only") for text in strings(fig))
    assert fig.attachment is not None
    assert fig.attachment.drawing["columns"] == "context"


def test_a_failed_completeness_check_stands_below_the_panel() -> None:
    failed = replace(
        SIGNED,
        convergence_delta=np.array([1303.0]),
        missed_sums=np.array([4.1]),
        method="integrated_gradients",
    )
    drawn = strings(figure(failed, width=4.0))
    assert "does not add up: misses 4.1 by 1303" in drawn
    assert not any("add up" in text for text in strings(figure(SIGNED, width=4.0)))


def test_a_difference_subtracts_the_same_target_and_says_what_does_not_add_up() -> None:
    one = saliency_map("formal study of grammar", targets=range(2))
    other = replace(
        one.select(1, 0), convergence_delta=np.array([0.0, 1303.0]), missed_sums=np.array([np.nan, 4.1])
    )
    assert not Difference(other).shown(one).scores.any()
    drawn = strings(figure(one, Difference(other), width=4.0))
    assert f"1 of 2 targets do not add up; {one.targets[0].label!r} misses 4.1 by 1303" in drawn


# --- faces


def test_a_serif_face_stands_where_it_is_asked_for() -> None:
    before = mpl.rcParams["font.family"]
    fig = figure(ONE, width="acl", font="serif")
    families = {name for text in fig.findobj(Letters) for name in text.get_fontfamily()}
    assert families.isdisjoint({"sans-serif", "DejaVu Sans"})
    assert len(families) == 1
    assert mpl.rcParams["font.family"] == before
    assert overlapping(fig) == outside(fig) == []
    assert measure(ONE, width="acl", font="serif")[1] != measure(ONE, width="acl")[1]
    assert fig.attachment is not None
    assert settings_of(fig.attachment.drawing, 1)["font"] == "serif"
    assert "font" not in settings_of({"font": "No Such Face"}, 1)
    with pytest.raises(SaliencyError, match="font='DejaVu Serf' is not installed: .*'DejaVu Serif'"):
        figure(ONE, width=3.0, font="DejaVu Serf")


def test_a_serif_face_is_found_where_none_of_the_usual_ones_is(monkeypatch: pytest.MonkeyPatch) -> None:
    fonts = [entry for entry in fontManager.ttflist if entry.name.startswith("DejaVu")]
    monkeypatch.setattr(fontManager, "ttflist", fonts)
    assert installed_family("serif") == "serif"
