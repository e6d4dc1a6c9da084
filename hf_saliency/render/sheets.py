"""sheets: a drawing that is longer than a page, as one figure for each page."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import IO, Any, cast, overload

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure

from hf_saliency.errors import SaliencyError
from hf_saliency.maps import attachment
from hf_saliency.maps.attachment import KEY, Attachment, Provenance
from hf_saliency.maps.reduction import Normalization
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.render.drawing import drawing
from hf_saliency.render.files import SETTINGS, SaliencyFigure, embedded, write
from hf_saliency.render.layout import LEGEND_GAP, Legend, Panel, PanelGrid, frames_of
from hf_saliency.render.marks import Divisible, Highlight, Mark, Matrix, Strip
from hf_saliency.render.marks.mark import draw_strips
from hf_saliency.render.panels import Scales, Which, default_marks, panels_of, selected
from hf_saliency.render.plan import MARGIN, blank, place_in, too_narrow
from hf_saliency.render.points import scaled
from hf_saliency.render.settings import height_of, inches, settings, type_size
from hf_saliency.render.typeset.fonts import share_fonts
from hf_saliency.render.typeset.typeface import TooNarrow

_PANEL_GAP = 9.0  # points


@dataclass(frozen=True)
class Sheets(Sequence[SaliencyFigure]):
    """One figure for each page, in order; all can be saved as one PDF file."""

    figures: tuple[SaliencyFigure, ...]
    attachment: Attachment | None = None

    @overload
    def __getitem__(self, index: int) -> SaliencyFigure: ...
    @overload
    def __getitem__(self, index: slice) -> Sheets: ...
    def __getitem__(self, index: int | slice) -> SaliencyFigure | Sheets:
        pages = self.figures[index]
        return Sheets(pages, self.attachment) if isinstance(pages, tuple) else pages

    def __len__(self) -> int:
        return len(self.figures)

    def savefig(
        self, fname: str | os.PathLike[str] | IO[bytes], *, provenance: Provenance = "map", **kwargs: Any
    ) -> None:
        """Write all pages to one PDF file, with TrueType fonts, without a date, the same bytes on every run.

        Parameters
        ----------
        fname
            A path that ends in ``.pdf``, or a binary file.
        provenance
            The metadata in the file, as in
            :meth:`~hf_saliency.render.files.SaliencyFigure.savefig`.
        **kwargs
            ``metadata``, and as in :meth:`matplotlib.figure.Figure.savefig`.

        Raises
        ------
        SaliencyError
            If the format is not PDF, or the path cannot be written.

        Examples
        --------
        >>> import hf_saliency as hs
        >>> heat = hs.Explainer(*hs.load_demo())("the formal study of grammar is important")
        >>> hs.sheets(heat, hs.Highlight(), width="acl-2col").savefig("appendix.pdf")
        """
        kind = kwargs.pop("format", None)
        if kind is None and isinstance(fname, (str, os.PathLike)):
            kind = Path(fname).suffix.removeprefix(".")
        if (kind or "pdf").lower() != "pdf":
            raise SaliencyError(
                f"several pages are saved as one pdf, not as {kind!r}: savefig('pages.pdf'), or save each page, "
                f"as in sheets[0].savefig('page-1.{kind}')."
            )
        level = attachment.checked(provenance)
        carried = attachment.dumps(self.attachment, level) if self.attachment else ""
        metadata = {"CreationDate": None, **(kwargs.pop("metadata", None) or {})}
        buffer = BytesIO()
        with (
            settings(SETTINGS),
            PdfPages(buffer, metadata=metadata) as pages,
        ):
            if carried:
                pages.infodict()[KEY] = carried
            for each in self.figures:
                with embedded(each, "pdf"):
                    Figure.savefig(each, pages, format="pdf", **kwargs)
        write(fname, "pdf", buffer.getvalue())


@share_fonts
def sheets(
    maps: SaliencyMap | Sequence[SaliencyMap],
    mark: Mark | Sequence[Mark] | None = None,
    *,
    width: float | str | None = None,
    height: float | None = None,
    targets: Which | None = None,
    title: str | Sequence[str] | None = None,
    normalize: Normalization = "row_max",
    font: str | None = None,
) -> Sheets:
    """Draw maps that are too long for one page, as a figure for each page.

    The maps follow one below another and share one colour scale, whose legend is on every page. Pages break text
    between lines and horizontal bars between tokens. A matrix, arcs and vertical bars stay on one page. Every row is
    normalised as a whole, over all pages.

    Parameters
    ----------
    maps
        A map, or a list of them.
    mark
        As in :func:`hf_saliency.figure`. If a matrix does not fit on a page, the default is running text.
    width
        A number of inches or a venue, as in :func:`hf_saliency.figure`.
    height
        Height of a page in inches; the last page is only as high as needed. Default: the height of the venue's text
        block, or the height of ``rcParams["figure.figsize"]`` if the width is a number.
    targets
        As in :func:`hf_saliency.figure`.
    title
        As in :func:`hf_saliency.figure`.
    normalize
        As in :func:`hf_saliency.figure`.
    font
        As in :func:`hf_saliency.figure`.

    Returns
    -------
    Sheets
        A sequence of figures, with a ``savefig`` method that writes all of them to one PDF file.

    Raises
    ------
    SaliencyError
        As in :func:`hf_saliency.figure`, and if a part that may not be broken is higher than a page; the
        message names the smallest height that fits.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> heat = hs.Explainer(*hs.load_demo())("the formal study of grammar is important")
    >>> hs.sheets(heat, hs.Highlight(), width=6.5, height=9).savefig("appendix.pdf")
    """
    chosen = selected(maps, targets)
    if mark is None and not all(isinstance(each, Highlight) for each in default_marks(chosen)):
        try:
            return sheets(
                chosen, Matrix(), width=width, height=height, title=title, normalize=normalize, font=font
            )
        except SaliencyError:  # the matrix does not fit on a page
            mark = Highlight()
    with type_size(width, font):
        panels = panels_of(
            chosen,
            mark,
            title=title,
            scales=Scales(normalize),
            ground=mpl.rcParams["figure.facecolor"],
        )
        across, down = inches(width, mpl.rcParams["figure.figsize"][0]), height_of(width, height)
        legend = Legend(panels[0].colors, frames_of([panel.saliency_map for panel in panels]))
        points_wide = across * 72 - 2 * MARGIN
        try:
            below = scaled(LEGEND_GAP) + legend.height(points_wide)
            strips = list(_strips(panels, points_wide))
        except TooNarrow as error:
            raise too_narrow(PanelGrid(panels, points_wide), across, error, "sheets") from error
        pages = _pages(strips, down * 72 - 2 * MARGIN - below, down)
        figures = tuple(_sheet(page, across, points_wide, legend, below) for page in pages)
    options = {"height": down} if font is None else {"height": down, "font": font}
    kept = Attachment(
        tuple(chosen), drawing(panels, normalize, width if isinstance(width, str) else across, **options)
    )
    for each in figures:
        each.attachment = kept
    return Sheets(figures, kept)


def _strips(panels: Sequence[Panel], width: float) -> Iterator[Strip]:
    for i, panel in enumerate(panels):
        if i:
            yield Strip(scaled(_PANEL_GAP), None)
        if panel.title:
            yield Strip(panel.head(width), partial(panel.draw_title, width=width), keep=True)
        if isinstance(panel.mark, Divisible):
            yield from panel.mark.strips(panel.saliency_map, panel.colors, width)
        else:
            yield Strip(panel.body(width), partial(_whole, panel, width))


def _whole(panel: Panel, width: float, ax: Axes, y: float) -> None:
    """Draw a mark that may not be broken across pages, in separate Axes inside the page's."""
    wide, high = ax.bbox.width, ax.bbox.height
    scale = cast(Any, ax.figure).dpi / 72
    body = panel.body(width) * scale
    inner = ax.inset_axes((0, 1 - (y * scale + body) / high, width * scale / wide, body / high))
    inner.set_axis_off()
    panel.mark.draw(inner, panel.saliency_map, panel.colors)


def _pages(strips: Sequence[Strip], room: float, inches_high: float) -> list[list[Strip]]:
    """Distribute strips over as few pages as possible; strips that must stay together share a page."""
    pages: list[list[Strip]] = [[]]
    left = room
    for group in _groups(strips):
        needed = sum(strip.height for strip in group)
        if needed > room + 1e-6:
            least = math.ceil((inches_high + (needed - room) / 72) * 100) / 100
            raise SaliencyError(
                f"a page height of {inches_high:.4g} in is too small for a part that cannot be split across pages: the "
                f"smallest height is {least:.2f} in, sheets(..., height={least:.2f})."
            )
        if needed > left + 1e-6:
            pages.append([])
            left = room
        if pages[-1] or group[0].draw is not None:
            pages[-1] += group
            left -= needed
    return [_without_gap(page) for page in pages if page]


def _groups(strips: Sequence[Strip]) -> Iterator[list[Strip]]:
    group: list[Strip] = []
    for strip in strips:
        group.append(strip)
        if not strip.keep:
            yield group
            group = []
    if group:
        yield group


def _without_gap(page: list[Strip]) -> list[Strip]:
    return page[:-1] if page[-1].draw is None else page


def _sheet(
    page: Sequence[Strip], across: float, width: float, legend: Legend, below: float
) -> SaliencyFigure:
    content = sum(strip.height for strip in page)
    new = blank(across, content + below + 2 * MARGIN)
    place = place_in(new)
    draw_strips(place((0.0, 0.0, width, content)), page)
    legend.draw(place((0.0, content + scaled(LEGEND_GAP), width, below - scaled(LEGEND_GAP))))
    return new
