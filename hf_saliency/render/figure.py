"""figure: from maps to a Figure that is ready for a paper."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict, Unpack, cast, overload

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hf_saliency.errors import SaliencyError, one_of, warn, whole
from hf_saliency.maps.attachment import Attachment
from hf_saliency.maps.reduction import Columns, Normalization
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.maps.table import Table
from hf_saliency.render.drawing import drawing
from hf_saliency.render.files import SaliencyFigure
from hf_saliency.render.layout import AnyPanel, Panel, Position
from hf_saliency.render.marks import Mark
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
from hf_saliency.render.plan import Align, Plan, draw_into, new_figure
from hf_saliency.render.settings import height_of, inches, type_size
from hf_saliency.render.typeset.fonts import share_fonts

Maps = SaliencyMap | Table | Sequence[SaliencyMap] | Sequence[Table]
Marks = Mark | TableMark | Sequence[Mark] | Sequence[TableMark] | None
LegendPlace = bool | Position


class FigureOptions(TypedDict, total=False):
    """Keyword arguments of a figure, whatever it is drawn into; :func:`figure` documents them."""

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
@overload
def figure(
    maps: Maps, mark: Marks = None, *, ax: Sequence[Axes] | NDArray[Any], **options: Unpack[FigureOptions]
) -> list[Axes]: ...
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
    ax: Axes | Sequence[Axes] | NDArray[Any] | None = None,
    align: Align = "top",
    shrink: bool = False,
) -> SaliencyFigure | Axes | list[Axes]:
    """Draw one map, or several as panels, as a figure for print.

    The height follows from the content. Only the tokens that are drawn determine the colour scale. No window is
    opened, and neither pyplot nor rcParams are touched. On a dark ``rcParams["figure.facecolor"]``, zero is dark and
    strong scores are bright.

    Parameters
    ----------
    maps
        A map, or a list of maps of different methods, models or texts. Models with different tokenizers show
        their own tokens, unless :func:`hf_saliency.aligned` merges these into common words first. Or a
        :class:`hf_saliency.Table` or a list of tables, which hold numbers about many maps.
    mark
        ``Highlight()`` (the text in colour, a block for each target), ``Matrix()`` (targets x tokens),
        ``Bars()`` or ``Arcs()``, or a list with one for each map. Default: ``Highlight()`` for up to six
        targets, and ``Matrix()`` for more. Tables are drawn by ``Ranking()``, ``Profile()``, ``Agreements()``,
        ``Curves()`` or ``Dots()``; the default depends on the columns of the table.
    width
        A number of inches, or a venue with its font size: ``"acl"``, ``"acl-2col"``, ``"neurips"``, ``"icml"``,
        ``"slide"`` and others (the error for an unknown name lists them). Default:
        ``rcParams["figure.figsize"]``, or the width of ``ax``.
    ncols
        Number of panels side by side.
    targets
        Which rows to draw: a number, a slice, a word of the text, or a list of these. Default: all.
    around
        Draw only this many tokens before and after each target, with an ellipsis where text is left out.
        Default: the whole text. :func:`hf_saliency.sheets` spreads a long text over several pages instead.
    title
        One for each map. Default: the method, model or arguments in which several maps differ.
    suptitle
        A title above all panels.
    normalize
        Each row is divided by its ``"row_max"`` or ``"row_sum"`` over the tokens drawn, or by nothing
        (``"none"``). The legend names the choice.
    columns
        Which tokens count in each row: ``"all"``, ``"context"`` (all but the target's own, which may outshine the
        others) or ``"prompt"`` (those before the target or before its text). All others are drawn as zero.
    scale
        One colour scale ``"shared"`` by all panels, or a ``"separate"`` one with its legend for each.
    limit
        The magnitude that is drawn at full strength: a number, or maps whose largest score is taken, so that two
        figures share a scale. A score beyond it has a small triangle in its corner. Default: the largest score drawn.
    cmap
        A Matplotlib colormap or its name, instead of the package's colours: sequential for unsigned scores,
        diverging for signed ones.
    underline
        Underline negative scores, so that signs survive grey print.
    legend
        ``True`` for a line below the panels, ``"top"``, ``"right"``, or ``False`` for none. With several ``ax``, the
        last one holds the legend (the first one, for ``"top"``).
    font
        ``"serif"`` for an installed face that goes with Times, or the name of a family that Matplotlib lists. Default:
        ``rcParams["font.family"]``.
    agreement
        Print below each panel but the first how well it agrees with the first, as
        :func:`hf_saliency.agreement` measures it on all tokens of the targets drawn.
    ax
        Axes to draw into instead of a new figure, or a list or array of Axes, one for each map, which share scale and
        legend. Their size must be final, since lines are broken to fit it (:func:`hf_saliency.measure` returns the
        size needed). Their frame is switched off, and their limits are kept. Saving is then up to the caller.
    align
        Where to put the drawing if ``ax`` is taller: ``"top"``, ``"center"`` or ``"bottom"``.
    shrink
        Reduce the font size, down to half, until the drawing fits into ``ax``.

    Returns
    -------
    SaliencyFigure, matplotlib.axes.Axes or list of Axes
        A :class:`~hf_saliency.render.files.SaliencyFigure`, or ``ax``.

    Raises
    ------
    SaliencyError
        If anything but maps, marks or known options is given, if no target is selected, if maps that
        are compared do not share a text, or if the width is too narrow; the message names the smallest width that fits.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> heat = explainer("Paris is the capital of France.")
    >>> hs.figure(heat, targets="capital", width="acl").savefig("figure.pdf")
    """
    axes = None if ax is None else _axes(ax)
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
                ground=_ground(axes),
                agreement=agreement,
                around=around,
            )
        drawn: Sequence[AnyPanel] = panels if tables is None else table_panels(tables, mark, title)
        side_by_side = min(whole(ncols, "ncols"), len(drawn))
        plan = Plan(drawn, side_by_side, suptitle, position)
        if axes is not None:
            _check_places(axes, plan)
            draw_into(axes, plan, width, align, shrink)
            return ax if isinstance(ax, Axes) else axes
        wide = inches(width, mpl.rcParams["figure.figsize"][0])
        new = new_figure(plan, wide)
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
    """Return the size of the drawing that :func:`hf_saliency.figure` makes in Axes, to plan a mosaic.

    Parameters
    ----------
    maps
        As in :func:`hf_saliency.figure`, like all other arguments.
    mark
        A mark, or one for each map.
    width
        A number of inches or a venue.
    ncols
        Number of panels side by side.
    targets
        Which rows to draw.
    around
        Number of tokens before and after each target.
    title
        One for each map.
    suptitle
        A title above all panels.
    normalize
        How each row is scaled.
    columns
        Which tokens count in each row.
    scale
        ``"shared"`` or ``"separate"``.
    legend
        Position of the legend.
    font
        The font family.

    Returns
    -------
    tuple of (float, float)
        Width and height in inches.

    Raises
    ------
    SaliencyError
        As in :func:`hf_saliency.figure`.

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
        plan = Plan(panels, min(whole(ncols, "ncols"), len(panels)), suptitle, _position(legend))
        return wide, plan.height(wide) / 72


def _warn_if_tall(new: SaliencyFigure, width: float | str | None) -> None:
    room, high = height_of(width, None), float(new.get_size_inches()[1])
    if isinstance(width, str) and high > room + 0.01:
        warn(
            f"this figure is {high:.2f} in high, and a page of {width!r} holds {room:.2f} in: draw fewer targets or "
            f"tokens, figure(..., targets=0, around=20), or several pages, sheets(..., width={width!r}).",
            UserWarning,
        )


def _position(legend: LegendPlace) -> Position | None:
    one_of(legend, (True, False, "bottom", "top", "right"), "legend")
    if isinstance(legend, bool):
        return "bottom" if legend else None
    return legend


def _axes(ax: Any) -> list[Axes]:
    """The Axes to draw into, as a list; ``ax`` may be the array that ``plt.subplots`` returns."""
    axes = [ax] if isinstance(ax, Axes) else list(ax.flat) if isinstance(ax, np.ndarray) else ax
    if isinstance(axes, (list, tuple)) and axes and all(isinstance(each, Axes) for each in axes):
        return list(axes)
    raise SaliencyError(
        f"ax={type(ax).__name__} is neither Matplotlib Axes nor a list of Axes: pass "
        "Figure().add_axes((0, 0, 1, 1)), or omit ax."
    )


def _check_places(axes: Sequence[Axes], plan: Plan) -> None:
    if len(axes) == 1:
        return
    if len(axes) != len(plan.panels):
        raise SaliencyError(
            f"ax= has {len(axes)} Axes for {len(plan.panels)} maps: give one for each, or one for all."
        )
    if plan.suptitle:
        raise SaliencyError(
            f"suptitle={plan.suptitle!r} cannot be placed above several Axes: call suptitle() of your own figure."
        )


def _ground(axes: Sequence[Axes] | None) -> Any:
    if axes is None:
        return mpl.rcParams["figure.facecolor"]
    return cast(Figure, axes[0].get_figure(root=True)).get_facecolor()
