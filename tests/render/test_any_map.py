"""Every map is drawn, or an error names the reason."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Literal

import pytest
import sample_maps as maps
from hypothesis import Phase, given, settings, strategies as st

from hf_saliency.errors import SaliencyError
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.render.figure import figure
from hf_saliency.render.latex import to_latex
from hf_saliency.render.marks import Arcs, Bars, Highlight, Mark, Matrix
from hf_saliency.render.sheets import sheets

MARKS: list[Mark] = [
    Highlight(special=True),
    Highlight(words=True),
    Matrix(special=True, values=True, predictions=2),
    Bars(special=True, top=3),
    Bars(vertical=True, values=True),
    Arcs(special=True),
]
_PAGE = 6.0  # inches


@pytest.mark.filterwarnings("ignore:Glyph", "ignore:no installed font")
@settings(
    max_examples=60,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],  # Phase.explain draws many more
    deadline=None,
)
@given(
    maps.maps(),
    st.sampled_from(MARKS),
    st.sampled_from([None, 0, 2]),
    st.sampled_from(["row_max", "row_sum", "none"]),
)
def test_any_map_is_drawn_or_refused(
    one: SaliencyMap, mark: Mark, around: int | None, normalize: Literal["row_max", "row_sum", "none"]
) -> None:
    signed = replace(one, signed=True)
    try:
        fig = figure(signed, mark, width=6.0, around=around, normalize=normalize)
        high = figure(signed, mark, width=6.0, normalize=normalize).get_figheight()
        if isinstance(mark, Highlight):
            to_latex(signed, mark, around=around, normalize=normalize)
    except SaliencyError:
        return
    fig.savefig(io.BytesIO(), format="svg")
    (page,) = sheets(signed, mark, width=6.0, height=high, normalize=normalize)
    assert page.get_figheight() == pytest.approx(high)
    try:
        pages = sheets(signed, mark, width=6.0, height=_PAGE, normalize=normalize)
    except SaliencyError:
        assert high > _PAGE
        return
    assert (len(pages) > 1) == (high > _PAGE)
    assert all(each.get_figheight() <= _PAGE + 1e-9 for each in pages)
