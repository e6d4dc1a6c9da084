"""Drawing in threads, and files that are fit for print with any requested font."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import matplotlib as mpl
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.t2CharStringPen import T2CharStringPen
from handmade import saliency_map
from matplotlib.font_manager import fontManager
from matplotlib.text import Text

from hf_saliency.errors import SaliencyError
from hf_saliency.render.figure import figure
from hf_saliency.render.marks import Bars, Highlight
from hf_saliency.render.sheets import sheets

ONE = saliency_map("formal study of grammar", targets=[0])
FAMILY = "Tiny Boxes"


@pytest.fixture
def postscript_font(tmp_path: Path) -> Iterator[str]:
    """A font with OpenType-CFF outlines in which every letter is a box."""
    codes = [*range(0x20, 0x7F), 0xA0]
    names = [".notdef", *(f"u{code:04X}" for code in codes)]
    pen = T2CharStringPen(500, None)
    pen.moveTo((50, 0))
    for corner in ((450, 0), (450, 700), (50, 700)):
        pen.lineTo(corner)
    pen.closePath()
    box, blank = pen.getCharString(), T2CharStringPen(500, None).getCharString()
    builder = FontBuilder(1000, isTTF=False)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({code: f"u{code:04X}" for code in codes})
    blanks = {"u0020", "u00A0"}
    charstrings = {name: blank if name in blanks else box for name in names}
    builder.setupCFF("TinyBoxes", {"FullName": FAMILY}, charstrings, {})
    builder.setupHorizontalMetrics(dict.fromkeys(names, (500, 50)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": FAMILY, "styleName": "Regular", "psName": "TinyBoxes"})
    builder.setupOS2(sTypoAscender=800, sTypoDescender=-200, usWinAscent=800, usWinDescent=200)
    builder.setupPost()
    path = tmp_path / "tiny.otf"
    builder.save(path)
    entries = list(fontManager.ttflist)
    fontManager.addfont(path)
    try:
        with mpl.rc_context({"font.family": [FAMILY]}):
            yield FAMILY
    finally:
        fontManager.ttflist[:] = entries


@pytest.mark.parametrize("kind", ["pdf", "eps"])
def test_no_file_embeds_a_postscript_font(postscript_font: str, kind: str) -> None:
    drawn = figure(ONE, Highlight(), width=3.25)
    assert any(postscript_font in text.get_fontfamily() for text in drawn.findobj(Text))
    buffer = BytesIO()
    drawn.savefig(buffer, format=kind, provenance="none")
    data = buffer.getvalue()
    assert b"TinyBoxes" not in data
    assert not any(text.get_path_effects() for text in drawn.findobj(Text))


def test_no_page_of_several_embeds_a_postscript_font(postscript_font: str) -> None:
    buffer = BytesIO()
    sheets(ONE, Highlight(), width=3.25, height=4.0).savefig(buffer, provenance="none")
    assert postscript_font
    assert b"TinyBoxes" not in buffer.getvalue()


def test_truetype_fonts_are_still_embedded_as_such() -> None:
    buffer = BytesIO()
    figure(ONE, Highlight(), width=3.25).savefig(buffer, format="pdf", provenance="none")
    assert re.search(rb"/FontFile2\b", buffer.getvalue())
    assert b"/Type3" not in buffer.getvalue()


def test_threads_that_draw_leave_the_settings_alone_and_write_the_same_bytes() -> None:
    def draw(into: BytesIO) -> None:
        figure(ONE, Highlight(), width="slide").savefig(into, format="pdf", provenance="none")

    expected = BytesIO()
    draw(expected)
    before = dict(mpl.rcParams)
    buffers = [BytesIO() for _ in range(8)]
    threads = [threading.Thread(target=draw, args=(buffer,)) for buffer in buffers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert dict(mpl.rcParams) == before
    assert {buffer.getvalue() for buffer in buffers} == {expected.getvalue()}


@pytest.mark.parametrize("dpi", [0, -1, float("nan"), True, "many"])
def test_resolutions_that_are_none_are_refused(dpi: object) -> None:
    with pytest.raises(SaliencyError, match=r"dpi=.*above 0, such as savefig\('figure.png', dpi=300\)"):
        figure(ONE, Highlight(), width=3.25).savefig(BytesIO(), format="png", dpi=dpi)


def test_unknown_keywords_name_the_nearest() -> None:
    with pytest.raises(
        SaliencyError, match=r"figure takes no argument 'target' \(did you mean 'targets'\?\)"
    ):
        figure(ONE, target=0)  # type: ignore[call-overload]
    with pytest.raises(SaliencyError, match="sheets takes no argument 'colour'"):
        sheets(ONE, colour="red")  # type: ignore[call-arg]
    with pytest.raises(SaliencyError, match=r"Highlight takes no argument 'word' \(did you mean 'words'\?\)"):
        Highlight(word=True)  # type: ignore[call-arg]
    with pytest.raises(SaliencyError, match=r"Bars takes no argument 'max_display' \(use top=\)"):
        Bars(max_display=3)  # type: ignore[call-arg]
