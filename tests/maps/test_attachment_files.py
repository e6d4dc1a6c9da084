"""Reading files back: each format, and files that are damaged, forged or of another kind."""

from __future__ import annotations

import gzip
import struct
import time
import zlib
from pathlib import Path
from typing import Any

import pypdf
import pytest
import sample_maps as maps
from PIL import Image, PngImagePlugin

from hf_saliency.errors import SaliencyError
from hf_saliency.maps import attachment
from hf_saliency.maps.attachment import KEY, Attachment
from hf_saliency.render.figure import figure
from hf_saliency.render.files import SaliencyFigure
from hf_saliency.render.marks import Highlight
from hf_saliency.render.sheets import sheets

KINDS = ("pdf", "png", "svg", "svgz")
LINE = attachment.dumps(Attachment((maps.sweep(),)))


def drawn(*given: Any, **options: Any) -> SaliencyFigure:
    found = figure(list(given) or [maps.sweep()], width=4.0, **options)
    assert isinstance(found, SaliencyFigure)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_carries_all_of_its_maps(kind: str, tmp_path: Path) -> None:
    heat, other = maps.sweep(), maps.sweep(method="saliency")
    path = tmp_path / f"a.{kind}"
    drawn(heat, other).savefig(path)
    path = path.rename(tmp_path / "named.otherwise")
    assert attachment.read_maps(path) == [heat, other]


@pytest.mark.parametrize("kind", KINDS)
def test_less_is_carried_where_less_is_wanted(kind: str, tmp_path: Path) -> None:
    heat = maps.sweep(provenance={"model": "a/b"})
    path = tmp_path / f"a.{kind}"
    drawn(heat).savefig(path, provenance="recipe")
    assert attachment.read(path).recipes == attachment.Attachment((heat,)).recipes
    with pytest.raises(SaliencyError, match=r"provenance='recipe' and carries no text and no scores"):
        attachment.read_maps(path)
    bare = path.stat().st_size
    drawn(heat).savefig(path, provenance="none")
    assert path.stat().st_size < bare
    assert KEY.encode() not in path.read_bytes() or kind == "svg"
    with pytest.raises(SaliencyError, match="carries no saliency map"):
        attachment.read(path)


def test_only_the_targets_drawn_are_carried(tmp_path: Path) -> None:
    drawn(targets=["end", 0]).savefig(tmp_path / "a.pdf")
    assert attachment.read_maps(tmp_path / "a.pdf") == [maps.sweep().select("end", 0)]


def test_sheets_carry_their_maps_once(tmp_path: Path) -> None:
    found = sheets([maps.sweep(), maps.sweep(method="saliency")], Highlight(), width=3.0, height=2.0)
    assert len(found) > 1
    found.savefig(tmp_path / "a.pdf")
    assert attachment.read_maps(tmp_path / "a.pdf") == [maps.sweep(), maps.sweep(method="saliency")]
    found[1].savefig(tmp_path / "b.png")
    assert len(attachment.read_maps(tmp_path / "b.png")) == 2
    found.savefig(tmp_path / "a.pdf", provenance="recipe")
    assert attachment.read(tmp_path / "a.pdf").maps == ()
    found[:1].savefig(tmp_path / "a.pdf", provenance="none")
    with pytest.raises(SaliencyError, match="carries no saliency map"):
        attachment.read(tmp_path / "a.pdf")


@pytest.mark.parametrize("kind", ["eps", "ps", "pgf", "jpg", "webp", "tif"])
def test_other_formats_carry_nothing_of_the_map(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{kind}"
    drawn().savefig(path)
    assert b"zlib,base64" not in path.read_bytes()
    with pytest.raises(SaliencyError, match="is not a file that carries saliency maps"):
        attachment.read(path)


def test_two_runs_write_the_same_bytes(tmp_path: Path) -> None:
    def files() -> list[bytes]:
        for kind in KINDS:
            drawn().savefig(tmp_path / f"a.{kind}")
        return [(tmp_path / f"a.{kind}").read_bytes() for kind in KINDS]

    first = files()
    time.sleep(1.1)
    assert files() == first


def test_metadata_of_ones_own_stays(tmp_path: Path) -> None:
    for kind, key in (("pdf", "Title"), ("png", "Title"), ("svg", "Title")):
        path = tmp_path / f"a.{kind}"
        drawn().savefig(path, metadata={key: "mine"})
        assert b"mine" in path.read_bytes()
        assert attachment.read_maps(path) == [maps.sweep()]


def test_a_notebooks_image_carries_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(drawn()._repr_png_())
    with pytest.raises(SaliencyError, match="carries no saliency map"):
        attachment.read(tmp_path / "a.png")


def test_a_pdf_that_another_program_saved_is_read_if_it_kept_its_info(tmp_path: Path) -> None:
    drawn().savefig(tmp_path / "a.pdf")
    writer = pypdf.PdfWriter(clone_from=tmp_path / "a.pdf")
    writer.compress_identical_objects()
    writer.write(tmp_path / "b.pdf")
    assert attachment.read_maps(tmp_path / "b.pdf") == [maps.sweep()]


def test_an_svg_that_another_program_saved_is_read(tmp_path: Path) -> None:
    text = f'<?xml version="1.0"?><s:svg xmlns:s="x"><s:metadata\n a="b" id="{KEY}">\n {LINE}\n</s:metadata></s:svg>'
    (tmp_path / "a.svg").write_text(text, "utf-8")
    assert attachment.read_maps(tmp_path / "a.svg") == [maps.sweep()]


def test_a_maps_own_file_is_read(tmp_path: Path) -> None:
    maps.sweep().save(tmp_path / "a.json")
    assert attachment.read_maps(tmp_path / "a.json") == [maps.sweep()]


def refusal(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(SaliencyError) as caught:
        attachment.read(path)
    return str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_files_cut_off_anywhere_are_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    drawn().savefig(tmp_path / f"a.{kind}")
    whole = (tmp_path / f"a.{kind}").read_bytes()
    middle = whole.find(KEY.encode()) + 500 if kind in ("png", "svg") else len(whole) // 2
    # A PNG can be read if its text is complete, even if its image is not.
    for end in (3, 20, 100, middle, *([] if kind == "png" else [len(whole) // 3])):
        assert "'" in refusal(path, whole[:end])


@pytest.mark.parametrize("kind", KINDS)
def test_any_byte_may_be_wrong(kind: str, tmp_path: Path) -> None:
    """A damaged file is refused, or its maps are equal to those that were written."""
    path = tmp_path / "a"
    drawn().savefig(tmp_path / f"a.{kind}")
    whole = bytearray((tmp_path / f"a.{kind}").read_bytes())
    start = max(whole.find(b"zlib,base64"), 0)
    for i in [*range(8, len(whole), len(whole) // 40), *range(start, start + 60, 7)]:
        damaged = bytearray(whole)
        damaged[i] ^= 0x15
        path.write_bytes(damaged)
        try:
            found = attachment.read_maps(path)
        except SaliencyError:
            continue
        assert found == [maps.sweep()]


def test_what_is_no_carrier_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a"
    assert "is not a file that carries saliency maps" in refusal(path, b"")
    assert "is not a file that carries saliency maps" in refusal(path, b"GIF89a")
    assert "is an SVG file that carries no saliency map" in refusal(path, b"<svg/>")
    assert "is an HTML file that carries no" in refusal(path, b"<!doctype HTML><p>")
    assert "is not a saliency map" in refusal(path, b"{}")
    assert "damaged SVG" in refusal(path, b"<svg>")
    assert "damaged PDF" in refusal(path, b"%PDF-1.4 nothing")
    assert "damaged PNG" in refusal(path, b"\x89PNG\r\n\x1a\n nothing")
    assert "damaged gzip" in refusal(path, b"\x1f\x8b nothing")
    assert "starts with '7'" in refusal(path, f'<svg><metadata id="{KEY}">7</metadata></svg>'.encode())
    with pytest.raises(SaliencyError, match=r"cannot read '.*none': No such file"):
        attachment.read(tmp_path / "none")
    with pytest.raises(SaliencyError, match="cannot read"):
        attachment.read(tmp_path)
    with pytest.raises(SaliencyError, match="cannot read"):
        attachment.read("a\0b")


def test_entities_are_refused_before_they_grow(tmp_path: Path) -> None:
    laughs = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
    bomb = f'<!DOCTYPE svg [<!ENTITY l0 "ha">{laughs}]><svg><metadata id="{KEY}">&l9;</metadata></svg>'
    assert "it declares entities" in refusal(tmp_path / "a.svg", bomb.encode())
    outside = f'<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg><metadata id="{KEY}">&x;</metadata></svg>'
    assert "it declares entities" in refusal(tmp_path / "a.svg", outside.encode())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<g/>" * 5_000_001, "more than 5,000,000 tags"),
        (b"<metadata id='hf_saliency'>" + b"\n" * 20_000_001 + b"</metadata>", "more than 20,000,000 lines"),
        (b"&lt;" * 5_000_001, "more than 5,000,000 references"),
        (b"<g " + b" ".join(b'a%d=""' % i for i in range(1001)) + b"/>", "a tag of 1,000 attributes"),
    ],
    ids=["tags", "lines", "references", "attributes"],
)
def test_what_a_parser_stops_at_is_counted_before(content: bytes, reason: str, tmp_path: Path) -> None:
    bomb = b"<svg>" + content + b"</svg>"
    assert reason in refusal(tmp_path / "a.svg", bomb)
    packed = gzip.compress(bomb, 1)
    assert len(packed) < 2**20
    assert reason in refusal(tmp_path / "a.svgz", packed)


def test_attributes_by_default_are_refused_before_each_tag_has_them(tmp_path: Path) -> None:
    bomb = b'<!DOCTYPE svg [<!ATTLIST g a CDATA "x">]><svg><g/></svg>'
    assert "it declares entities or attributes" in refusal(tmp_path / "a.svg", bomb)


def test_a_table_of_many_references_is_not_read_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert attachment._FewReads.left <= 1_000_000
    monkeypatch.setattr(attachment._FewReads, "left", 5_000)
    drawn().savefig(tmp_path / "whole.pdf")
    assert attachment.read_maps(tmp_path / "whole.pdf") == [maps.sweep()]
    count = 5_000
    table = b"xref\n0 %d\n" % count + b"0000000000 00000 n \n" * count
    end = b"trailer <</Size %d /Root 1 0 R>>\nstartxref\n9\n%%%%EOF\n" % count
    assert "more references than any figure" in refusal(tmp_path / "a.pdf", b"%PDF-1.4\n" + table + end)
    objects = b"%PDF-1.4\n" + b"1 0 obj\n" * 1_000_001 + end
    assert "more than 1,000,000 objects" in refusal(tmp_path / "a.pdf", objects)
    lines = b"%PDF-1.4\n" + b"\n" * 20_000_001
    assert "more than 20,000,000 lines" in refusal(tmp_path / "a.pdf", lines)


def test_an_image_of_many_chunks_is_not_walked_through(tmp_path: Path) -> None:
    empty = struct.pack(">I", 0) + b"teXt" + struct.pack(">I", zlib.crc32(b"teXt"))
    assert "more than 10,000 chunks" in refusal(tmp_path / "a.png", b"\x89PNG\r\n\x1a\n" + empty * 10_001)


def test_files_too_large_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attachment, "_LARGEST_FILE", 2**20)
    assert "is larger than 1 MiB" in refusal(tmp_path / "a", b"%PDF" + b" " * 2**20)
    assert "unpacks to more than any figure" in refusal(
        tmp_path / "a", gzip.compress(b"<svg>" + b" " * 2**21)
    )


def test_an_image_of_a_million_megapixels_is_not_decoded(tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    size = chunk(b"IHDR", struct.pack(">IIBBBBB", 2**20, 2**20, 8, 2, 0, 0, 0))
    image = b"\x89PNG\r\n\x1a\n" + size + chunk(b"tEXt", f"{KEY}\0{LINE}".encode()) + chunk(b"IEND", b"")
    assert "damaged PNG" in refusal(tmp_path / "a.png", image)


def test_a_forged_png_text_is_refused(tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_itxt(KEY, "x" * 1000, zip=True)
    Image.new("L", (1, 1)).save(tmp_path / "a.png", pnginfo=info)
    with pytest.raises(SaliencyError, match="are damaged"):
        attachment.read(tmp_path / "a.png")
