"""A large matrix: its cells are one image with the same colours, places and frames as boxes."""

from __future__ import annotations

import io

import numpy as np
import pytest
from handmade import saliency_map, with_scores
from matplotlib.collections import PathCollection
from PIL import Image

from hf_saliency.render import raster
from hf_saliency.render.colors import Colors
from hf_saliency.render.figure import figure
from hf_saliency.render.files import SaliencyFigure
from hf_saliency.render.marks import Matrix

LARGE = "a b c d e f"
SCORES = np.random.default_rng(0).random((6, 6))


def drawn(monkeypatch: pytest.MonkeyPatch, most: int, scores: np.ndarray = SCORES) -> SaliencyFigure:
    monkeypatch.setattr(raster, "MOST_BOXES", most)
    return figure(with_scores(saliency_map(LARGE), scores), Matrix(), width=3.25, legend=False)


def pixels(fig: SaliencyFigure) -> np.ndarray:
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png")
    return np.asarray(Image.open(buffer).convert("RGB")).astype(int)


def test_each_cell_has_its_colour_where_its_box_is(monkeypatch: pytest.MonkeyPatch) -> None:
    boxes, image = drawn(monkeypatch, 36), drawn(monkeypatch, 35)
    assert not boxes.findobj(raster.CellImage)
    assert image.findobj(raster.CellImage)
    shown = pixels(image)
    heat = image.panels[0][1]
    colors = Colors.of([heat])
    fill = np.rint(colors.fill(colors.values(heat)) * 255)
    for row, column in np.ndindex(6, 6):
        box = image.box(column, row)
        np.testing.assert_allclose(box.bounds, boxes.box(column, row).bounds)
        x, y = (box.x0 + box.x1) / 2, 1 - (box.y0 + box.y1) / 2
        colour = shown[round(y * shown.shape[0]), round(x * shown.shape[1])]
        np.testing.assert_allclose(colour, fill[row, column, :3], atol=1)


def test_pixels_differ_from_those_of_boxes_at_borders_only(monkeypatch: pytest.MonkeyPatch) -> None:
    difference = np.abs(pixels(drawn(monkeypatch, 36)) - pixels(drawn(monkeypatch, 35))).max(axis=2)
    assert (difference > 2).mean() < 0.02


def test_what_is_not_finite_is_hatched_and_frames_are_at_their_tokens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fig = drawn(monkeypatch, 35, np.where(np.eye(6), np.nan, SCORES))
    ids = [artist.get_gid() for artist in fig.findobj()]
    assert {"not-finite", "hatch"} <= set(ids)
    (frames,) = [c for c in fig.findobj(PathCollection) if c.get_gid() == "target" and c.get_paths()]
    assert len(frames.get_paths()[0].vertices) == 6 * 5


@pytest.mark.parametrize(
    ("kind", "mark", "count"),
    [
        ("pdf", b"/Subtype /Image", 1),
        ("svg", b"data:image/png", 1),
        ("eps", b"colorimage", 1),
        ("pgf", rb"\pgfpathclose", 2 * 36),  # boxes and the layer below them
    ],
)
def test_formats_have_the_cells_as_an_image_but_for_pgf(
    kind: str, mark: bytes, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = []
    for _ in range(2):
        buffer = io.BytesIO()
        drawn(monkeypatch, 35).savefig(buffer, format=kind, provenance="none")
        files.append(buffer.getvalue())
    assert files[0].count(mark) >= count
    assert files[0] == files[1]


def test_a_pixel_is_the_mean_of_what_it_covers() -> None:
    generator = np.random.default_rng(1)
    image = np.concatenate([generator.integers(0, 256, (3, 2, 3)), np.full((3, 2, 1), 255)], axis=2).astype(
        np.uint8
    )
    rows, columns = np.array([0.3, 1.9, 3.5, 5.1]), np.array([0.75, 3.0, 5.25])
    made = raster.averaged(image, rows, columns)
    assert made.shape == (6, 6, 4)

    def overlap(borders: np.ndarray, cell: int, pixel: int) -> float:
        return max(0.0, min(borders[cell + 1], pixel + 1) - max(borders[cell], pixel))

    for y, x in np.ndindex(6, 6):
        areas = np.array([[overlap(rows, i, y) * overlap(columns, j, x) for j in range(2)] for i in range(3)])
        expected = (areas[..., None] * image[..., :3]).sum((0, 1)) / areas.sum()
        np.testing.assert_allclose(made[y, x, :3], expected, atol=0.51)
        assert abs(made[y, x, 3] - 255 * areas.sum()) <= 0.51
