"""figure: from maps to a Figure that is ready for a paper."""

from __future__ import annotations

import dataclasses
import math
import reprlib
from collections.abc import Sequence
from typing import Any, Literal, cast

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hf_saliency.errors import SaliencyError, whole
from hf_saliency.maps import compare
from hf_saliency.maps.attachment import Attachment
from hf_saliency.maps.saliency_map import Normalization, SaliencyMap
from hf_saliency.render import points
from hf_saliency.render.colors import Colors, method_name
from hf_saliency.render.files import SaliencyFigure, drawing
from hf_saliency.render.layout import Panel, PanelGrid
from hf_saliency.render.marks import Highlight, Mark, Matrix
from hf_saliency.render.passage import excerpt
from hf_saliency.render.points import Box
from hf_saliency.render.typeset.fonts import share_fonts
from hf_saliency.render.typeset.wrap import TooNarrow
from hf_saliency.render.venues import inches, type_size

Which = int | slice | str | Sequence[int | slice | str]
Scale = Literal["shared", "own"]

_FEW = 6  # up to so many targets, the default mark is a block of text for each


def panels_of(
    maps: SaliencyMap | Sequence[SaliencyMap],
    mark: Mark | Sequence[Mark] | None,
    *,
    targets: Which | None,
    title: str | Sequence[str] | None,
    normalize: Normalization,
    scale: Scale,
    agreement: bool,
    around: int | None,
) -> list[Panel]:
    """The panels of a figure, as :func:`hf_saliency.figure` documents the arguments."""
    chosen = selected(maps, targets)
    marks = _marks(mark, chosen)
    shown = [drawn_by.shown(one) for drawn_by, one in zip(marks, chosen, strict=True)]
    whole = [len(one.tokens) for one in shown]
    if around is not None:
        shown = [excerpt(one, around) for one in shown]
    titles = _titles(title, chosen)
    notes = [_trimmed(one, count) for one, count in zip(shown, whole, strict=True)]
    if agreement:
        notes = _compared(chosen, titles, notes)
    return [
        Panel(*parts, legend=scale == "own")
        for parts in zip(shown, marks, _colors(shown, normalize, scale), titles, notes, strict=True)
    ]


def selected(maps: SaliencyMap | Sequence[SaliencyMap], targets: Which | None) -> list[SaliencyMap]:
    """The maps with the targets that are drawn, and all of their tokens."""
    return [_select(one, targets) for one in as_list(maps)]


def as_list(maps: Any) -> list[SaliencyMap]:
    """One map or several as a list."""
    found = [maps] if isinstance(maps, SaliencyMap) else maps
    several = isinstance(found, (list, tuple))
    if several and found and all(isinstance(one, SaliencyMap) for one in found):
        return list(found)
    given = f"{type(maps).__name__} {reprlib.repr(maps)}"
    raise SaliencyError(
        f"figure() draws a SaliencyMap or a list of them, not the {given}: "
        "figure(Explainer(model, tokenizer)(text))."
    )


def _select(one: SaliencyMap, targets: Which | None) -> SaliencyMap:
    if not one.targets:
        raise SaliencyError("this map has no target, so there is nothing to draw: explain at least one.")
    if targets is None:
        return one
    several = isinstance(targets, (list, tuple, range, np.ndarray))
    return one.select(*cast(Sequence[int], targets)) if several else one.select(cast(int, targets))


def _marks(mark: Any, maps: Sequence[SaliencyMap]) -> list[Mark]:
    if mark is None:
        mark = Highlight() if max(len(one.targets) for one in maps) <= _FEW else Matrix()
    marks = list(mark) if isinstance(mark, (list, tuple)) else [mark] * len(maps)
    for each in marks:
        if isinstance(each, type) or not isinstance(each, Mark):
            raise SaliencyError(
                f"mark={each!r} is not a mark: choose Highlight(), Matrix(), Bars() or Arcs(), as in "
                "figure(..., mark=Matrix())."
            )
    if len(marks) != len(maps):
        raise SaliencyError(f"{len(marks)} marks for {len(maps)} maps: give one for all, or one for each.")
    return marks


def _titles(title: Any, maps: Sequence[SaliencyMap]) -> list[str]:
    if title is None:
        return [method_name(one.method) if len(maps) > 1 else "" for one in maps]
    titles = list(title) if isinstance(title, (list, tuple)) else [title]
    for each in titles:
        if not isinstance(each, str):
            raise SaliencyError(f"title={title!r}: a title is a string, not {type(each).__name__}.")
    if len(titles) != len(maps):
        raise SaliencyError(
            f"{len(titles)} titles for {len(maps)} maps: give one for each, title={['...'] * len(maps)}."
        )
    return titles


def _colors(shown: Sequence[SaliencyMap], normalize: Normalization, scale: Scale) -> list[Colors]:
    if scale not in ("shared", "own"):
        raise SaliencyError(f"scale={scale!r}: choose 'shared' (one for all panels) or 'own' (one for each).")
    if scale == "own":
        return [Colors.of([one], normalize) for one in shown]
    return [Colors.of(shown, normalize)] * len(shown)


def _trimmed(one: SaliencyMap, whole: int) -> str:
    kept = len(one.tokens)
    return (
        f"{kept} of {whole} tokens, around the target{'s' * (len(one.targets) > 1)}" if kept < whole else ""
    )


def _compared(maps: Sequence[SaliencyMap], titles: Sequence[str], notes: Sequence[str]) -> list[str]:
    """The notes, with a line for each map but the first on how far it agrees with that."""
    if len(maps) < 2:
        raise SaliencyError(
            "agreement=True compares maps, but there is only one: figure([one, other], agreement=True)."
        )
    lines = [f"{compare.agreement(maps[0], one)} with {titles[0]}" for one in maps[1:]]
    return [notes[0], *("\n".join(filter(None, pair)) for pair in zip(lines, notes[1:], strict=True))]


MARGIN = 1.0  # points; half a stroke of a frame, so that the figure still lines up with the column of text


@share_fonts
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
        A :class:`~hf_saliency.render.files.SaliencyFigure`, or the figure of ``ax``.

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
        side_by_side = min(whole(columns, "columns"), len(panels))
        if ax is not None:
            return _into(ax, panels, width, side_by_side)
        wide = inches(width, mpl.rcParams["figure.figsize"][0])
        new = _new(panels, wide, side_by_side)
    settings = {"columns": side_by_side, "around": around, "scale": scale, "agreement": agreement}
    new.attachment = Attachment(
        tuple(chosen), drawing(panels, normalize, width if isinstance(width, str) else wide, **settings)
    )
    return new


def _new(panels: Sequence[Panel], width: float, columns: int) -> SaliencyFigure:
    grid = PanelGrid(panels, width * 72 - 2 * MARGIN, columns)
    new = blank(width, _height(grid, width) + 2 * MARGIN)
    grid.draw(place_in(new))
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
    grid = PanelGrid(panels, across * 72, columns)
    height = _height(grid, across)
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
    grid.draw(place)
    return cast(Figure, ax.figure)


def _height(grid: PanelGrid, width: float) -> float:
    try:
        return grid.height
    except TooNarrow as error:
        raise too_narrow(grid, width, error, "figure") from error


def too_narrow(grid: PanelGrid, width: float, error: TooNarrow, function: str) -> SaliencyError:
    """What a user is told: the least width at which everything fits, and the call that works."""
    around = width * 72 - grid.width
    least = math.ceil((_least(grid, error) + around) / 72 * 100) / 100
    return SaliencyError(
        f"a width of {width:.4g} in is too narrow for {error.what}: the least width is {least:.2f} in, "
        f"{function}(..., width={least:.2f})."
    )


def _least(grid: PanelGrid, error: TooNarrow) -> float:
    """The width, in points, at which everything fits, found by widening until nothing complains."""
    while True:
        wider = grid.width + grid.columns * (error.needed - error.width + 0.01)
        grid = dataclasses.replace(grid, width=wider)
        try:
            _ = grid.height
            return grid.width
        except TooNarrow as another:
            error = another
