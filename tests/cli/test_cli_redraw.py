"""``hf-saliency info`` and ``redraw``: both read only a figure's file and need no model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import sample_maps as maps
from cli.test_cli import failure, invoke

import hf_saliency as hs

HEAT = maps.sweep(arguments={"order": 2}, provenance={"model": "a/b", "revision": "abc", "torch": "2.6"})


@pytest.fixture(autouse=True)
def _folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    hs.figure(HEAT, mark=hs.Matrix(values=True), width=5.0, title="mine").savefig("a.pdf")


def shown(*arguments: str) -> str:
    result = invoke(*arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def redrawn(*arguments: str) -> str:
    result = invoke("redraw", *arguments)
    assert (result.exit_code, result.stdout) == (0, "")
    return result.stderr


def test_info_says_what_was_explained_how_and_by_whom() -> None:
    lines = shown("info", "a.pdf").splitlines()
    assert lines[0] == "a.pdf: 1 map, drawn as Matrix, 5 in wide"
    for line in (
        "text      an un-␤believable  end",
        "targets   an, un, -, believ, able, end",
        "map       6 targets x 8 tokens, logit, float64",
        'method    gradient_norm {"order": 2}',
        *("model     a/b", "revision  abc", "torch     2.6"),
        f"sha256    {json.loads(shown('info', 'a.pdf', '--json'))[0]['sha256']}",
    ):
        assert line in lines


def test_info_as_json_is_the_maps_own_format() -> None:
    (document,) = json.loads(shown("info", "a.pdf", "--json"))
    Path("own.json").write_text(json.dumps(document), encoding="utf-8")
    assert hs.SaliencyMap.load("own.json") == HEAT


def test_info_of_a_recipe() -> None:
    hs.figure([HEAT, HEAT], width=5.0).savefig("b.svg", provenance="recipe")
    output = shown("info", "b.svg")
    assert "believ" not in output
    assert output.count("text      left out, and so are the scores") == 2
    assert [one["shape"] for one in json.loads(shown("info", "b.svg", "--json"))] == [[6, 8]] * 2
    assert "carries no text and no scores" in failure("redraw", "b.svg", "--output", "c.pdf")


def test_info_of_a_stranger_does_not_act_on_the_terminal() -> None:
    hs.page(maps.sweep(method="\x1b[2J", provenance={"\x1b[31m": "\x1b]0;x\x07"}), "b.html")
    assert "␛[2J" in shown("info", "b.html")
    assert not {"\x1b", "\x07"} & set(shown("info", "b.html"))


def test_info_of_a_stranger_prints_no_line_of_the_stranger() -> None:
    text = "an un-\tbelievable  end"
    facts = {"model": "x\ndigest    0", "a\nb": "c\u2028d"}
    hs.page(maps.sweep(texts=(text,), method="m\ntext      y", provenance=facts), "b\nc.html")
    lines = shown("info", "b\nc.html").splitlines()
    expected = ("b␤c.html: 1 map", "text      an un-␉believable  end", "method    m␤text      y {}")
    assert [line for line in lines if line.startswith(("b", "c", "text", "method"))] == list(expected)
    assert not [line for line in lines if line.startswith("digest    0")]


def test_show_prints_the_text() -> None:
    output = shown("show", "a.pdf", "--targets", "end", "--targets", "0")
    assert output.startswith("end (token 6, masked, logit 1.50)\nan un-\nbelievable  [end]\n")
    assert "[an] un-" in output
    assert "no target is at the word 'Paris'" in failure("show", "a.pdf", "--targets", "Paris")


def test_redraw_draws_as_it_was_but_for_what_is_said() -> None:
    assert redrawn("a.pdf", "--output", "b.pdf") == "hf-saliency: wrote: b.pdf\n"
    assert Path("b.pdf").read_bytes() == Path("a.pdf").read_bytes()
    redrawn("a.pdf", "--output", "c.svg", "--option", "values=false", "--width", "4", "--normalize", "none")
    hs.figure(HEAT, mark=hs.Matrix(), width=4.0, title="mine", normalize="none").savefig("d.svg")
    assert Path("c.svg").read_bytes() == Path("d.svg").read_bytes()
    redrawn("c.svg", "--mark", "highlight", "--option", "fontsize=8", "--targets", "end", "--output", "e.png")
    hs.figure(
        HEAT, mark=hs.Highlight(fontsize=8), width=4.0, title="mine", normalize="none", targets="end"
    ).savefig("f.png")
    assert Path("e.png").read_bytes() == Path("f.png").read_bytes()


def test_redraw_keeps_panels_venues_and_pages() -> None:
    options = {"ncols": 2, "scale": "separate", "agreement": True, "width": "acl-2col"}
    hs.figure([HEAT, HEAT], mark=[hs.Bars(top=3), hs.Highlight()], targets="end", **options).savefig("b.pdf")
    redrawn("b.pdf", "--output", "c.pdf")
    assert Path("b.pdf").read_bytes() == Path("c.pdf").read_bytes()
    hs.sheets(HEAT, hs.Highlight(), width=4.0, height=2.0).savefig("d.pdf")
    redrawn("d.pdf", "--output", "e.pdf", "--output", "f.png")
    assert Path("d.pdf").read_bytes() == Path("e.pdf").read_bytes()
    redrawn("d.pdf", "--output", "g.svg", "--width", "acl", "--mark", "arcs")
    hs.figure(HEAT, mark=hs.Arcs(), width="acl", title="").savefig("h.svg")
    assert hs.read_maps("g.svg") == hs.read_maps("h.svg") == [HEAT]


def test_redraw_takes_maps_out_and_writes_pages() -> None:
    hs.figure([HEAT, HEAT.select(0)], width=5.0).savefig("two.png")
    output = redrawn("two.png", "--output", "b.json", "--output", "b.html")
    assert output.splitlines() == [
        f"hf-saliency: wrote: {name}" for name in ("b-1.json", "b-2.json", "b.html")
    ]
    assert hs.SaliencyMap.load("b-2.json") == HEAT.select(0)
    assert hs.read_maps("b.html") == [HEAT, HEAT.select(0)]
    redrawn("b.html", "--output", "c.pdf", "--provenance", "none")
    assert "carries no saliency map" in failure("info", "c.pdf")


def test_redraw_in_a_style() -> None:
    redrawn("a.pdf", "--output", "b.svg")
    redrawn("a.pdf", "--output", "c.svg", "--style", "dark_background")
    assert Path("b.svg").read_bytes() != Path("c.svg").read_bytes()
    Path("own.mplstyle").write_text("font.size: 20\n")
    redrawn("a.pdf", "--output", "d.svg", "--style", "own.mplstyle")
    assert Path("d.svg").read_bytes() not in (Path("b.svg").read_bytes(), Path("c.svg").read_bytes())
    assert "'nowhere' is neither a style of Matplotlib" in failure(
        "redraw", "a.pdf", "--output", "e.svg", "--style", "nowhere"
    )


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (["a.pdf"], "name the file to write", 2),
        (["a.pdf", "--output", "b.gif"], "choose a file name that ends in", 2),
        (["a.pdf", "--output", "b.pdf", "--option", "values"], "not of the form NAME=VALUE", 2),
        (
            ["a.pdf", "--output", "b.pdf", "--mark", "bar"],
            "mark='bar': choose one of 'arcs', 'bars'",
            2,
        ),
        (["a.pdf", "--output", "b.pdf", "--option", "colour=1"], "Matrix has no option 'colour'", 1),
        (["a.pdf", "--output", "b.pdf", "--option", "values=7"], "give a value like False", 1),
        (["a.pdf", "--output", "b.pdf", "--targets", "Paris"], "no target is at the word 'Paris'", 1),
        (["none.pdf", "--output", "b.pdf"], "cannot read 'none.pdf': No such file", 1),
        (["a.pdf", "--output", "b.pdf", "--width", "0.2"], "is too narrow", 1),
    ],
)
def test_redraw_refuses(arguments: list[str], message: str, code: int) -> None:
    assert message in failure("redraw", *arguments, code=code)


def test_a_failed_drawing_leaves_no_scores_behind() -> None:
    failure("redraw", "a.pdf", "--output", "b.pdf", "--width", "0.2")
    assert {path.name for path in Path().iterdir()} == {"a.pdf"}


@pytest.mark.parametrize(
    "command", [["info", "a.pdf"], ["redraw", "a.pdf", "--output", "b.png", "--output", "b.html"]]
)
def test_no_model_is_imported(command: list[str]) -> None:
    code = (
        f"import sys; sys.argv[1:] = {command}\n"
        "from hf_saliency.cli import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n"
        "    print(stop.code, {'torch', 'transformers', 'captum', 'IPython'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert done.stdout.endswith("0 set()\n")


def test_explain_carries_what_is_asked_for() -> None:
    text = "Paris is the capital of France."
    outputs = ["--output", "b.pdf", "--output", "b.html", "--positions", "1"]
    assert invoke("explain", text, *outputs).exit_code == 0
    (heat,) = hs.read_maps("b.pdf")
    assert hs.read_maps("b.html") == [heat]
    assert heat.texts == (text,)
    assert invoke("explain", text, *outputs, "--provenance", "recipe").exit_code == 0
    assert "text      left out" in shown("info", "b.html")
