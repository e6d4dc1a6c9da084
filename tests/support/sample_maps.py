"""Maps for tests: one with known parts, and arbitrary ones from Hypothesis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hf_saliency.maps.fields import Prediction, TargetRow
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.maps.spans import Token

TEXT = "an un-\nbelievable  end"
PLACES = {"an": (0, 2), "un": (3, 5), "-": (5, 6), "believ": (7, 13), "##able": (13, 17), "end": (19, 22)}


def sweep(**changes: Any) -> SaliencyMap:
    """A complete masked sweep over six tokens between [CLS] and [SEP]; row i is (i + 1) times 0, ..., 7."""
    tokens = [Token(piece, start, end) for piece, (start, end) in PLACES.items()]
    end = tokens[-1].end
    fields: dict[str, Any] = {
        "texts": (TEXT,),
        "tokens": (Token("[CLS]", 0, 0, special=True), *tokens, Token("[SEP]", end, end, special=True)),
        "targets": tuple(target(TEXT[t.start : t.end], i + 1) for i, t in enumerate(tokens)),
        "scores": np.outer(np.arange(1.0, 7.0), np.arange(8.0)),
        "method": "gradient_norm",
    }
    return SaliencyMap(**{**fields, **changes})


def target(label: str, position: int | None, **changes: Any) -> TargetRow:
    predictions = (Prediction(label.upper(), 7, 0.5), Prediction("other", 8, 0.25))
    fields: dict[str, Any] = {"score": 1.5, "masked": True, "predictions": predictions}
    return TargetRow(label, position, **{**fields, **changes})


def of(text: str, places: Sequence[tuple[int, int]], scores: Any = None) -> SaliencyMap:
    """A map of targets without a position, one for each row of scores."""
    tokens = tuple(Token(f"piece {i}", *place) for i, place in enumerate(places))
    scores = np.arange(1.0, len(tokens) + 1)[None] if scores is None else scores
    targets = tuple(target("all", None) for _ in scores)
    return SaliencyMap(texts=(text,), tokens=tokens, targets=targets, scores=scores, method="own")


# Letters with and without diacritics, spaces, and every kind of character that joins or separates others.
ALPHABET = "aé1_ \n'’-.中カกำा\u0301\u200b\u200c\u200d\ufe0f👍🏽👩🇫"

texts = st.text(ALPHABET, max_size=12) | st.text(max_size=8)
floats = st.floats(width=32)
_leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
values = st.recursive(
    _leaves | floats.map(np.float32),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)


@st.composite
def spans(draw: st.DrawFn, text: str) -> tuple[int, int]:
    border = st.integers(0, len(text))
    start, end = sorted((draw(border), draw(border)))
    return start, end


@st.composite
def maps(draw: st.DrawFn, scores: st.SearchStrategy[float] = floats) -> SaliencyMap:
    """Draw any map: with several texts, with tokens in any order, without tokens, without targets."""
    given = draw(st.lists(texts, min_size=1, max_size=2))
    tokens = []
    for _ in range(draw(st.integers(0, 6))):
        number = draw(st.integers(0, len(given) - 1))
        place = draw(spans(given[number]))
        tokens.append(
            Token(draw(st.text(max_size=3)), *place, text_index=number, special=draw(st.booleans()))
        )
    position = st.none() | st.integers(0, len(tokens) - 1) if tokens else st.none()
    prediction = st.builds(Prediction, st.text(max_size=3), st.integers(0, 9), st.floats())
    row = st.builds(
        TargetRow,
        st.text(max_size=3),
        position,
        st.floats(),
        unit=st.sampled_from(["logit", "log_prob", "prob"]),
        masked=st.booleans(),
        against=st.none() | st.text(max_size=3),
        predictions=st.lists(prediction, max_size=2),
    )
    targets = draw(st.lists(row, max_size=4))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    return SaliencyMap(
        texts=tuple(given),
        tokens=tuple(tokens),
        targets=tuple(targets),
        scores=draw(hnp.arrays(dtype, (len(targets), len(tokens)), elements=scores)),
        method=draw(st.text(max_size=5)),
        arguments=draw(
            st.dictionaries(st.text(max_size=3).filter(lambda key: key != "words"), values, max_size=3)
        ),
        signed=draw(st.booleans()),
        convergence_delta=draw(st.none() | hnp.arrays(np.float64, len(targets), elements=st.floats())),
        provenance=draw(st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2)),
        text_names=draw(st.just(()) | st.tuples(*[texts] * len(given))),
    )
