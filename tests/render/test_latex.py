"""LaTeX: a small grammar of TeX parses the output, since CI has no TeX; it was compiled by hand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import sample_maps as maps
from handmade import PIECES, SENTENCE, pair, saliency_map, with_scores
from hypothesis import HealthCheck, given, settings, strategies as st

from hf_saliency.errors import SaliencyError
from hf_saliency.maps.fields import TargetRow
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.render import latex
from hf_saliency.render.colors import Colors
from hf_saliency.render.latex import to_latex
from hf_saliency.render.latex_table import to_latex_table
from hf_saliency.render.marks import Highlight, Matrix
from hf_saliency.render.tex import escape, unknown_to_pdflatex

LITERAL = r"""$5_{x}$ \alpha 100% #1 & ^2 {} <b> ~ | " ' `` '' -- --- ,, \textbf{x} don't"""

# Commands that a snippet may use: those of the kernel, those of xcolor, and those that it defines.
COMMANDS = set(
    "begingroup endgroup setlength fboxsep fboxrule parindent parskip def colorbox fcolorbox color strut par "
    "medskip footnotesize quad rule allowbreak ensuremath textsuperscript phantom textbackslash textasciicircum "
    "textasciitilde textless textgreater textbar textasciigrave char rightarrow times infty hookleftarrow mapsto "
    "geq langle leq rangle raggedright textvisiblespace rho "
    "hsBox hsFrame hsDash hsMissing hsBar hsRamp hsCut hsAcross hsDown "
    "lineskiplimit maxdimen baselineskip penalty relax kern vskip ifdefined Description fi hbox vbox wd ht dp cleaders "
    "hss vss vrule hrule hfill vfill hfil lower raise dimexpr setbox leavevmode rlap copy "
    "hsCell tabularnewline hline noalign endhead begin end linewidth tabcolsep textbf".split()
)
TOKEN = re.compile(
    r"\\([A-Za-z]+)[ \n]*|\\([{}$&#%_])|([{}])|%[^\n]*\n|([^\\{}$&#%_^~]+)|(~)|(#[12])|(&)", re.S
)


def tokens(tex: str) -> Iterator[tuple[str, str]]:
    """Yield (kind, text) of all parts; an unescaped character with a meaning in TeX is an error."""
    place = 0
    while place < len(tex):
        match = TOKEN.match(tex, place)
        assert match, f"{tex[place]!r} is bare in ...{tex[max(0, place - 30) : place + 10]!r}"
        kinds = ("command", "symbol", "brace", "text", "tie", "parameter", "cell")
        for kind, text in zip(kinds, match.groups(), strict=True):
            if text is not None:
                yield kind, text
        place = match.end()


def check(tex: str, *, table: bool = False) -> None:
    depth = 0
    for kind, text in tokens(tex):
        assert kind != "cell" or table
        assert kind != "command" or text in COMMANDS, text
        if kind == "brace":
            depth += 1 if text == "{" else -1
            assert depth >= 0
    assert depth == 0


PRINTED = {
    "textbackslash": "\\",
    "textasciicircum": "^",
    "textasciitilde": "~",
    "textless": "<",
    "textgreater": ">",
    "textbar": "|",
    "textasciigrave": "`",
}


def printed(tex: str) -> str:
    """Return the text that TeX would print for escaped ASCII text."""
    found = []
    following = iter(list(tokens(tex)))
    for kind, text in following:
        if kind == "command" and text == "char":
            assert next(following) == ("text", "34")
            found.append('"')
        elif kind == "command":
            found.append(PRINTED[text])
        elif kind in ("text", "symbol"):
            found.append(text)
        elif kind == "tie":
            found.append("\u00a0")
    return "".join(found)


def body(tex: str) -> str:
    """Return a snippet without the definitions at its beginning."""
    return tex[tex.index("\n", tex.index("\\lineskiplimit")) + 1 :]


def boxes(tex: str) -> list[tuple[str, str, str]]:
    """Return (command, colour, printed text) of every box around a token."""
    found = []
    for match in re.finditer(r"\\hs(Box|Frame|Dash|Missing)\{([^{}]*)\}\{", body(tex)):
        depth, end = 1, match.end()
        while depth:
            depth += {"{": 1, "}": -1}.get(body(tex)[end], 0) * (body(tex)[end - 1] != "\\")
            end += 1
        if "phantom" not in body(tex)[match.end() : end]:
            found.append((match[1], match[2], printed(body(tex)[match.end() : end - 1])))
    return found


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_ascii_is_printed_as_it_is(text: str) -> None:
    assert printed(escape(text)) == text
    for two in ("--", "''", ",,", "``", "?`", "!`", "<<", ">>"):
        assert two not in escape(text)  # TeX would print a ligature


@given(st.text())
def test_any_text_is_escaped(text: str) -> None:
    check(escape(text.replace("\n", "")))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # maps are slow to make
@given(maps.maps(scores=st.floats(0, 9, width=32) | st.just(float("nan"))))
def test_any_map_is_a_snippet_that_parses(one: SaliencyMap) -> None:
    try:
        tex = to_latex(replace(one, signed=True), Highlight(special=True))
    except SaliencyError:
        return
    check(tex)
    assert tex.rstrip("\n").endswith("\\endgroup")


def test_the_grammar_finds_what_is_wrong() -> None:
    for bad in ("a_b", "$x$", "#3", r"\unknown{}", "{", "}", "a^b", "a&b", "\\"):
        with pytest.raises(AssertionError):
            check(bad)
    assert printed("50% of\n") != "50% of\n"


def test_tokens_have_their_colours_in_order() -> None:
    one = saliency_map(LITERAL, targets=[0, 1], split=PIECES)
    colors = Colors.of([one])
    expected = colors.fill(colors.values(one))
    found = boxes(to_latex(one))
    assert "".join(text for _, _, text in found) == "".join(one.labels) * 2
    drawn = np.array([[int(color[i : i + 2], 16) / 255 for i in (0, 2, 4)] for _, color, _ in found])
    np.testing.assert_allclose(drawn, expected[..., :3].reshape(-1, 3), atol=0.5 / 255 + 1e-9)


def test_target_has_a_frame_and_spaces_are_places_to_break() -> None:
    one = saliency_map(targets=[5], predictions=0)
    found = boxes(to_latex(one))
    assert [text for kind, _, text in found if kind == "Frame"] == ["grammar"]
    start = body(to_latex(one))
    assert re.sub(r"\\hs\w+\{\w+\}\{(\w+)\}", r"\1", start.split("\\par")[0]).split() == SENTENCE.split()


def test_pieces_of_a_word_touch_and_may_be_cut() -> None:
    one = saliency_map("incomprehensible things", split=PIECES, targets=[0])
    first = to_latex(one).split("\n")
    line = next(line for line in first if "incom" in line)
    assert "} " not in line
    pieces = len([t for t in one.tokens if t.end <= 16])
    assert line.count("\\hsCut") == pieces - 1  # TeX may break a word there if it is longer than a line
    assert line.count("\\hs") == 2 * pieces - 1


def test_answers_and_legend_stand_below() -> None:
    one = saliency_map("of grammar", targets=[1], signed=True)
    tex = to_latex(one)
    assert r"grammar \ensuremath{\rightarrow}\quad language 0.60\quad music 0.30" in tex
    assert r"\ensuremath{-}1 \hsRamp{\hsBar{2F84C9}" in tex
    assert r"} 0 \hsRamp{\hsBar{" in tex
    assert r"gradient norm of the logit, scaled to max \textbar{}score\textbar{}" in tex
    assert "masked" in tex
    assert "hsBar{" not in body(to_latex(one, legend=False))
    assert "language" not in to_latex(one, Highlight(predictions=0))


def test_frames_mean_what_they_mean_in_figures() -> None:
    masked = to_latex(saliency_map("of grammar", targets=[1]))
    assert r"\hsFrame{FFFFFF}{\phantom{nn}}~masked" in masked
    assert "hsDash" not in masked
    read = to_latex(
        replace(saliency_map("of grammar"), targets=(TargetRow("grammar", 1, 1.0),), scores=[[0.5, 1]])
    )
    assert [text for kind, _, text in boxes(read) if kind == "Dash"] == ["grammar"]
    assert r"\hsDash{FFFFFF}{\phantom{nn}}~target" in read
    check(read)


def test_texts_have_their_names_and_the_reader_who_sees_nothing_a_sentence() -> None:
    tex = to_latex(pair())
    first, second = tex.index("}question\\par}"), tex.index("}context\\par}")
    assert first < tex.index("{one}") < second < tex.index("{six}")
    assert r"\ifdefined\Description\Description{Text in colour: saliency for 1 target over 4 tokens." in tex
    check(tex)


def test_options_choose_what_is_printed() -> None:
    one = saliency_map(special=True, split=PIECES)
    assert len(boxes(to_latex(one, targets=[0, 6]))) == 2 * len(boxes(to_latex(one, targets=6)))
    words = boxes(to_latex(one, Highlight(words=True), targets=6))
    assert [text for _, _, text in words] == SENTENCE.split()
    assert boxes(to_latex(one, Highlight(special=True), targets=6))[0][2] == "[CLS]"
    assert len(boxes(to_latex(saliency_map(targets=[9]), around=2))) == 5


def test_scores_that_are_not_finite_are_named() -> None:
    one = with_scores(saliency_map("a b c", targets=[0]), [[1.0, np.nan, np.inf]])
    tex = to_latex(one)
    assert r"\hsMissing{NaN}{b}" in tex
    assert r"\hsMissing{\ensuremath{\infty}}{c}" in tex
    check(tex)


def test_what_pdflatex_lacks_is_said() -> None:
    assert unknown_to_pdflatex("naïve “x” – 日本 日") == "日本"
    tex = to_latex(saliency_map("a 日本 e\u0301", targets=[0]))
    assert "pdfLaTeX has no 日 本: use XeLaTeX" in tex.split("\n")[1]
    assert "é" in tex  # in composed form
    assert "pdfLaTeX" not in to_latex(saliency_map("plain text", targets=[0]))


def test_lines_and_signs() -> None:
    tex = to_latex(saliency_map("a\n\nb\tc\x07", targets=[0], split=r"\S"))
    check(tex)
    assert "\\par\n\\par\n" in tex
    assert r"\ensuremath{\langle}BEL\ensuremath{\rangle}" in tex


def test_what_cannot_be_printed_is_refused() -> None:
    one = saliency_map("a b", targets=[0])
    with pytest.raises(SaliencyError, match=r"prints running text: mark=Matrix\("):
        to_latex(one, Matrix())  # type: ignore[arg-type]
    with pytest.raises(SaliencyError, match="prints one SaliencyMap, not the list"):
        to_latex([one])  # type: ignore[arg-type]
    with pytest.raises(SaliencyError, match="no target is selected"):
        to_latex(one, targets=[])


def test_label_that_is_read_nowhere_is_named() -> None:
    one = replace(saliency_map("a b", targets=[0]), targets=(TargetRow("50% sure", None, 1.0),))
    assert r"50\% sure" in to_latex(one)
    check(to_latex(one))


def test_a_table_has_a_row_for_each_example_and_its_columns() -> None:
    maps = [
        saliency_map("a b_c", targets=[0]),
        replace(saliency_map("d e", targets=[0, 1]), method="saliency"),
    ]
    tex = to_latex_table(maps, {"id": [7, "x&y"], "gold": ["yes", "no", "50%"]}, around=5)
    check(tex, table=True)
    printed_rows = tex.split("\\endhead\n")[1].split("\\tabularnewline[3pt]\n")[:-1]
    rows = [row.split(" & ") for row in printed_rows]
    assert [row[:2] for row in rows] == [["7", "yes"], [r"x\&y", "no"], [r"x\&y", r"50\%"]]
    assert all("hsCell" in row[2] for row in rows)
    assert tex.startswith(r"% Needs \usepackage{xcolor,longtable}")
    default = to_latex_table(maps[0])
    assert r"\textbf{target} & \textbf{predicted} & \textbf{text}" in default
    assert "a & language &" in default
    failed = replace(maps[0], convergence_delta=np.array([1303.0]), missed_sums=np.array([4.1]))
    check(to_latex_table(failed), table=True)
    assert "does not add up: misses 4.1 by 1303" in to_latex_table(failed)
    shares = [float(share) for share in re.findall(r"\\dimexpr ([0-9.]+)", tex)]
    assert sum(shares) == pytest.approx(1, abs=0.01)


def test_a_table_refuses_what_it_cannot_print() -> None:
    one = saliency_map("a b", targets=[0, 1])
    with pytest.raises(SaliencyError, match="has 3 values: give 1, one for each map or 2, one a row"):
        to_latex_table(one, {"id": [1, 2, 3]})
    with pytest.raises(SaliencyError, match="give a mapping from heads to values"):
        to_latex_table(one, ["id"])  # type: ignore[arg-type]
    with pytest.raises(SaliencyError, match=r"prints running text: mark=Matrix\("):
        to_latex_table(one, mark=Matrix())  # type: ignore[arg-type]


def test_what_all_targets_share_is_written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def counted(text: str) -> str:
        calls.append(text)
        return escape(text)

    monkeypatch.setattr(latex, "escape", counted)
    one = saliency_map(" ".join(f"w{i}" for i in range(40)), predictions=0)
    for rows in (2, 40):
        calls.clear()
        assert to_latex(one, targets=range(rows)).count("\\hsBox") >= 39 * rows
        # Each token and gap is escaped once with names of texts and once without; each target adds a few calls.
        assert len(calls) < 4 * 40 + 3 * rows
