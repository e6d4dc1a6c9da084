"""Raster: the cells of a large matrix as one image, which is drawn and saved many times faster than boxes."""

from __future__ import annotations

from typing import cast

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.transforms import Affine2D, Bbox

from hf_saliency.render import points
from hf_saliency.render.colors import Colors
from hf_saliency.render.points import Box

MOST_BOXES = 20_000  # cells; more of them as boxes make viewers and printers slow
_SIDE = 2048  # pixels of a stored image's longer side; a cell is up to four wide, so that viewers blur only its edge
_BAND = 256  # rows of pixels that are averaged at a time, which bounds the memory


class CellImage(Artist):
    """Cells of one size in rows and columns, drawn as an image: averaged by area on pixels, scalable in vector files.

    ``boxes`` has the shape rows x columns x (x, y, width, height), in points. ``first`` is the index of the first
    column in the map.
    """

    def __init__(self, boxes: np.ndarray, values: np.ndarray, colors: Colors, first: int) -> None:
        super().__init__()
        self._boxes, self._values, self._colors, self._first = boxes, values, colors, first

    def at(self, row: int, column: int) -> list[Box]:
        """The box of a cell; empty if the image has no such cell."""
        rows, columns = self._values.shape
        inside = 0 <= row < rows and 0 <= column - self._first < columns
        return [cast(Box, tuple(self._boxes[row, column - self._first].tolist()))] if inside else []

    def draw(self, renderer: RendererBase) -> None:
        """Draw the image, or boxes if the format has no images."""
        if not self.get_visible():
            return
        if not getattr(renderer, "draws_images", True):
            ax = cast(Axes, self.axes)
            for artist in points.filled_cells(
                ax, self._boxes.reshape(-1, 4), self._values.ravel(), self._colors
            ):
                artist.draw(renderer)
            return
        (left, low), (right, high) = self._corners
        renderer.open_group("cells", self.get_gid())
        gc = renderer.new_gc()
        if renderer.option_scale_image():
            more = max(1, min(4, _SIDE // max(self._values.shape)))
            image = self._pixels.repeat(more, axis=0).repeat(more, axis=1)
            place = Affine2D().scale(right - left, high - low)
            renderer.draw_image(gc, left, low, image, place)
        else:
            x, y = int(np.floor(left)), int(np.floor(low))
            image = averaged(
                self._pixels,
                np.linspace(low, high, self._values.shape[0] + 1) - y,
                np.linspace(left, right, self._values.shape[1] + 1) - x,
            )
            renderer.draw_image(gc, x, y, image)
        gc.restore()
        renderer.close_group("cells")
        self.stale = False

    def get_window_extent(self, renderer: RendererBase | None = None) -> Bbox:
        """The frame of all cells, on the display."""
        return Bbox(self._corners)

    @property
    def _corners(self) -> np.ndarray:
        """The lower left and the upper right corner on the display."""
        x, y, _, _ = self._boxes[0, 0]
        right, bottom = self._boxes[-1, -1, :2] + self._boxes[-1, -1, 2:]
        return np.asarray(self.get_transform().transform([(x, bottom), (right, y)]))

    @property
    def _pixels(self) -> np.ndarray:
        """One pixel per cell, with the lowest row first, as renderers expect."""
        fill = self._colors.fill(np.nan_to_num(self._values))
        return np.asarray(np.rint(fill[::-1] * 255), dtype=np.uint8)


def averaged(image: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Resample an opaque 8-bit image: each new pixel is the mean of the area that it covers, and as opaque as covered.

    ``rows`` and ``columns`` are the borders of the image's own pixels in units of new pixels, ascending from 0 or more.
    """
    height, width = int(np.ceil(rows[-1])), int(np.ceil(columns[-1]))
    made = np.empty((height, width, 4), np.uint8)
    tall = _along(image.astype(np.float32), rows, height)
    for start in range(0, height, _BAND):
        band = _along(tall[start : start + _BAND].swapaxes(0, 1), columns, width).swapaxes(0, 1)
        covered = band[..., 3:]
        band[..., :3] *= 255 / np.maximum(covered, 1e-6)
        made[start : start + _BAND] = np.rint(np.minimum(band, 255)).astype(np.uint8)
    return made


def _along(values: np.ndarray, borders: np.ndarray, count: int) -> np.ndarray:
    """Integrate a step function along the first axis, over each of the first ``count`` units."""
    widths = np.diff(borders).astype(values.dtype).reshape(-1, *[1] * (values.ndim - 1))
    sums = np.concatenate([np.zeros_like(values[:1]), np.cumsum(values * widths, axis=0, dtype=np.float64)])
    places = np.interp(np.arange(count + 1), borders, np.arange(len(borders)))
    below = np.minimum(places.astype(int), len(borders) - 2)
    share = (places - below).reshape(-1, *[1] * (values.ndim - 1))
    at = sums[below] + share * (sums[below + 1] - sums[below])
    return np.asarray(np.diff(at, axis=0), dtype=np.float32)


def cell_image(ax: Axes, boxes: np.ndarray, values: np.ndarray, colors: Colors, first: int = 0) -> None:
    """Draw the cells of many rows and columns as one image; ``first`` is the index of the first column in the map."""
    image = CellImage(boxes, values, colors, first)
    image.set_gid("cells")
    points.place(ax, image, zorder=2.0)
    points.overlay(ax, boxes.reshape(-1, 4), values.ravel(), colors)
