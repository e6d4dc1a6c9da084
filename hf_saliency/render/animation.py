"""animate: the targets of a map one after the other, as a GIF for a talk or a page."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import cast

import matplotlib as mpl
from matplotlib.animation import PillowWriter
from matplotlib.figure import Figure

from hf_saliency.errors import SaliencyError, real, whole
from hf_saliency.maps.reduction import Normalization
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.maps.storage import write_file
from hf_saliency.render.files import SETTINGS
from hf_saliency.render.layout import PanelGrid
from hf_saliency.render.marks import Highlight, Mark
from hf_saliency.render.panels import Scales, Which, panels_of, selected
from hf_saliency.render.plan import MARGIN, place_in
from hf_saliency.render.settings import inches, settings, type_size
from hf_saliency.render.typeset.fonts import share_fonts


@share_fonts
def animate(
    saliency_map: SaliencyMap,
    fname: str | os.PathLike[str],
    mark: Mark | None = None,
    *,
    width: float | str | None = None,
    seconds: float = 0.8,
    targets: Which | None = None,
    normalize: Normalization = "row_max",
    dpi: int = 144,
) -> None:
    """Write a GIF that shows the targets of a map one after the other, in a loop.

    All frames have one size and one colour scale.

    Parameters
    ----------
    saliency_map
        A map with several targets, such as a sweep over all words.
    fname
        A path that ends in ``.gif``; an existing file is replaced once the new one is complete.
    mark
        Draws each target. Default: ``Highlight()``.
    width
        A number of inches or a venue, as in :func:`hf_saliency.figure`.
    seconds
        How long each target is shown.
    targets
        Which rows to show, as in :func:`hf_saliency.figure`. Default: all.
    normalize
        How each row is scaled, as in :func:`hf_saliency.figure`.
    dpi
        Pixels per inch.

    Raises
    ------
    SaliencyError
        If the format is not GIF, if the path cannot be written, or as in :func:`hf_saliency.figure`.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> heat = hs.Explainer(*hs.load_demo())("the formal study of grammar is important")
    >>> hs.animate(heat, "sweep.gif", targets=slice(0, 3), width="slide")
    """
    if Path(fname).suffix.lower() != ".gif":
        raise SaliencyError(
            f"animations are written as gif, not as {str(fname)!r}: animate(heat, 'sweep.gif')."
        )
    rate = 1 / real(seconds, "seconds", "0.8")
    (chosen,) = selected(saliency_map, targets)
    rows = [chosen.select(row) for row in range(len(chosen.targets))]
    with type_size(width), settings(SETTINGS):
        ground = mpl.rcParams["figure.facecolor"]
        panels = panels_of(
            rows, mark or Highlight(), title=[""] * len(rows), scales=Scales(normalize), ground=ground
        )
        wide = inches(width, mpl.rcParams["figure.figsize"][0])
        grids = [PanelGrid([panel], wide * 72 - 2 * MARGIN) for panel in panels]
        high = max(grid.height for grid in grids) + 2 * MARGIN
        canvas = Figure(figsize=(wide, high / 72))
        try:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "frames.gif"
                writer = PillowWriter(fps=cast(int, rate))  # PillowWriter takes any number
                with writer.saving(canvas, str(path), whole(dpi, "dpi")):
                    for grid in grids:
                        canvas.clear()
                        grid.draw(place_in(canvas))
                        writer.grab_frame()
                frames = path.read_bytes()
        except OSError as error:  # from the temporary folder, which may be full
            raise SaliencyError(f"cannot write {str(fname)!r}: {error.strerror or error}.") from error
        write_file(fname, frames)
