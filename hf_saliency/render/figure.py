"""figure: from maps to a Figure that is ready for a paper."""

from __future__ import annotations

import dataclasses
import math
import operator
from collections.abc import Sequence
from typing import Any, cast

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hf_saliency.errors import SaliencyError
from hf_saliency.record import Record
from hf_saliency.render import points
from hf_saliency.render.drawing import drawing
from hf_saliency.render.fallback import one_sheet
from hf_saliency.render.layout import Board, Panel
from hf_saliency.render.marks import Mark
from hf_saliency.render.panels import Scale, Which, panels_of, selected
from hf_saliency.render.points import Box
from hf_saliency.render.saliency_figure import SaliencyFigure
from hf_saliency.render.venues import inches, type_size
from hf_saliency.render.wrap import TooNarrow
from hf_saliency.saliency_map import Normalization, SaliencyMap

MARGIN = 1.0  # points; half a stroke of a frame, so that the figure still lines up with the column of text


@one_sheet
def figure(
    maps: SaliencyMap | Sequence[SaliencyMap],
    mark: Mark | Sequence[Mark] | None = None,
    *,
    width: float | str | None = None,
    columns: int = 1,
    targets: Which | None = None,
    around: int | None = None,
    title: str | Sequence[str] | None = None,
    normalize: Normalization = "row_max",
    scale: Scale = "shared",
    agreement: bool = False,
    ax: Axes | None = None,
) -> Figure:
    """Draw one map, or several as panels, as a figure for print.

    The height follows from the content. Colours are limited by the tokens that are drawn and by no others. No
    window is opened, and neither pyplot nor rcParams are touched.

    Parameters
    ----------
    maps
        A map, or a list of them: methods, models or texts to be compared. Models with different tokenizers
        show their own tokens; :func:`hf_saliency.aligned` gives them the same words before.
    mark
        ``Highlight()`` (the text in colour, a block for each target), ``Matrix()`` (targets x tokens),
        ``Bars()`` or ``Arcs()``, or a list with one for each map. Default: ``Highlight()`` for up to six
        targets, else ``Matrix()``.
    width
        In inches, or a venue with its type size: ``"acl"``, ``"acl-2col"``, ``"neurips"``, ``"icml"``,
        ``"slide"`` and others (an unknown one is answered with the list). Default:
        ``rcParams["figure.figsize"]``, or the width of ``ax``.
    columns
        How many panels stand side by side.
    targets
        Which rows to draw: a number, a slice, a word of the text, or a list of these. Default: all.
    around
        Draw only so many tokens before and after each target, with an ellipsis where text is left out.
        Default: the whole text. :func:`hf_saliency.sheets` sets a long one across pages instead.
    title
        One for each map. Default: the name of the method if there are several maps, else none.
    normalize
        Each row is divided by its ``"row_max"`` or ``"row_sum"`` over the tokens drawn, or by nothing
        (``"none"``). The legend says which.
    scale
        One colour scale ``"shared"`` by all panels, or each its ``"own"`` with a legend below it.
    agreement
        Say below each panel but the first how far it agrees with the first, as
        :func:`hf_saliency.agreement` measures it on all tokens of the targets drawn.
    ax
        Axes to draw into instead of a new figure. Their size must be final, since text is broken to fit it;
        their frame is switched off, their limits stay. Saving is then up to the caller.

    Returns
    -------
    matplotlib.figure.Figure
        A :class:`~hf_saliency.render.saliency_figure.SaliencyFigure`, or the figure of ``ax``.

    Raises
    ------
    SaliencyError
        If something else than maps, marks or known options is given, if no target is selected, if maps that
        are compared do not share a text, or if the width is too narrow; the message says the least width.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> heat = explainer("Paris is the capital of France.")
    >>> hs.figure(heat, targets="capital", width="acl").savefig("figure.pdf")
    """
    if ax is not None and not isinstance(ax, Axes):
        raise SaliencyError(
            f"ax={type(ax).__name__} is no Axes of Matplotlib: give Figure().add_axes((0, 0, 1, 1)), or leave it out."
        )
    chosen = selected(maps, targets)
    with type_size(width):
        panels = panels_of(
            chosen,
            mark,
            targets=None,
            title=title,
            normalize=normalize,
            scale=scale,
            agreement=agreement,
            around=around,
        )
        side_by_side = min(_columns(columns), len(panels))
        if ax is not None:
            return _into(ax, panels, width, side_by_side)
        wide = inches(width, mpl.rcParams["figure.figsize"][0])
        new = _new(panels, wide, side_by_side)
    settings = {"columns": side_by_side, "around": around, "scale": scale, "agreement": agreement}
    new.record = Record(
        tuple(chosen), drawing(panels, normalize, width if isinstance(width, str) else wide, **settings)
    )
    return new


def _new(panels: Sequence[Panel], width: float, columns: int) -> SaliencyFigure:
    board = Board(panels, width * 72 - 2 * MARGIN, columns)
    new = blank(width, _height(board, width) + 2 * MARGIN)
    board.draw(place_in(new))
    return new


def blank(width: float, height: float) -> SaliencyFigure:
    """An empty figure, so many inches wide and so many points high."""
    new = SaliencyFigure(figsize=(width, height / 72))
    new.set_layout_engine("none")
    return new


def place_in(new: Figure) -> Any:
    """What makes Axes for a box in points from the upper left corner inside the margins."""
    wide, high = new.get_size_inches() * 72

    def place(box: Box) -> Axes:
        x, y, w, h = box
        left, bottom = MARGIN + x, high - MARGIN - y - h
        ax = new.add_axes((left / wide, bottom / high, w / wide, h / high))
        ax.set_axis_off()
        return ax

    return place


def _into(ax: Axes, panels: Sequence[Panel], width: float | str | None, columns: int) -> Figure:
    wide, high = points.size(ax)
    across = inches(width, wide / 72)
    board = Board(panels, across * 72, columns)
    height = _height(board, across)
    if height > high + 1e-6 or across * 72 > wide + 1e-6:
        raise SaliencyError(
            f"the drawing is {across:.2f} x {height / 72:.2f} in, but these axes are {wide / 72:.2f} x "
            f"{high / 72:.2f} in: make them larger, such as "
            f"Figure(figsize=({across:.2f}, {height / 72 + 0.01:.2f})).add_axes((0, 0, 1, 1))."
        )

    def place(box: Box) -> Axes:
        x, y, w, h = box
        child = ax.inset_axes((x / wide, 1 - (y + h) / high, w / wide, h / high))
        child.set_axis_off()
        return child

    ax.set_axis_off()
    board.draw(place)
    return cast(Figure, ax.figure)


def _height(board: Board, width: float) -> float:
    try:
        return board.height
    except TooNarrow as error:
        raise too_narrow(board, width, error, "figure") from error


def too_narrow(board: Board, width: float, error: TooNarrow, function: str) -> SaliencyError:
    """What a user is told: the least width at which everything fits, and the call that works."""
    around = width * 72 - board.width
    least = math.ceil((_least(board, error) + around) / 72 * 100) / 100
    return SaliencyError(
        f"a width of {width:.4g} in is too narrow for {error.what}: the least width is {least:.2f} in, "
        f"{function}(..., width={least:.2f})."
    )


def _least(board: Board, error: TooNarrow) -> float:
    """The width, in points, at which everything fits, found by widening until nothing complains."""
    while True:
        wider = board.width + board.columns * (error.needed - error.width + 0.01)
        board = dataclasses.replace(board, width=wider)
        try:
            _ = board.height
            return board.width
        except TooNarrow as another:
            error = another


def _columns(columns: int) -> int:
    try:
        count = operator.index(columns)
    except TypeError:
        count = 0
    if isinstance(columns, bool) or count < 1:
        raise SaliencyError(
            f"columns={columns!r}: give a number of at least 1, such as figure(..., columns=2)."
        )
    return count
