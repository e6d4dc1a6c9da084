from __future__ import annotations

import io
import time
from pathlib import Path

import numpy as np
import pypdf
import pytest
from handmade import SENTENCE, filled, frames, outside, overlapping, saliency_map, strings

from hf_saliency.errors import SaliencyError
from hf_saliency.render.colors import Colors
from hf_saliency.render.figure import figure
from hf_saliency.render.marks import Arcs, Bars, Highlight, Matrix
from hf_saliency.render.settings import VENUES
from hf_saliency.render.sheets import Sheets, sheets

LONG = saliency_map(" ".join([SENTENCE] * 9), targets=[30, 200])


def saved(pages: Sheets) -> bytes:
    buffer = io.BytesIO()
    pages.savefig(buffer)
    return buffer.getvalue()


def test_all_lines_are_drawn_once_and_in_order() -> None:
    pages = sheets(LONG, width="acl", height=3.0)
    assert len(pages) > 3
    with pytest.warns(UserWarning, match="a page of 'acl' holds 9.72 in"):
        once = figure(LONG, Highlight(), width="acl")
    drawn = [text for page in pages for text in strings(page)[: -legend_texts(page)]]
    assert drawn == strings(once)[: -legend_texts(once)]


def legend_texts(figure: object) -> int:
    return len(figure.axes[-1].texts)  # type: ignore[attr-defined]


def test_colours_are_those_of_the_whole_text() -> None:
    colors = Colors.of([LONG])
    expected = colors.fill(colors.values(LONG))
    drawn = [color for page in sheets(LONG, width="acl", height=3.0) for _, color in filled(page.axes[0])]
    np.testing.assert_allclose(np.array(drawn).reshape(expected.shape), expected)


def test_pages_are_no_higher_than_asked_and_nothing_overlaps() -> None:
    pages = sheets([LONG, LONG], [Bars(), Highlight()], targets=0, width=3.25, height=4.0, title=["a", "b"])
    for page in pages:
        assert page.get_figheight() <= 4.0 + 1e-9
        assert overlapping(page) == outside(page) == []
        assert "gradient norm of the logit, scaled" in " ".join(strings(page)).replace("\u00a0", " ")
    assert sum(len(frames(page.axes[0])) for page in pages) == 2


def test_caption_and_title_stay_with_their_text() -> None:
    one = saliency_map(" ".join([SENTENCE] * 2), targets=[30, 50])
    for height in np.arange(1.2, 2.2, 0.05):
        for page in sheets(one, title="A title", width="acl", height=height):
            drawn = strings(page)[: -legend_texts(page)]
            assert not drawn[0].endswith("→")
            assert drawn[-1] != "A title"


def test_matrix_is_not_parted() -> None:
    short = saliency_map()
    (page,) = sheets(short, Matrix(), width="acl")
    assert len(filled(page.axes[0].child_axes[0])) == short.scores.size
    pages = sheets([short, short], [Matrix(), Arcs()], width="acl", height=4.0)
    assert len(pages) == 2
    with pytest.raises(
        SaliencyError, match=r"a page height of 2 in is too small .*the smallest height is"
    ) as error:
        sheets(short, Matrix(), width="acl", height=2.0)
    least = float(str(error.value).split("height=")[1].rstrip(")."))
    assert len(sheets(short, Matrix(), width="acl", height=least)) == 1


def test_standing_bars_are_not_parted_from_the_labels_below_them() -> None:
    five, mark = saliency_map(targets=range(5)), Bars(vertical=True)
    with pytest.raises(
        SaliencyError, match=r"a page height of 3 in is too small .*the smallest height is"
    ) as error:
        sheets(five, mark, width="acl-2col", height=3.0)
    least = float(str(error.value).split("height=")[1].rstrip(")."))
    (page,) = sheets(five, mark, width="acl-2col", height=least)
    assert page.get_figheight() == pytest.approx(figure(five, mark, width="acl-2col").get_figheight())


def test_height_is_that_of_the_venue() -> None:
    first = sheets(LONG, Bars(), targets=0, width="neurips")[0]
    assert 0.95 * VENUES["neurips"].height < first.get_figheight() <= VENUES["neurips"].height


def test_one_file_with_truetype_fonts_and_the_same_bytes_later() -> None:
    pages = sheets(LONG, width="acl", height=3.0)
    pdf = saved(pages)
    reader = pypdf.PdfReader(io.BytesIO(pdf))
    assert len(reader.pages) == len(pages)
    for page in reader.pages:
        for font in page["/Resources"]["/Font"].values():
            assert font.get_object()["/Subtype"] == "/Type0"
    assert "/CreationDate" not in (reader.metadata or {})
    time.sleep(1.1)  # a date in the file would differ by a second
    assert saved(sheets(LONG, width="acl", height=3.0)) == pdf


def test_it_is_a_sequence() -> None:
    pages = sheets(LONG, width="acl", height=3.0)
    assert pages[0] is pages.figures[0]
    assert len(pages[1:3]) == 2
    assert list(pages) == list(pages.figures)


def test_what_cannot_work_is_refused(tmp_path: Path) -> None:
    pages = sheets(LONG, width="acl", height=3.0)
    with pytest.raises(SaliencyError, match=r"saved as one pdf, not as 'png'.*sheets\[0\].savefig"):
        pages.savefig(tmp_path / "a.png")
    with pytest.raises(SaliencyError, match="cannot write"):
        pages.savefig(tmp_path / "none" / "a.pdf")
    with pytest.raises(SaliencyError, match=r"too narrow for .*sheets\(\.\.\., width="):
        sheets(LONG, width=0.5)
    with pytest.raises(SaliencyError, match="height=0: give inches above 0"):
        sheets(LONG, height=0)
