"""figure: from maps to a Figure that is ready for a paper."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, Unpack, cast, overload

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure

from hf_saliency.errors import SaliencyError, one_of, whole
from hf_saliency.maps.attachment import Attachment
from hf_saliency.maps.reduction import Columns, Normalization
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.maps.table import Table
from hf_saliency.render import points
from hf_saliency.render.drawing import drawing
from hf_saliency.render.files import SaliencyFigure
from hf_saliency.render.layout import AnyPanel, Panel, PanelGrid, Position
from hf_saliency.render.marks import Bars, Mark
from hf_saliency.render.panels import (
    Limit,
    Scale,
    Scales,
    TableMark,
    Which,
    as_tables,
    description,
    panels_of,
    selected,
    table_panels,
)
from hf_saliency.render.points import Box
from hf_saliency.render.settings import height_of, inches, settings, type_size
from hf_saliency.render.typeset.fonts import share_fonts
from hf_saliency.render.typeset.typeface import SMALLEST, TooNarrow

Maps = SaliencyMap | Table | Sequence[SaliencyMap] | Sequence[Table]
Marks = Mark | TableMark | Sequence[Mark] | Sequence[TableMark] | None
LegendPlace = bool | Position
Align = Literal["top", "center", "bottom"]

MARGIN = 1.0  # points; half a stroke of a frame, so that the figure still lines up with the column of text
_LONG = 60  # tokens, from which on an error says how to draw fewer
_SMALLEST_SHARE = 0.5  # of the size of type, down to which a drawing shrinks into its Axes


class FigureOptions(TypedDict, total=False):
    """What a figure takes by name, whatever it is drawn into; :func:`figure` says what it means."""

    width: float | str | None
    ncols: int
    targets: Which | None
    around: int | None
    title: str | Sequence[str] | None
    suptitle: str
    normalize: Normalization
    columns: Columns
    scale: Scale
    limit: Limit | None
    cmap: str | Colormap | None
    underline: bool
    legend: LegendPlace
    font: str | None
    agreement: bool
    align: Align
    shrink: bool


@overload
def figure(
    maps: Maps, mark: Marks = None, *, ax: None = None, **options: Unpack[FigureOptions]
) -> SaliencyFigure: ...
@overload
def figure(maps: Maps, mark: Marks = None, *, ax: Axes, **options: Unpack[FigureOptions]) -> Axes: ...
@share_fonts
def figure(
    maps: Maps,
    mark: Marks = None,
    *,
    width: float | str | None = None,
    ncols: int = 1,
    targets: Which | None = None,
    around: int | None = None,
    title: str | Sequence[str] | None = None,
    suptitle: str = "",
    normalize: Normalization = "row_max",
    columns: Columns = "all",
    scale: Scale = "shared",
    limit: Limit | None = None,
    cmap: str | Colormap | None = None,
    underline: bool = False,
    legend: LegendPlace = True,
    font: str | None = None,
    agreement: bool = False,
    ax: Axes | None = None,
    align: Align = "top",
    shrink: bool = False,
) -> SaliencyFigure | Axes:
    """Draw one map, or several as panels, as a figure for print.

    The height follows from the content. Colours are limited by the tokens that are drawn and by no others. No
    window is opened, and neither pyplot nor rcParams are touched. On a dark ``rcParams["figure.facecolor"]``, zero is
    dark and strong scores are bright.

    Parameters
    ----------
    maps
        A map, or a list of them: methods, models or texts to be compared. Models with different tokenizers
        show their own tokens; :func:`hf_saliency.aligned` gives them the same words before. Or a
        :class:`hf_saliency.Table`, or several: numbers about many maps.
    mark
        ``Highlight()`` (the text in colour, a block for each target), ``Matrix()`` (targets x tokens),
        ``Bars()`` or ``Arcs()``, or a list with one for each map. Default: ``Highlight()`` for up to six
        targets, and ``Matrix()`` for more. Tables are drawn by ``Ranking()``, ``Profile()``, ``Agreements()``,
        ``Curves()`` and ``Dots()``, which the columns decide by default.
    width
        In inches, or a venue with its type size: ``"acl"``, ``"acl-2col"``, ``"neurips"``, ``"icml"``,
        ``"slide"`` and others (an unknown name prints the list). Default:
        ``rcParams["figure.figsize"]``, or the width of ``ax``.
    ncols
        How many panels stand side by side.
    targets
        Which rows to draw: a number, a slice, a word of the text, or a list of these. Default: all.
    around
        Draw only so many tokens before and after each target, with an ellipsis where text is left out.
        Default: the whole text. :func:`hf_saliency.sheets` sets a long one across pages instead.
    title
        One for each map. Default: what tells several maps apart (method, model, arguments).
    suptitle
        Stands above all panels.
    normalize
        Each row is divided by its ``"row_max"`` or ``"row_sum"`` over the tokens drawn, or by nothing
        (``"none"``). The legend says which.
    columns
        Which tokens count in each row: ``"all"``, ``"context"`` (without the target's own, which may outshine the
        others) or ``"prompt"`` (what stands before the target or its text). The rest is drawn as zero.
    scale
        One colour scale ``"shared"`` by all panels, or a ``"separate"`` one with its legend for each.
    limit
        The magnitude that is drawn at full strength: a number, or maps whose largest score it is, so that two
        figures share a scale. A score beyond it has a small triangle in its corner. Default: the largest one drawn.
    cmap
        A colormap of Matplotlib or its name, in place of the package's colours: sequential for unsigned scores,
        diverging for signed ones.
    underline
        Underline negative scores, so that signs survive grey print.
    legend
        ``True`` for a line below the panels, ``"top"``, ``"right"``, or ``False`` for none.
    font
        ``"serif"`` for an installed face that goes with Times, or the name of a family that Matplotlib lists. Default:
        ``rcParams["font.family"]``.
    agreement
        Say below each panel but the first how far it agrees with the first, as
        :func:`hf_saliency.agreement` measures it on all tokens of the targets drawn.
    ax
        Axes to draw into instead of a new figure. Their size must be final, since text is broken to fit it
        (:func:`hf_saliency.measure` says which size is needed); their frame is switched off, their limits stay.
        Saving is then up to the caller.
    align
        Where in taller ``ax`` the drawing stands: ``"top"``, ``"center"`` or ``"bottom"``.
    shrink
        Let the type get smaller, down to half its size, until the drawing fits into ``ax``.

    Returns
    -------
    SaliencyFigure or matplotlib.axes.Axes
        A :class:`~hf_saliency.render.files.SaliencyFigure`, or ``ax``.

    Raises
    ------
    SaliencyError
        If anything but maps, marks or known options is given, if no target is selected, if maps that
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
    one_of(align, ("top", "center", "bottom"), "align")
    scales = Scales(normalize, scale, limit, cmap, underline, columns)
    position = _position(legend)
    tables = as_tables(maps)
    chosen = selected(maps, targets) if tables is None else []
    with type_size(width, font):
        panels: list[Panel] = []
        if tables is None:
            panels = panels_of(
                chosen,
                mark,
                title=title,
                scales=scales,
                ground=_ground(ax),
                agreement=agreement,
                around=around,
            )
        drawn: Sequence[AnyPanel] = panels if tables is None else table_panels(tables, mark, title)
        side_by_side = min(whole(ncols, "ncols"), len(drawn))
        plan = _Plan(drawn, side_by_side, suptitle, position)
        if ax is not None:
            return _into(ax, plan, width, align, shrink)
        wide = inches(width, mpl.rcParams["figure.figsize"][0])
        new = _new(plan, wide)
    new.description = description(drawn)
    _warn_if_tall(new, width)
    if tables is not None:
        return new
    options: dict[str, Any] = {
        "ncols": side_by_side,
        "around": around,
        "scale": scale,
        "agreement": agreement,
    }
    if suptitle:
        options["suptitle"] = suptitle
    if columns != "all":
        options["columns"] = columns
    if font is not None:
        options["font"] = font
    new.attachment = Attachment(
        tuple(chosen), drawing(panels, normalize, width if isinstance(width, str) else wide, **options)
    )
    return new


@share_fonts
def measure(
    maps: Maps,
    mark: Marks = None,
    *,
    width: float | str | None = None,
    ncols: int = 1,
    targets: Which | None = None,
    around: int | None = None,
    title: str | Sequence[str] | None = None,
    suptitle: str = "",
    normalize: Normalization = "row_max",
    columns: Columns = "all",
    scale: Scale = "shared",
    legend: LegendPlace = True,
    font: str | None = None,
) -> tuple[float, float]:
    """How large :func:`hf_saliency.figure` draws into Axes, before a mosaic is laid out.

    Parameters
    ----------
    maps
        As in :func:`hf_saliency.figure`, as all other arguments.
    mark
        A mark, or one for each map.
    width
        In inches, or a venue.
    ncols
        How many panels stand side by side.
    targets
        Which rows to draw.
    around
        How many tokens around each target.
    title
        One for each map.
    suptitle
        Stands above all panels.
    normalize
        How each row is scaled.
    columns
        Which tokens count in each row.
    scale
        ``"shared"`` or ``"separate"``.
    legend
        Where the legend stands.
    font
        The family of type.

    Returns
    -------
    tuple of (float, float)
        Width and height in inches.

    Raises
    ------
    SaliencyError
        As :func:`hf_saliency.figure`.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> heat = hs.Explainer(*hs.load_demo())("Paris is the capital of France.")
    >>> width, height = hs.measure(heat, hs.Highlight(), targets="capital", width=3.0)
    >>> width
    3.0
    """
    with type_size(width, font):
        scales = Scales(normalize, scale, columns=columns)
        tables = as_tables(maps)
        panels: Sequence[AnyPanel] = (
            panels_of(maps, mark, targets=targets, title=title, scales=scales, ground="white", around=around)
            if tables is None
            else table_panels(tables, mark, title)
        )
        wide = inches(width, mpl.rcParams["figure.figsize"][0])
        plan = _Plan(panels, min(whole(ncols, "ncols"), len(panels)), suptitle, _position(legend))
        return wide, _height(plan.grid(wide * 72), wide) / 72


@dataclass(frozen=True)
class _Plan:
    """What is drawn, before its width is known."""

    panels: Sequence[AnyPanel]
    columns: int
    suptitle: str
    legend: Position | None

    def grid(self, width: float) -> PanelGrid:
        """The layout at a width in points."""
        # Fresh panels: what they have measured holds for one size of type.
        fresh = [dataclasses.replace(cast(Any, panel)) for panel in self.panels]
        grid = PanelGrid(fresh, width, self.columns, self.suptitle, self.legend)
        level = [
            (i, panel, panel.mark)
            for i, panel in enumerate(fresh)
            if isinstance(panel, Panel)
            and isinstance(panel.mark, Bars)
            and not panel.mark.vertical
            and not panel.legend
        ]
        if len(level) < 2:
            return grid

        def shared(marks: Sequence[Bars], name: str, least: float | None) -> list[Bars]:
            """The marks with a size, in inches, where they have none of their own."""
            return [
                m if getattr(m, name) else dataclasses.replace(cast(Any, m), **{name: least}) for m in marks
            ]

        # Bars of one scale have one zero and one unit length: all labels get the same room, and all bars.
        lying = [mark.lying(panel.saliency_map, panel.colors, grid.column) for _, panel, mark in level]
        labels = (max(bars.label_width for bars in lying) + 0.01) / 72
        marks = shared([mark for _, _, mark in level], "labels", labels)
        lying = [
            mark.lying(panel.saliency_map, panel.colors, grid.column)
            for mark, (_, panel, _) in zip(marks, level, strict=True)
        ]
        narrowest = min(bars.field for bars in lying) / 72
        if narrowest > 0:
            marks = shared(marks, "field", narrowest)
        panels = list(fresh)
        for (i, panel, _), mark in zip(level, marks, strict=True):
            panels[i] = dataclasses.replace(panel, mark=mark)
        return dataclasses.replace(grid, panels=panels)


def _warn_if_tall(new: SaliencyFigure, width: float | str | None) -> None:
    room, high = height_of(width, None), float(new.get_size_inches()[1])
    if isinstance(width, str) and high > room + 0.01:
        warnings.warn(
            f"this figure is {high:.2f} in high, and a page of {width!r} holds {room:.2f} in: draw fewer targets or "
            f"tokens, figure(..., targets=0, around=20), or several pages, sheets(..., width={width!r}).",
            stacklevel=4,
        )


def _position(legend: LegendPlace) -> Position | None:
    one_of(legend, (True, False, "bottom", "top", "right"), "legend")
    if isinstance(legend, bool):
        return "bottom" if legend else None
    return legend


def _ground(ax: Axes | None) -> Any:
    if ax is None:
        return mpl.rcParams["figure.facecolor"]
    return cast(Figure, ax.get_figure(root=True)).get_facecolor()


def _new(plan: _Plan, width: float) -> SaliencyFigure:
    grid = plan.grid(width * 72 - 2 * MARGIN)
    new = blank(width, _height(grid, width) + 2 * MARGIN)
    drawn = grid.draw(place_in(new))
    new.panels = tuple(
        (ax, panel.mark.shown(panel.saliency_map))
        for ax, panel in zip(drawn, plan.panels, strict=True)
        if isinstance(panel, Panel)
    )
    return new


def blank(width: float, height: float) -> SaliencyFigure:
    """An empty figure, so many inches wide and so many points high."""
    new = SaliencyFigure(figsize=(width, height / 72))
    new.set_layout_engine("none")
    return new


def place_in(new: Figure) -> Any:
    """A function that makes Axes for a box in points from the upper left corner inside the margins."""
    wide, high = new.get_size_inches() * 72

    def place(box: Box) -> Axes:
        x, y, w, h = box
        left, bottom = MARGIN + x, high - MARGIN - y - h
        ax = new.add_axes((left / wide, bottom / high, w / wide, h / high))
        ax.set_axis_off()
        return ax

    return place


def _into(ax: Axes, plan: _Plan, width: float | str | None, align: Align, shrink: bool) -> Axes:
    wide, high = points.size(ax)
    across = inches(width, wide / 72)
    base = float(mpl.rcParams["font.size"])
    size = base
    while True:
        with settings({"font.size": size}):
            try:
                grid = plan.grid(across * 72)
                height = _height(grid, across)
                fits = height <= high + 1e-6 and across * 72 <= wide + 1e-6
            except SaliencyError:
                if not shrink:
                    raise
                height, fits = math.inf, False
            if fits:
                break
            smaller = size - 0.25
            if not shrink or smaller < max(SMALLEST, _SMALLEST_SHARE * base):
                raise _too_small(across, height, wide, high)
            size = smaller
    with settings({"font.size": size}):
        start = {"top": 0.0, "center": (high - height) / 2, "bottom": high - height}[align]

        def place(box: Box) -> Axes:
            x, y, w, h = box
            child = ax.inset_axes((x / wide, 1 - (start + y + h) / high, w / wide, h / high))
            child.set_axis_off()
            return child

        ax.set_axis_off()
        plan.grid(across * 72).draw(place)
    return ax


def _too_small(across: float, height: float, wide: float, high: float) -> SaliencyError:
    if math.isinf(height):
        return SaliencyError(
            f"these axes of {wide / 72:.2f} x {high / 72:.2f} in are too narrow for the drawing even at half the size "
            "of type: make them wider, or draw fewer tokens, figure(..., around=20)."
        )
    return SaliencyError(
        f"the drawing is {across:.2f} x {height / 72:.2f} in, but these axes are {wide / 72:.2f} x "
        f"{high / 72:.2f} in: make them larger, such as "
        f"Figure(figsize=({across:.2f}, {height / 72 + 0.01:.2f})).add_axes((0, 0, 1, 1)), or let the type get "
        "smaller, figure(..., ax=ax, shrink=True)."
    )


def _height(grid: PanelGrid, width: float) -> float:
    try:
        return grid.height
    except TooNarrow as error:
        raise too_narrow(grid, width, error, "figure") from error


def too_narrow(grid: PanelGrid, width: float, error: TooNarrow, function: str) -> SaliencyError:
    """An error with the least width at which everything fits, and the call that works."""
    around = width * 72 - grid.width
    least = math.ceil((_least(grid, error) + around) / 72 * 100) / 100
    longest = max((len(p.saliency_map.tokens) for p in grid.panels if isinstance(p, Panel)), default=0)
    fewer = ", or draw fewer tokens, figure(..., targets=0, around=10)" if longest > _LONG else ""
    return SaliencyError(
        f"a width of {width:.4g} in is too narrow for {error.what}: the least width is {least:.2f} in, "
        f"{function}(..., width={least:.2f}){fewer}."
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
