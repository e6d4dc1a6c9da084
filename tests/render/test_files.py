from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pypdf
import pytest
from handmade import (
    saliency_map,
)
from matplotlib.figure import Figure

from hf_saliency.errors import SaliencyError
from hf_saliency.render.figure import figure
from hf_saliency.render.marks import Arcs, Bars, Highlight, Mark, Matrix

LITERAL = r"$5_{x}$ and $6 \alpha 100% #1 & ^2 {} <b>"


def saved(fig: Figure, kind: str = "pdf", **options: object) -> bytes:
    buffer = io.BytesIO()
    fig.savefig(buffer, format=kind, **options)
    return buffer.getvalue()


def literal_text(pdf: bytes) -> str:
    return pypdf.PdfReader(io.BytesIO(pdf)).pages[0].extract_text()


def test_two_runs_write_the_same_bytes() -> None:
    def files() -> dict[str, bytes]:
        fig = figure(saliency_map("of grammar", targets=[1]), width=3.25)
        fig.axes[0].plot([0, 1], "o")  # plain SVG files contain random names for such artists
        return {kind: saved(fig, kind) for kind in ("pdf", "svg", "svgz", "png")}

    first = files()
    time.sleep(1.1)  # dates in these formats have a resolution of seconds
    assert files() == first


SCRIPT = """
import hashlib, io, sys
sys.path.insert(0, sys.argv[1])
from handmade import saliency_map
from hf_saliency.render.figure import figure
from hf_saliency.render.marks import Arcs, Bars, Highlight, Mark, Matrix
for kind in ("pdf", "svg"):
    buffer = io.BytesIO()
    figure(saliency_map(), width=3.25).savefig(buffer, format=kind)
    print(hashlib.sha256(buffer.getvalue()).hexdigest())
print({"torch", "captum", "transformers", "matplotlib.pyplot"} & set(sys.modules))
"""


def test_another_process_writes_the_same_bytes_and_loads_no_pyplot() -> None:
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(Path(__file__).parents[1] / "support")],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )
    files = [saved(figure(saliency_map(), width=3.25), kind) for kind in ("pdf", "svg")]
    assert run.stdout.split() == [*(hashlib.sha256(file).hexdigest() for file in files), "set()"]


def test_pdf_has_truetype_fonts_no_date_and_literal_text() -> None:
    pdf = saved(figure(saliency_map(LITERAL, targets=[0]), width=6.75, title="$a$ to $b$"))
    reader = pypdf.PdfReader(io.BytesIO(pdf))
    fonts = [font.get_object() for font in reader.pages[0]["/Resources"]["/Font"].values()]
    assert fonts
    for font in fonts:
        assert font["/Subtype"] == "/Type0"
        inner = font["/DescendantFonts"][0].get_object()
        assert inner["/Subtype"] == "/CIDFontType2"
        assert "/FontFile2" in inner["/FontDescriptor"]
    assert "/CreationDate" not in (reader.metadata or {})
    for word in [*LITERAL.split(), "$a$"]:
        assert word in literal_text(pdf)


def test_plain_matplotlib_writes_what_the_test_above_refuses() -> None:
    plain = Figure()
    plain.text(0, 0, "a")
    reader = pypdf.PdfReader(io.BytesIO(saved(plain)))
    assert {f.get_object()["/Subtype"] for f in reader.pages[0]["/Resources"]["/Font"].values()} == {"/Type3"}
    assert "/CreationDate" in (reader.metadata or {})


def test_postscript_has_truetype_fonts_and_no_date() -> None:
    eps = saved(figure(saliency_map("of grammar", targets=[1]), width=3.25), "eps")
    assert b"CreationDate" not in eps
    assert b"/FontType 42" in eps
    assert b"/FontType 3" not in eps


def test_svg_has_text_or_outlines() -> None:
    fig = figure(saliency_map(targets=[0]), width=3.25)
    assert b">linguists</text>" in saved(fig, "svg")
    assert b"<text" not in saved(fig, "svg", outlines=True)
    assert b"<dc:date>" not in saved(fig, "svg")


def test_png_is_fine_enough_for_print() -> None:
    fig = figure(saliency_map(targets=[0]), width=2.0)
    width = int.from_bytes(saved(fig, "png")[16:20], "big")
    assert width == 600
    assert int.from_bytes(saved(fig, "png", dpi=100)[16:20], "big") == 200
    assert fig._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]


def test_paths_name_the_format(tmp_path: Path) -> None:
    fig = figure(saliency_map(targets=[0]), width=3.25)
    fig.savefig(tmp_path / "a.pdf", metadata={"Title": "mine"})
    assert pypdf.PdfReader(tmp_path / "a.pdf").metadata["/Title"] == "mine"  # type: ignore[index]
    fig.savefig(str(tmp_path / "b"))
    assert (tmp_path / "b.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("fname", "options", "message"),
    [
        (None, {}, "a path is a string .*, or a binary file, such as 'figure.pdf', not NoneType"),
        (b"a.pdf", {}, "not bytes"),
        ("", {}, "the path of the figure is empty"),
        ("a.png", {"dpi": 1e9}, "a png image has at most 65,535 pixels .* give at most dpi=20164"),
        ("a.webp", {"dpi": 6000}, "a webp image has at most 16,383 pixels .* give at most dpi=5040"),
    ],
)
def test_no_path_and_images_that_no_file_holds(fname: Any, options: Any, message: str) -> None:
    with pytest.raises(SaliencyError, match=message):
        figure(saliency_map(targets=[0]), width=3.25).savefig(fname, **options)


def test_file_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    fig = figure(saliency_map(targets=[0]), width=3.25)
    with pytest.raises(SaliencyError, match=r"cannot write '.*none/a.pdf': No such file"):
        fig.savefig(tmp_path / "none" / "a.pdf")
    with pytest.raises(
        SaliencyError, match=r"not written as 'docx': choose one of eps, .*savefig\('figure.pdf'\)"
    ):
        fig.savefig(tmp_path / "a.docx")
    assert list(tmp_path.iterdir()) == []


def test_rcparams_stay_as_they_are() -> None:
    before = dict(mpl.rcParams)
    for kind in ("pdf", "svg", "png"):
        saved(figure(saliency_map(targets=[0]), width=3.25), kind)
    assert dict(mpl.rcParams) == before


ALL = ("pdf", "svg", "svgz", "png", "pgf", "eps")


def test_every_format_is_the_same_a_second_later() -> None:
    def files() -> list[bytes]:
        fig = figure(
            [saliency_map(), saliency_map(signed=True, targets=[3])],
            [Matrix(), Bars(top=9)],
            ncols=2,
            width=6.75,
        )
        return [saved(fig, kind) for kind in ALL]

    first = files()
    time.sleep(1.1)  # dates in files have a resolution of seconds
    for kind, before, after in zip(ALL, first, files(), strict=True):
        assert before == after, kind


@pytest.mark.parametrize("mark", [Highlight(), Matrix(), Bars(), Arcs()])
def test_no_mark_writes_type_3_fonts_and_text_can_be_selected(mark: Mark) -> None:
    one = saliency_map(targets=[3, 5])
    reader = pypdf.PdfReader(io.BytesIO(saved(figure(one, mark, width=6.75, title="A title"))))
    fonts = [font.get_object() for font in reader.pages[0]["/Resources"]["/Font"].values()]
    assert {font["/Subtype"] for font in fonts} == {"/Type0"}
    text = reader.pages[0].extract_text()
    assert "A title" in text
    assert "gradient norm of the logit" in text.replace("\u00a0", " ")


def test_files_describe_what_they_show_unless_they_are_anonymous() -> None:
    fig = figure(saliency_map("formal <study>", targets=[0]), Highlight(), width=3.25)
    assert fig.description.startswith(
        "Text in colour: gradient norm for 1 target over 2 tokens. “formal” depends most on"
    )
    for level, carried in (("map", True), ("recipe", False), ("none", False)):
        buffer = io.BytesIO()
        fig.savefig(buffer, format="svg", provenance=level)  # type: ignore[arg-type]
        title = b"<title>Text in colour: gradient norm for 1 target over 2 tokens</title>"
        assert (title in buffer.getvalue()) == carried
        assert (b"<desc>Text in colour" in buffer.getvalue()) == carried
        assert b"<study>" not in buffer.getvalue()
        tex = io.BytesIO()
        fig.savefig(tex, format="pgf", provenance=level)  # type: ignore[arg-type]
        assert (rb"\Description{Text in colour" in tex.getvalue()) == carried
