"""The terminal: coloured text and the table, as Rich prints them."""

from __future__ import annotations

import dataclasses
import io
import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from handmade import of_spans, pair
from render.test_palette import contrast, lightness
from rich.cells import cell_len
from rich.color import Color
from rich.console import Console

from hf_saliency.maps.fields import Prediction, TargetRow
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.maps.spans import Token
from hf_saliency.palette import DARK, LIGHT
from hf_saliency.render import terminal
from hf_saliency.render.typeset.characters import printable

TEXT = "the tea the cat drank"
WORDS = [(0, 3), (4, 7), (8, 11), (12, 15), (16, 21)]
SCORES = [9.0, 0.1, 2.0, 1.0, 0.5, -0.0, 7.0]  # the special tokens at both ends outweigh the rest


@pytest.fixture(autouse=True)
def no_ground(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the background colour of the terminal that runs the tests."""
    monkeypatch.delenv("COLORFGBG", raising=False)


def a_map(rows: int = 1, **changes: Any) -> SaliencyMap:
    tokens = [Token("[CLS]", 0, 0, special=True), *(Token(TEXT[a:b], a, b) for a, b in WORDS)]
    answers = (Prediction("tea", 5, 0.5), Prediction("mil k", 6, 0.25))
    fields: dict[str, Any] = {
        "texts": (TEXT,),
        "tokens": (*tokens, Token("[SEP]", 21, 21, special=True)),
        "targets": tuple(TargetRow("tea", 2, 3.0, masked=True, predictions=answers) for _ in range(rows)),
        "scores": np.tile(np.array(SCORES), (rows, 1)),
        "method": "gradient_norm",
    }
    return SaliencyMap(**{**fields, **changes})


def scored(index: int) -> SaliencyMap:
    heat = a_map()
    return replace(heat, targets=(replace(heat.targets[0], class_id=index),))


def printed(
    saliency_map: SaliencyMap,
    *ids: int | None,
    width: int = 80,
    color: bool = False,
    system: Any = None,
) -> str:
    file = io.StringIO()
    system = system or ("truecolor" if color else None)
    console = Console(file=file, width=width, force_terminal=bool(system), color_system=system)
    known = ids or (5,) * len(saliency_map.targets)
    targets = [replace(target, class_id=i) for target, i in zip(saliency_map.targets, known, strict=True)]
    console.print(terminal.report(console, replace(saliency_map, targets=tuple(targets))))
    return file.getvalue()


def test_plain_text_marks_the_target_and_names_the_strongest_tokens() -> None:
    output = printed(a_map())
    assert "tea (token 2, masked, logit 3.00)\nthe [tea] the cat drank" in output
    assert "\x1b" not in output
    assert "*tea 50.0  mil k 25.0" in output
    assert "the#3 50  cat 25  the#1 5" in output  # special tokens and the target itself do not count


def test_all_tokens_of_a_target_are_marked_and_none_of_them_is_listed() -> None:
    phrase = a_map(targets=(replace(a_map().targets[0], label="tea the", positions=(2, 3)),))
    assert "the [tea the] cat drank" in printed(phrase)
    assert "cat 25  the#1 5" in printed(phrase)
    assert "the#3" not in printed(phrase)
    assert "\x1b[1;4" in printed(phrase, color=True).splitlines()[1]


def test_color_follows_the_score() -> None:
    line, legend = (printed(a_map(), color=True).splitlines()[i] for i in (1, 3))
    ink = "38;2;255;255;255"
    # The target has the largest score.
    assert line.startswith(f"the \x1b[1;4;{ink};48;2;192;79;0mtea\x1b[0m")
    assert f"\x1b[{ink};48;2;91;45;26mthe\x1b[0m \x1b[{ink};48;2;58;34;27mcat\x1b[0m" in line
    assert "[tea]" not in line
    assert legend.count("48;2") == 5
    assert legend.endswith("% of the target's largest")


def test_negative_scores_have_their_own_color() -> None:
    signed = a_map(signed=True, scores=np.array([[0, 1, -2, 1, 1, 1, 0.0]]))
    line = printed(signed, color=True).splitlines()[1]
    assert "48;2;31;118;189mtea" in line
    assert "the#1 50" in printed(signed)


def test_more_than_five_targets_print_one_text_and_every_row() -> None:
    output = printed(a_map(rows=6))
    assert output.count("[tea]") == 1
    assert "the first of 6 targets; see --positions" in output
    assert output.count("*tea 50.0") == 6
    assert printed(a_map(rows=5)).count("[tea]") == 5


def test_a_line_break_divides_no_answer() -> None:
    output = printed(a_map(), width=64)
    assert "*tea 50.0  mil k" not in output  # one line has no room for two answers
    assert "mil k 25.0" in output


def test_a_line_break_that_a_token_stands_for_has_a_sign() -> None:
    code, spans = "if x:\n\ny", [(0, 2), (3, 4), (4, 5), (5, 7), (7, 8)]
    breaks = of_spans(code, *spans, position=3)
    assert "if x:[↵\n↵\n]y" in printed(breaks)
    assert len(re.findall(r"48;2;[\d;]+m↵\x1b\[0m\n", printed(breaks, color=True))) == 2
    assert "48;2;192;79;0my\x1b" in printed(breaks, color=True)  # the token after them has its own colour
    between = of_spans(code, *spans[:3], spans[4], position=3)  # no token covers them
    assert "if x:\n\n[y]" in printed(between)


def test_scores_that_are_no_numbers_are_struck() -> None:
    broken = a_map(scores=np.array([[0, np.nan, 2, 1, np.inf, 1, 0]]))
    assert "\x1b[9mthe\x1b[0m" in printed(broken, color=True)
    assert "the#3 50  drank 50" in printed(broken)
    assert terminal.strengths(broken).tolist() == [[0, 0, 1, 0.5, 0, 0.5, 0]]


def test_a_row_of_zeros_has_no_color() -> None:
    nothing = a_map(scores=np.zeros((1, 7)))
    assert "48;2" not in printed(nothing, color=True).splitlines()[1]


@pytest.mark.parametrize(
    ("changes", "class_id", "expected"),
    [
        ({}, 5, "50.0"),
        ({}, 9, "<25.0"),
        ({}, None, ""),
        ({"predictions": ()}, 9, ""),
        ({"unit": "prob", "score": 0.125}, 9, "12.5"),
        ({"unit": "log_prob", "score": math.log(0.125)}, 9, "12.5"),
        ({"unit": "prob", "score": 0.125, "against": "cat"}, 5, "50.0"),
    ],
)
def test_chance(changes: dict[str, Any], class_id: int | None, expected: str) -> None:
    target = dataclasses.replace(a_map().targets[0], **changes)
    assert terminal.chance(replace(target, class_id=class_id)) == expected


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert printable("a\x1b[2Jb\x07\x9bc\n") == "a␛[2Jb␇�c\n"
    evil = dataclasses.replace(a_map().targets[0], label="\x1b[31mtea", against="\x1b]0;x\x07")
    output = printed(a_map(texts=("the\x1btea the cat drank",), targets=(evil,)))
    assert "\x1b" not in output
    assert "the␛[tea]" in output


def test_markup_in_a_text_is_text() -> None:
    text = "[b]ea the cat :tea:  "
    assert "[b]ea the cat" in printed(a_map(texts=(text,), targets=(TargetRow("[b]", None, 1.0),)), None)


STEPS = np.array([[0, 0.2, 0.4, 0.6, 0.8, 1.0, 0]])
STYLE = re.compile(r"\x1b\[([0-9;]*)m([^\x1b]*)\x1b\[0m")


def painted(one: SaliencyMap, system: str) -> list[tuple[str, str, str]]:
    """Return (word, ink, background) of each coloured word, with colours as codes of six digits."""
    found = []
    for codes, word in STYLE.findall(printed(one, None, system=system).splitlines()[1]):
        parts = re.fullmatch(r"(?:[0-9];)*38;(2;[0-9;]+|5;\d+);48;(2;[0-9;]+|5;\d+)", codes)
        assert parts, codes
        found.append((word, *(hexadecimal(part) for part in parts.groups())))
    return found


def hexadecimal(code: str) -> str:
    kind, *numbers = map(int, code.split(";"))
    rgb = numbers if kind == 2 else Color.from_ansi(numbers[0]).get_truecolor()
    return "#" + "".join(f"{channel:02x}" for channel in rgb)


@pytest.mark.parametrize("system", ["truecolor", "256"])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("ground", ["", "0;15", "15;default;0"])
def test_ink_is_read_on_every_color_and_stronger_is_farther_from_the_ground(
    system: str, sign: int, ground: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLORFGBG", ground)
    palette, direction = (LIGHT, -1) if ground == "0;15" else (DARK, 1)
    target = TargetRow("x", None, 1.0)
    words = painted(a_map(signed=True, scores=sign * STEPS, targets=(target,)), system)
    assert [word for word, _, _ in words] == TEXT.split()
    assert all(contrast(ink, ground) >= 4.5 for _, ink, ground in words)
    steps = direction * np.diff([lightness(ground) for _, _, ground in words])
    assert (steps > 2).all()
    arm = palette.positive if sign > 0 else palette.negative
    if system == "truecolor":
        assert [ground for _, _, ground in words] == list(arm[1:])
    else:  # colours are rounded to one of 256 with the same hue: more red than blue, or more blue than red
        reds, blues = ([int(ground[i : i + 2], 16) for _, _, ground in words] for i in (1, 5))
        assert all(sign * (red - blue) > 0 for red, blue in zip(reds, blues, strict=True))


def test_the_legend_has_the_colors_of_the_text() -> None:
    for system in ("truecolor", "256"):
        output = printed(a_map(signed=True, scores=STEPS), None, system=system)
        (legend,) = [line for line in output.splitlines() if line.endswith("% of the target's largest")]
        grounds = [codes for codes, _ in STYLE.findall(legend)]
        assert len(set(grounds)) == 10
        assert all(
            codes.partition("48;")[2] in "".join(grounds)
            for codes, _ in STYLE.findall(output.splitlines()[1])
        )


@pytest.mark.parametrize("system", [None, "truecolor", "256"])
@pytest.mark.parametrize("width", [20, 33, 80])
def test_any_text_is_wrapped_to_the_window(system: Any, width: int) -> None:
    text = "日本語のテキストは空白がありません。 👩🏽‍💻 ok e\u0301te\u0301 שלום a" + "very" * 12 + "long one"
    places = [m.span() for m in re.finditer(r"\S{1,3}", text)]
    scores = np.linspace(0.1, 1, len(places))[None]
    tokens = tuple(Token("t", *place) for place in places)
    heat = SaliencyMap((text,), tokens, (TargetRow("x", 3, 1.0),), scores, "m")
    output = re.sub(r"\x1b\[[0-9;]*m", "", printed(heat, None, width=width, system=system))
    assert max(cell_len(line) for line in output.splitlines()) <= width
    shown = "".join(output.split()).replace("[", "").replace("]", "")
    assert "".join(text.split()) in shown


def test_sixteen_colors_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("COLORTERM", raising=False)
    systems = {}
    for term in ("xterm", "xterm-256color", "dumb"):
        monkeypatch.setenv("TERM", term)
        systems[term] = terminal.console().color_system
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("TERM", "xterm-256color")
    assert systems == {"xterm": None, "xterm-256color": "256", "dumb": None}
    assert terminal.console().color_system == "truecolor"


def test_what_would_reorder_or_break_a_line_is_shown() -> None:
    assert printable("a\u202eb\u2066c\u2028d\ud800") == "a\ufffdb\ufffdc\u2424d\ufffd"
    assert printable("שלום مرحبا é 👩‍💻") == "שלום مرحبا é 👩‍💻"


def test_console_has_no_color_where_none_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert terminal.console().color_system is not None
    monkeypatch.setenv("NO_COLOR", "1")
    assert terminal.console().color_system is None


def test_write_survives_a_closed_pipe_and_a_poor_encoding(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding="ascii"))
    console = Console(color_system=None, width=80)
    terminal.write(console, "caf\u00e9   ")
    assert raw.getvalue() == b"caf?\n"


def test_a_failed_completeness_check_is_printed() -> None:
    failed = a_map(
        2,
        signed=True,
        method="integrated_gradients",
        convergence_delta=np.array([0.0, 4.0]),
        missed_sums=np.array([np.nan, 10.0]),
    )
    assert "1 of 2 targets do not add up; 'tea' misses 10 by 4" in printed(failed)
    assert "add up" not in printed(a_map())


def test_texts_have_their_names() -> None:
    named = printed(pair(), 7)
    assert "question: one two\ncontext: [six ten]" in named
    assert "\x1b[1;4" in printed(pair(), 7, color=True).splitlines()[2].removeprefix("context: ")[:6]
