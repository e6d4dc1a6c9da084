"""Maps made by hand, and functions that read texts, boxes and lines from a drawn figure."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from hf_saliency.maps.fields import Prediction, TargetRow
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.maps.spans import Token
from hf_saliency.render.points import Box
from hf_saliency.render.typeset.fonts import fonts, ignorable

SENTENCE = (
    "context the formal study of grammar is an important part of education from a young age through advanced "
    "learning though the rules taught in schools are not a grammar in the sense most linguists use"
)
_FINE = 720
WORDS = r"\S+"
CHARACTERS = r"\S"
PIECES = r"\S{1,5}(?=\S{3})|\S+"


def saliency_map(
    text: str = SENTENCE,
    *,
    split: str = WORDS,
    targets: Sequence[int] | None = None,
    special: bool = False,
    signed: bool = False,
    method: str = "gradient_norm",
    predictions: int = 3,
    seed: int = 0,
) -> SaliencyMap:
    """A sweep over a text; with ``special``, [CLS] has far higher scores than every word."""
    generator = np.random.default_rng(seed)
    tokens = [Token(m.group(), m.start(), m.end()) for m in re.finditer(split, text)]
    if special:
        tokens = [Token("[CLS]", 0, 0, special=True), *tokens, Token("[SEP]", 0, 0, special=True)]
    plain = [i for i, token in enumerate(tokens) if not token.special]
    read = plain if targets is None else [plain[i] for i in targets]
    scores = generator.uniform(0.1, 1, (len(read), len(tokens)))
    if signed:
        scores *= generator.choice([-1, 1], scores.shape)
    if special:
        scores[:, 0] *= 800
    answers = [Prediction(("language", "music", "grammar")[i], i, 0.6 / (i + 1)) for i in range(predictions)]
    rows = [
        TargetRow(text[tokens[i].start : tokens[i].end], i, 5.0, masked=True, predictions=tuple(answers))
        for i in read
    ]
    return SaliencyMap((text,), tuple(tokens), tuple(rows), scores, method, signed=signed)


def of_spans(text: str, *spans: tuple[int, int], position: int | None = 0) -> SaliencyMap:
    """A map of one target, with a token for each span."""
    tokens = tuple(Token(text[a:b], a, b) for a, b in spans)
    scores = np.linspace(0.2, 1, len(tokens))[None]
    return SaliencyMap((text,), tokens, (TargetRow("x", position, 1.0, masked=True),), scores, "saliency")


def pair(**changes: Any) -> SaliencyMap:
    """A map of two named texts of two words; the target's positions are both words of the second."""
    texts = ("one two", "six ten")
    tokens = [Token(t[a:b], a, b, n) for n, t in enumerate(texts) for a, b in ((0, 3), (4, 7))]
    fields: dict[str, Any] = {
        "texts": texts,
        "tokens": tuple(tokens),
        "targets": (TargetRow("six ten", 2, 1.0, positions=(2, 3)),),
        "scores": np.array([[0.25, 0.5, 0.75, 1.0]]),
        "method": "saliency",
        "text_names": ("question", "context"),
    }
    return SaliencyMap(**{**fields, **changes})


def rules(ax: Axes, gid: str) -> list[np.ndarray]:
    """Both ends of each straight line, in points."""
    lines = [c for c in ax.collections if isinstance(c, LineCollection) and c.get_gid() == gid]
    return [np.asarray(segment) for line in lines for segment in line.get_segments()]


def with_scores(one: SaliencyMap, scores: Any) -> SaliencyMap:
    return SaliencyMap(one.texts, one.tokens, one.targets, np.asarray(scores), one.method, signed=one.signed)


def panels(figure: Figure) -> list[Axes]:
    """The Axes of the maps, without the legend's, which are last."""
    return list(figure.axes)[:-1]


def texts(figure: Figure) -> list[Text]:
    return [text for text in figure.findobj(Text) if text.get_text()]


def strings(figure: Figure) -> list[str]:
    return [text.get_text() for text in texts(figure)]


def filled(ax: Axes, gid: str = "cells") -> list[tuple[Box, tuple[float, ...]]]:
    """Every drawn box, in points, with its colour."""
    found = []
    for collection in ax.collections:
        if collection.get_gid() != gid:
            continue
        assert isinstance(collection, PathCollection)
        colors = np.asarray(collection.get_facecolor())
        for i, path in enumerate(collection.get_paths()):
            for corners in np.asarray(path.vertices).reshape(-1, 5, 2):
                low, high = corners.min(axis=0), corners.max(axis=0)
                box = (*low.tolist(), *(high - low).tolist())
                found.append((box, tuple(colors[i % len(colors)].tolist())))
    if gid == "cells":
        chips = [patch for patch in ax.findobj(Rectangle) if str(patch.get_gid()).startswith("target-")]
        found += [((*p.get_xy(), p.get_width(), p.get_height()), tuple(p.get_facecolor())) for p in chips]
    return sorted(found, key=lambda each: (round(each[0][1], 3), each[0][0]))


def frames(ax: Axes, gid: str = "target") -> list[Box]:
    boxes = [p for p in ax.findobj(Rectangle) if p.get_gid() == gid]
    return [(p.get_x(), p.get_y(), p.get_width(), p.get_height()) for p in boxes]


def overlapping(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of texts whose boxes share more than a hair's breadth."""
    extents = _extents(figure)
    return [
        (a, b)
        for (a, first), (b, second) in itertools.combinations(extents, 2)
        if min(first.x1, second.x1) - max(first.x0, second.x0) > 0.1
        and min(first.y1, second.y1) - max(first.y0, second.y0) > 0.1
    ]


def outside(figure: Figure) -> list[str]:
    """The texts that leave the canvas, and "drawing" if anything else does."""
    width, height = figure.get_size_inches() * 72
    found = [text for text, box in _extents(figure) if not _within(box, width, height)]
    with _fine(figure) as renderer:
        tight = figure.get_tightbbox(renderer)
    drawing = Bbox(tight.get_points() * 72)
    return found if _within(drawing, width, height) else [*found, "drawing"]


def _within(box: Bbox, width: float, height: float) -> bool:
    return bool(box.x0 > -0.05 and box.y0 > -0.05 and box.x1 < width + 0.05 and box.y1 < height + 0.05)


def _extents(figure: Figure) -> list[tuple[str, Bbox]]:
    """Boxes of all texts in points."""
    with _fine(figure) as renderer:
        return [
            (text.get_text(), Bbox(text.get_window_extent(renderer).get_points() * 72 / _FINE))
            for text in texts(figure)
        ]


@contextmanager
def _fine(figure: Figure) -> Iterator[RendererAgg]:
    """Yield a renderer with pixels so small that hinting does not affect the width of a text."""
    coarse = figure.dpi
    figure.set_dpi(_FINE)
    try:
        yield RendererAgg(1, 1, _FINE)
    finally:
        figure.set_dpi(coarse)


def need_fonts(text: str) -> None:
    """Skip without a font for a text; where tests must run, as in CI, let them fail."""
    seen = [c for c in text if not ignorable(c) and not c.isspace()]
    if not os.environ.get("CI") and any(fonts(text, "normal").face(c) is None for c in seen):
        pytest.skip(f"no installed font has all of {text!r}")
