"""figure: from maps to a Figure that is ready for a paper."""

from __future__ import annotations

import dataclasses
import math
import reprlib
from collections.abc import Sequence
from typing import cast

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hf_saliency.errors import SaliencyError
from hf_saliency.render import points
from hf_saliency.render.colors import Colors
from hf_saliency.render.fallback import one_sheet
from hf_saliency.render.layout import Panel, Stack
from hf_saliency.render.marks import Highlight, Mark, Matrix
from hf_saliency.render.points import Box
from hf_saliency.render.saliency_figure import SaliencyFigure
from hf_saliency.render.wrap import TooNarrow
from hf_saliency.saliency_map import Normalization, SaliencyMap

Which = int | slice | str | Sequence[int | slice | str]

_FEW = 6  # up to so many targets, the default mark is a block of text for each
_MARGIN = 1.0  # points; half a stroke of a frame, so that the figure still lines up with the column of text


@one_sheet
def figure(
    maps: SaliencyMap | Sequence[SaliencyMap],
    mark: Mark | None = None,
    *,
    width: float | None = None,
    targets: Which | None = None,
    title: str | Sequence[str] | None = None,
    normalize: Normalization = "row_max",
    ax: Axes | None = None,
) -> Figure:
    """Draw one map, or several one below another in one colour scale, as a figure for print.

    The height follows from the content. Colours are limited by the tokens that are drawn and by no others. No
    window is opened, and neither pyplot nor rcParams are touched.

    Parameters
    ----------
    maps
        A map, or a list of them: methods, models or texts to be compared.
    mark
        ``Highlight()`` (the text in colour, a block for each target) or ``Matrix()`` (targets x tokens).
        Default: ``Highlight()`` for up to six targets, else ``Matrix()``.
    width
        In inches; 3.25 is a column of an ACL paper and 6.75 both. Default: ``rcParams["figure.figsize"]``, or
        the width of ``ax``.
    targets
        Which rows to draw: a number, a slice, a word of the text, or a list of these. Default: all.
    title
        One for each map. Default: the name of the method if there are several maps, else none.
    normalize
        Each row is divided by its ``"row_max"`` or ``"row_sum"`` over the tokens drawn, or by nothing
        (``"none"``). The legend says which.
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
        If something else than maps, a mark or a known normalisation is given, if no target is selected, or if
        the width is too narrow; the message says the least width.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> heat = explainer("Paris is the capital of France.")
    >>> hs.figure(heat, targets="capital", width=3.25).savefig("figure.pdf")
    """
    chosen = [_select(one, targets) for one in _as_list(maps)]
    drawn_by = _mark(mark, chosen)
    shown = [drawn_by.shown(one) for one in chosen]
    colors = Colors.of(shown, normalize)
    panels = [Panel(one, drawn_by, name) for one, name in zip(shown, _titles(title, chosen), strict=True)]
    if ax is None:
        return _new(panels, colors, _inches(width, mpl.rcParams["figure.figsize"][0]))
    return _into(ax, panels, colors, width)


def _new(panels: Sequence[Panel], colors: Colors, width: float) -> SaliencyFigure:
    stack = Stack(panels, colors, width * 72 - 2 * _MARGIN)
    wide, high = width * 72, _height(stack, width) + 2 * _MARGIN
    new = SaliencyFigure(figsize=(width, high / 72))
    new.set_layout_engine("none")

    def place(box: Box) -> Axes:
        x, y, w, h = box
        left, bottom = _MARGIN + x, high - _MARGIN - y - h
        ax = new.add_axes((left / wide, bottom / high, w / wide, h / high))
        ax.set_axis_off()
        return ax

    stack.draw(place)
    return new


def _into(ax: Axes, panels: Sequence[Panel], colors: Colors, width: float | None) -> Figure:
    wide, high = points.size(ax)
    inches = _inches(width, wide / 72)
    stack = Stack(panels, colors, inches * 72)
    height = _height(stack, inches)
    if height > high + 1e-6 or inches * 72 > wide + 1e-6:
        raise SaliencyError(
            f"the drawing is {inches:.2f} x {height / 72:.2f} in, but these axes are {wide / 72:.2f} x "
            f"{high / 72:.2f} in: make them larger, such as "
            f"Figure(figsize=({inches:.2f}, {height / 72 + 0.01:.2f})).add_axes((0, 0, 1, 1))."
        )

    def place(box: Box) -> Axes:
        x, y, w, h = box
        child = ax.inset_axes((x / wide, 1 - (y + h) / high, w / wide, h / high))
        child.set_axis_off()
        return child

    ax.set_axis_off()
    stack.draw(place)
    return cast(Figure, ax.figure)


def _height(stack: Stack, width: float) -> float:
    try:
        return stack.height
    except TooNarrow as error:
        around = width * 72 - stack.width
        least = math.ceil((_least(stack, error) + around) / 72 * 100) / 100
        raise SaliencyError(
            f"a width of {width:.4g} in is too narrow for {error.what}: the least width is {least:.2f} in, "
            f"figure(..., width={least:.2f})."
        ) from error


def _least(stack: Stack, error: TooNarrow) -> float:
    """The width, in points, at which everything fits, found by widening until nothing complains."""
    while True:
        stack = dataclasses.replace(stack, width=stack.width + error.needed - error.width + 0.01)
        try:
            _ = stack.height
            return stack.width
        except TooNarrow as another:
            error = another


def _inches(width: float | None, default: float) -> float:
    if width is None:
        return float(default)
    if isinstance(width, bool) or not isinstance(width, (int, float)) or not 0 < width < math.inf:
        raise SaliencyError(f"width={width!r}: give inches above 0, such as figure(..., width=3.25).")
    return float(width)


def _as_list(maps: SaliencyMap | Sequence[SaliencyMap]) -> list[SaliencyMap]:
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
    return one.select(*targets) if isinstance(targets, (list, tuple)) else one.select(cast(int, targets))


def _mark(mark: Mark | None, maps: Sequence[SaliencyMap]) -> Mark:
    if mark is None:
        return Highlight() if max(len(one.targets) for one in maps) <= _FEW else Matrix()
    if isinstance(mark, type) or not isinstance(mark, Mark):
        raise SaliencyError(
            f"mark={mark!r} is not a mark: choose Highlight() or Matrix(), as in figure(..., mark=Matrix())."
        )
    return mark


def _titles(title: str | Sequence[str] | None, maps: Sequence[SaliencyMap]) -> list[str]:
    if title is None:
        return [one.method.replace("_", " ") if len(maps) > 1 else "" for one in maps]
    titles = [title] if isinstance(title, str) else list(title)
    if len(titles) != len(maps):
        raise SaliencyError(
            f"{len(titles)} titles for {len(maps)} maps: give one for each, title={['...'] * len(maps)}."
        )
    return titles
