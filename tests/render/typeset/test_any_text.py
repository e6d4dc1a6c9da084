from __future__ import annotations

import itertools
import warnings

import numpy as np
from handmade import filled, panels
from hypothesis import HealthCheck, Phase, example, given, settings, strategies as st

from hf_saliency.maps.fields import Prediction, TargetRow
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.maps.spans import Token
from hf_saliency.render.figure import figure
from hf_saliency.render.marks import Highlight, Matrix
from hf_saliency.render.typeset.fonts import MissingGlyphs

# Words of any script that are long enough to be broken, and characters that change the look of others.
_ACTING = (
    "\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    "\ufe0f\ufeff\u00ad\u0301\u0640"
)
_COMMON = (
    "abc ($_\\{}%) 12.5% אבגש\u05b8 سلاامبه (؟) ١٢ 中文日本ーの。한국क्षिสวำ😀👍🏽👩💻🇫🇷 \t\n\r\x00\x85\u2028"
)
_CHARACTERS = st.one_of(st.sampled_from(_COMMON + _ACTING), st.characters())


@st.composite
def maps(draw: st.DrawFn) -> SaliencyMap:
    """A strategy for maps of any text that is cut anywhere; some parts have no token."""
    text = "".join(draw(st.lists(_CHARACTERS, min_size=1, max_size=40)))
    cuts = sorted({0, len(text), *draw(st.lists(st.integers(0, len(text)), max_size=12))})
    spans = [(a, b) for a, b in itertools.pairwise(cuts) if draw(st.integers(0, 9))]
    spans = spans or [(0, len(text))]
    tokens = tuple(Token(text[a:b], a, b) for a, b in spans)
    target = TargetRow(tokens[0].piece, 0, 1.0, masked=True, predictions=(Prediction(text[-3:], 1, 0.5),))
    return SaliencyMap((text,), tokens, (target,), np.linspace(0.1, 1, len(tokens))[None], "saliency")


# Some Korean fonts have parts of syllables as private characters without a width.
PRIVATE = SaliencyMap(
    ("👍한\ue28da한a",),
    (Token("\ue28d", 2, 3),),
    (TargetRow("\ue28d", 0, 1.0, masked=True),),
    np.array([[0.1]]),
    "saliency",
)


@settings(
    max_examples=40,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],  # Phase.explain draws many more
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@example(one=PRIVATE)
@given(one=maps())
def test_any_text_is_drawn_with_every_token_in_its_own_box(one: SaliencyMap) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Matplotlib warns of each missing glyph
        warnings.simplefilter("ignore", MissingGlyphs)
        fig = figure(one, Highlight(), width=3.25)
        fig.draw_without_rendering()
        figure(one, Matrix(predictions=1), width=6.0).draw_without_rendering()
    boxes = np.array([box for box, _ in filled(panels(fig)[0])])
    assert len(boxes) >= len(one.tokens)
    assert (boxes[:, 2:] > 0).all()
    width, height = fig.get_size_inches() * 72
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    assert (low > -0.01).all()
    assert (high < [width, height]).all()
    shared = np.minimum(high[:, None], high[None]) - np.maximum(low[:, None], low[None])
    overlap = (shared > 0.01).all(axis=2)
    assert not (overlap & ~np.eye(len(boxes), dtype=bool)).any()
