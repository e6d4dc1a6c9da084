from __future__ import annotations

import io
import itertools
import warnings
from collections.abc import Iterator

import numpy as np
import pypdf
import pytest
from handmade import filled, need_fonts, of_spans, outside, overlapping, panels, saliency_map, strings
from matplotlib.figure import Figure
from matplotlib.text import Text

from hf_saliency.render.figure import figure
from hf_saliency.render.marks import Highlight, Matrix
from hf_saliency.render.typeset import fonts as fallback
from hf_saliency.render.typeset.fonts import MISSING, MissingGlyphs, base_faces, fonts
from hf_saliency.render.typeset.line import shape

SAMPLES = {
    "chinese": "语言模型的预测取决于上下文中的哪些词",
    "japanese": "このモデルの予測は文の中のどの単語に",
    "korean": "이 모델의 예측은 문장의",
    "arabic": "تعتمد التنبؤات على كلمات السياق",
    "hebrew": "החיזוי של המודל תלוי",
    "devanagari": "भविष्यवाणी किन शब्दों पर",
    "thai": "ผลการทำนายของแบบจำลอง",
    "emoji": "great 🎉 talk 👍🏽 👩\u200d💻 🇫🇷",
}


def lefts(text: str, *spans: tuple[int, int]) -> list[float]:
    """Return the left ends of the boxes of some tokens, in the order of the tokens."""
    one = of_spans(text, *spans)
    boxes = filled(panels(figure(one, Highlight(), width=3.25))[0])
    colors = {tuple(color): box[0] for box, color in boxes}
    assert len(colors) == len(spans)
    # Later tokens have higher scores and therefore darker colours.
    return [colors[c] for c in sorted(colors, key=lambda c: -sum(c))]


def words(text: str) -> list[tuple[int, int]]:
    ends = np.cumsum([len(word) + 1 for word in text.split(" ")])
    return [(int(end) - 1 - len(word), int(end) - 1) for word, end in zip(text.split(" "), ends, strict=True)]


@pytest.mark.parametrize("name", SAMPLES)
def test_every_script_is_drawn_without_a_warning(name: str) -> None:
    need_fonts(SAMPLES[name])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for mark in (Highlight(), Matrix(predictions=1)):
            fig = figure(saliency_map(SAMPLES[name], targets=[0]), mark, width=5.0)
            fig.draw_without_rendering()
            if name != "thai":  # Matplotlib measures Thai text by its font, far beyond its ink
                assert overlapping(fig) == outside(fig) == []
            assert not any(MISSING in text for text in strings(fig))


# --- order


def test_first_token_stands_on_the_right_of_a_line_from_right_to_left() -> None:
    text = "החיזוי של המודל"
    assert lefts(text, *words(text)) == sorted(lefts(text, *words(text)), reverse=True)
    box, _ = filled(panels(figure(of_spans(text, *words(text)), width=3.25))[0])[-1]
    assert box[0] + box[2] == pytest.approx(3.25 * 72 - 2.0, abs=0.01)  # at the edge, except for the margin


def test_caption_of_a_block_from_the_right_begins_on_the_right() -> None:
    target = "החיזוי"
    one = saliency_map("החיזוי של המודל", targets=[0], predictions=2)
    fig = figure(one, Highlight(), width=3.25)
    texts = panels(fig)[0].texts
    below = [
        text for text in texts if text.get_position()[1] > texts[0].get_position()[1] and text.get_text()
    ]
    read = sorted(below, key=lambda text: -text.get_position()[0])
    words_read = [text.get_text().strip("\u200f ") for text in read]
    assert [word for word in words_read if word] == [target, "←", "language", "0.60", "music", "0.30"]
    right = read[0].get_window_extent().x1 * 72 / fig.dpi
    assert right == pytest.approx(3.25 * 72 - 1.8, abs=1.0)


def test_latin_words_and_numbers_keep_their_order_inside() -> None:
    text = "המודל BERT base גדול 12.5"
    hebrew, bert, base, big, number = lefts(text, *words(text))
    assert hebrew > base > bert > big > number


def test_hebrew_inside_a_latin_line() -> None:
    text = "say שלום לכם now"
    say, first, second, now = lefts(text, *words(text))
    assert say < second < first < now


def test_brackets_are_mirrored() -> None:
    text = "המודל (שלי) גדול"
    fig = figure(of_spans(text, *words(text)), width=3.25)
    assert "(שלי)" in strings(fig)  # Matplotlib mirrors text that runs from right to left
    alone = figure(of_spans("א (", (0, 1), (2, 3)), width=3.25)
    assert "\u200f(" in strings(alone)


def test_letters_join_across_tokens_and_boxes_fill_the_word() -> None:
    word = "كلمات"
    face = base_faces("normal")[0]
    whole = shape(tuple(word), face, True)
    assert whole.width < sum(shape((c,), face, True).width for c in word)  # joined letters are narrower
    fig = figure(of_spans(word, (0, 2), (2, 5)), Highlight(predictions=0), width=3.25)
    assert strings(fig).count(word) == 1  # one artist, so that its letters join
    second, first = (box for box, _ in filled(panels(fig)[0]))
    assert second[0] + second[2] == pytest.approx(first[0])
    assert first[2] + second[2] == pytest.approx(whole.width * 8.33 / 100 + 1.6, abs=0.1)


def test_ligature_is_shared_by_its_tokens() -> None:
    second, first = (box for box, _ in filled(panels(figure(of_spans("لا", (0, 1), (1, 2)), width=3.25))[0]))
    assert first[2] == pytest.approx(second[2], abs=0.01)


def test_token_of_both_directions_has_a_box_for_each_stretch() -> None:
    boxes = filled(panels(figure(of_spans("אבaבא", (0, 3), (3, 5)), width=3.25))[0])
    assert len(boxes) == 2
    boxes = filled(panels(figure(of_spans("abאב cd", (1, 3), (0, 1), (3, 7)), width=3.25))[0])
    assert len(boxes) == 5


def test_mark_that_reaches_before_its_letter_does_not_widen_the_box() -> None:
    (first, _), *rest = filled(panels(figure(of_spans("aגָb", (0, 1), (1, 3), (3, 4)), width=3.25))[0])
    assert rest[0][0][0] == pytest.approx(first[0] + first[2])


def test_control_that_stands_apart_from_its_sign_has_no_box() -> None:
    text = "א\u200e1ב"
    boxes = filled(panels(figure(of_spans(text, (0, 1), (1, 2), (2, 3), (3, 4)), width=3.25))[0])
    assert len(boxes) == 4
    assert min(box[2] for box, _ in boxes) > 1


def test_emoji_modifier_is_on_the_level_of_what_it_stands_on() -> None:
    need_fonts("\U0001f3fb")
    text = "א12\U0001f3fb3ב"  # by itself, the modifier would run from right to left between two numbers
    boxes = sorted(box for box, _ in filled(panels(figure(of_spans(text, (0, 3), (3, 6)), width=3.25))[0]))
    for before, after in itertools.pairwise(boxes):
        assert before[0] + before[2] == pytest.approx(after[0])


def test_lines_are_broken_before_they_are_reordered() -> None:
    text = "אחת שתיים שלוש ארבע חמש שש שבע שמונה תשע עשר"
    boxes = filled(panels(figure(of_spans(text, *words(text)), Highlight(), width=1.5))[0])
    tops = sorted({round(box[1], 3) for box, _ in boxes})
    assert len(tops) > 1
    shades = [
        [-sum(c) for box, c in sorted(boxes, key=lambda b: -b[0][0]) if round(box[1], 3) == y] for y in tops
    ]
    read = [shade for line in shades for shade in line]
    assert read == sorted(read)


# --- fonts


def test_fewest_faces_are_chosen_and_always_the_same() -> None:
    text = SAMPLES["chinese"]
    need_fonts(text)
    first = fonts(text, "normal")
    assert len(first.fallback) == 1
    fallback._fonts.cache_clear()
    assert fonts(text, "normal") == first


def test_latin_letters_stay_in_the_font_of_rcparams() -> None:
    need_fonts(SAMPLES["chinese"])
    fig = figure(saliency_map("语言BERT", targets=[0], predictions=0), Highlight(), width=3.25)
    names = {text.get_text(): text.get_fontname() for text in fig.findobj(Text)}
    assert names["BERT"] == "DejaVu Sans"
    assert names["语言"] != "DejaVu Sans"


def test_higher_letters_make_higher_lines() -> None:
    stacked = figure(saliency_map("Z\u030a\u0301\u0302\u0303 ab", targets=[0], predictions=0), width=3.25)
    plain = figure(saliency_map("Zu ab", targets=[0], predictions=0), width=3.25)
    assert stacked.get_figheight() > plain.get_figheight()
    assert outside(stacked) == []


def test_parts_of_a_letter_that_no_font_has_as_a_whole_are_drawn_in_several() -> None:
    need_fonts("ำ")
    with warnings.catch_warnings():
        # Warnings of Matplotlib are errors: Thai fonts also lack the sign for a missing character.
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", MissingGlyphs)
        fig = figure(of_spans("ำ\U0001f3fd", (0, 2)), Highlight(), width=3.25)
        fig.draw_without_rendering()
    assert strings(panels(fig)[0]) in (["ำ", "\U0001f3fd"], ["ำ", MISSING])


@pytest.fixture
def no_fallback(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(fallback, "installed", lambda weight: [])
    monkeypatch.setattr(fallback, "register_new", lambda: None)
    fallback._fonts.cache_clear()
    yield
    fallback._fonts.cache_clear()


@pytest.mark.usefixtures("no_fallback")
def test_one_warning_names_what_is_missing_and_the_font_to_install() -> None:
    one = saliency_map("中文 中 क", targets=[0], predictions=0)
    with pytest.warns(MissingGlyphs) as caught:
        fig = figure([one, one], width=3.25, title=["中", "b"])
    assert len(caught) == 1
    message = str(caught[0].message)
    assert "क (U+0915), 中 (U+4E2D), 文 (U+6587); □ is drawn instead" in message
    assert "Noto Sans CJK and Noto Sans Devanagari" in message
    assert "fonts-noto-cjk" in message or "font-noto-sans-cjk" in message
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Matplotlib gives no further warning
        fig.savefig(io.BytesIO(), format="pdf")


@pytest.mark.usefixtures("no_fallback")
def test_many_missing_characters_are_counted() -> None:
    with pytest.warns(MissingGlyphs, match="and 3 more"):
        figure(saliency_map("".join(map(chr, range(0x4E00, 0x4E0F))), targets=[0], predictions=0))


# --- files


def saved(fig: Figure, kind: str) -> bytes:
    buffer = io.BytesIO()
    fig.savefig(buffer, format=kind)
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["chinese", "japanese", "korean"])
def test_pdf_has_truetype_fonts_and_the_text(name: str) -> None:
    need_fonts(SAMPLES[name])
    one = saliency_map(SAMPLES[name], targets=[0], predictions=0)
    page = pypdf.PdfReader(io.BytesIO(saved(figure(one, width=5.0), "pdf"))).pages[0]
    for font in page["/Resources"]["/Font"].values():
        inner = font.get_object()["/DescendantFonts"][0].get_object()
        data = inner["/FontDescriptor"]["/FontFile2"].get_object().get_data()
        assert data[:4] in (b"\0\1\0\0", b"true")  # TrueType outlines, not CFF
    # Older releases of pypdf lose spaces between Korean words.
    assert SAMPLES[name].replace(" ", "") in "".join(page.extract_text().split())


def test_svg_names_the_font_of_each_word() -> None:
    need_fonts(SAMPLES["chinese"])
    one = saliency_map("a 语", targets=[0], predictions=0)
    svg = saved(figure(one, Highlight(), width=3.25), "svg").decode()
    assert ">语</text>" in svg
    family = fonts("语", "normal").fallback[0].family
    assert f"'{family}'" in svg


@pytest.mark.parametrize("name", SAMPLES)
def test_same_bytes_again(name: str) -> None:
    need_fonts(SAMPLES[name])
    one = saliency_map(SAMPLES[name], targets=[0])
    first = [saved(figure(one, width=3.25), kind) for kind in ("pdf", "svg")]
    fallback._fonts.cache_clear()
    assert [saved(figure(one, width=3.25), kind) for kind in ("pdf", "svg")] == first
