"""The command line: its output, its files, and its errors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any, get_args

import pandas
import pytest
import tiny
from typer.testing import CliRunner, Result

import hf_saliency as hs
from hf_saliency import cli
from hf_saliency.adapter.text_model import Overflow
from hf_saliency.attribution.registry import METHODS
from hf_saliency.cli import arguments as reading, options
from hf_saliency.cli.explain import explain as explain_command
from hf_saliency.cli.targets import kinds
from hf_saliency.maps.attachment import Provenance
from hf_saliency.maps.reduction import Normalization
from hf_saliency.targets.similarity import Pooling

TEXT = "Paris is the capital of France."
MODEL = str(Path(hs.__file__).parent / "demo")
HEAVY = ("torch", "transformers", "captum", "matplotlib", "numpy")


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def invoke(*arguments: str, given: str | bytes | None = None) -> Result:
    return CliRunner().invoke(cli.app, list(arguments), input=given, prog_name="hf-saliency")


def explain(*arguments: str, given: str | bytes | None = None) -> Result:
    result = invoke("explain", *arguments, given=given)
    assert (result.exit_code, result.stderr) == (0, "")
    return result


def failure(*arguments: str, given: str | bytes | None = None, code: int = 1) -> str:
    """Return the error of a failing command, which must be the only line that it prints."""
    result = invoke(*arguments, given=given)
    assert result.exit_code == code
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("hf-saliency: error: ")
    return line.removeprefix("hf-saliency: error: ")


def maps(*paths: str) -> list[hs.SaliencyMap]:
    return [hs.SaliencyMap.load(path) for path in paths]


# Output


@pytest.mark.parametrize(
    "arguments",
    [
        ["--version"],
        ["--help"],
        *(
            [name, "--help"]
            for name in ("explain", "corpus", "demo", "info", "show", "redraw", "doctor", "models")
        ),
    ],
)
def test_help_and_version_import_nothing_heavy(arguments: list[str]) -> None:
    code = (
        f"import sys; sys.argv[1:] = {arguments}\n"
        "from hf_saliency.cli import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n"
        f"    print(stop.code, [name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.endswith("0 []\n")
    assert done.stderr == ""
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_version() -> None:
    assert invoke("--version").stdout == f"hf-saliency {hs.__version__}\n"


def test_a_sweep_is_a_table() -> None:
    output = explain(TEXT).stdout
    assert "Paris (token 1, masked, logit" in output
    assert "the first of 7 targets" in output
    assert "[Paris] is the capital of France." in output
    assert "*capital" in output
    assert "\x1b" not in output
    assert max(map(len, output.splitlines())) <= 80


def test_one_target_is_what_the_library_finds() -> None:
    result = invoke("explain", TEXT, "--target", "capital", "--output", "own.json")
    assert result.exit_code == 0
    assert "Paris is the [capital] of France." in result.stdout
    assert result.stderr == "hf-saliency: wrote: own.json\n"
    heat = hs.Explainer(*hs.load_demo())(TEXT, target=hs.MaskedToken("capital"))
    assert maps("own.json") == [heat]


@pytest.mark.parametrize(
    ("arguments", "positions"),
    [
        (["--positions", "2"], [2]),
        (["--positions", "-2, 3-4"], [7, 3, 4]),
        (["--positions", "the capital,Paris"], [3, 4, 1]),
        (["--positions", "chars:13:20"], [4]),
        (["--positions", "word:.", "--positions", "1"], [7, 1]),
        (["--target", "France"], [6]),
        (["--target", "unmasked", "--positions", "of"], [5]),
    ],
)
def test_places(arguments: list[str], positions: list[int]) -> None:
    invoke("explain", TEXT, *arguments, "--output", "own.json")
    (heat,) = maps("own.json")
    assert [target.position for target in heat.targets] == positions
    assert {target.masked for target in heat.targets} == {"unmasked" not in arguments}


def test_options_reach_the_library() -> None:
    options = ["--method", "input_x_gradient", "--unit", "log_prob", "--against", "city", "--top-k", "5"]
    options += ["--dtype", "float64", "--batch-tokens", "20", "--target", "capital", "--output", "own.json"]
    assert invoke("explain", TEXT, *options, "--no-progress", "--overflow", "windows").exit_code == 0
    (heat,) = maps("own.json")
    (target,) = heat.targets
    assert (heat.method, heat.scores.dtype, heat.signed) == ("input_x_gradient", "float64", True)
    assert (target.unit, target.against, len(target.predictions)) == ("log_prob", "city", 5)


def test_the_mask_of_a_text_is_explained() -> None:
    output = explain("Paris is the capital of [MASK].").stdout
    assert "capital of [[MASK]]." in output
    assert "*" in output  # the prediction that is explained


def test_choices_are_the_librarys() -> None:
    assert get_args(options.Overflow) == get_args(Overflow)
    assert get_args(options.Normalized) == get_args(Normalization)
    assert get_args(options.Provenance) == get_args(Provenance)
    assert get_args(options.Pooling) == get_args(Pooling)
    for target in kinds().values():
        assert target.kind in " ".join(explain_command.__doc__.split())


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (options.complete_method, METHODS),
        (options.complete_mark, ["highlight", "arcs"]),
        (options.complete_target, kinds()),
    ],
)
def test_completion_offers_the_librarys_names(names: Any, expected: Any) -> None:
    assert set(expected) <= set(names(""))
    first = next(iter(expected))
    assert first in names(first[:3])
    assert names("no such name") == []


@pytest.mark.skipif(os.name == "nt", reason="PowerShell asks for the place of its profile")
def test_completion_is_installed_for_a_shell(tmp_path: Path) -> None:
    settings = {"HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    code = "from hf_saliency.cli import main; main()"
    subprocess.run(
        [sys.executable, "-c", code, "--install-completion", "bash"],
        env={**os.environ, **settings},
        check=True,
    )
    script = tmp_path / ".bash_completions" / "hf-saliency.sh"
    assert str(script) in (tmp_path / ".bashrc").read_text("utf-8")
    assert "complete -o default -F" in script.read_text("utf-8")


# Texts


def test_standard_input() -> None:
    assert (
        explain(given=f"{TEXT}\n").stdout == explain("-", given=f"{TEXT}\r\n").stdout == explain(TEXT).stdout
    )


def test_files_and_lines(tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_text(f"\ufeff{TEXT}\n\nShe drank hot tea.\n", encoding="utf-8")
    output = explain("--file", str(path), "--lines", "--positions", "1").stdout
    assert "text 1 of 2\nParis (token 1" in output
    assert "text 2 of 2\nShe (token 1" in output
    assert "text 1" not in explain("--file", str(path), "--positions", "1").stdout


def test_texts_that_are_none(tmp_path: Path) -> None:
    assert "standard input is empty" in failure("explain", given="\n\n")
    assert "standard input is not UTF-8 text" in failure("explain", given=b"\xff\xfe")
    assert (
        failure("explain", "--file", "nowhere.txt") == "cannot read 'nowhere.txt': No such file or directory."
    )
    assert "the text is empty" in failure("explain", " ")
    assert "not both" in failure("explain", TEXT, "--file", "nowhere.txt", code=2)


def test_a_terminal_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal())
    with pytest.raises(reading.UsageError, match="give a TEXT, --file FILE, or a text on standard input"):
        reading.texts_of([], None, False)


# Files


def test_figures() -> None:
    starts = {"a.pdf": b"%PDF", "a.png": b"\x89PNG", "A.SVG": b"<?xml"}
    outputs = [part for name in starts for part in ("--output", name)]
    result = invoke("explain", TEXT, *outputs, "--mark", "highlight", "--width", "3.25", "--positions", "1")
    assert (result.exit_code, result.stderr.split()[2::3]) == (0, list(starts))
    assert {name: Path(name).read_bytes()[: len(start)] for name, start in starts.items()} == starts


def test_several_texts_are_several_files_of_scores_and_one_figure() -> None:
    result = invoke(
        "explain", TEXT, "Hot tea.", "--output", "a.svg", "--output", "a.json", "--mark", "matrix"
    )
    assert result.exit_code == 0
    assert [heat.texts for heat in maps("a-1.json", "a-2.json")] == [(TEXT,), ("Hot tea.",)]
    assert "text 2" in Path("a.svg").read_text(encoding="utf-8")


@pytest.fixture
def unloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_demo() -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(hs, "load_demo", load_demo, raising=False)


@pytest.mark.usefixtures("unloaded")
def test_bad_outputs_are_refused_before_anything_is_computed() -> None:
    Path("folder.json").mkdir()
    assert "nowhere/a.pdf': No such file" in failure("explain", TEXT, "--output", "nowhere/a.pdf")
    assert "'folder.json': Is a directory" in failure("explain", TEXT, "--output", "folder.json")
    assert "ends in .pdf, .png, .svg, .pgf, .tex, .html, .json, .csv, .parquet" in failure(
        "explain", TEXT, "--output", "a.gif", code=2
    )
    assert list(Path().iterdir()) == [Path("folder.json")]


def test_scores_survive_a_figure_that_fails() -> None:
    Path("a.scores.json").touch()
    result = invoke("explain", TEXT, "--output", "a.pdf", "--width", "0.2")
    assert result.exit_code == 1
    wrote, error = result.stderr.splitlines()
    assert wrote == "hf-saliency: wrote: a.scores1.json"
    assert "0.2 in is too narrow" in error
    assert "[Paris] is the capital" in result.stdout
    assert maps("a.scores1.json")[0].texts == (TEXT,)


# Failures


@pytest.mark.usefixtures("unloaded")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing command"),
        (["explian"], "No such command 'explian'"),
        (["explain", TEXT, "--unit", "nats"], "'nats' is not one of 'logit', 'log_prob', 'prob'"),
        (
            ["explain", TEXT, "--positions", "9-7"],
            "'9-7' is not a place: give 3, 7-9, chars:16:23, or a word",
        ),
        (["explain", TEXT, "--positions", "1,,2"], "'' is not a place"),
        (["explain", TEXT, "--positions", "chars:16-23"], "'chars:16-23' is not a place"),
        (
            ["explain", TEXT, "--target", "Paris", "--positions", "2"],
            "pass it to --positions with the other places",
        ),
        (["explain", TEXT, "--method", "limes"], f"Did you mean 'lime'? There are {', '.join(METHODS)}"),
        (["explain", TEXT, "--width", "0"], "Invalid value for --width: width=0: give inches above 0"),
        (["explain", TEXT, "--color"], "No such option"),
    ],
)
def test_usage(arguments: list[str], message: str) -> None:
    line = failure(*arguments, code=2)
    assert message in line
    assert line.endswith(f"(see hf-saliency{' explain' if arguments[:1] == ['explain'] else ''} --help)")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([TEXT, "--target", "London"], "by its characters: --positions chars:start:end"),
        ([TEXT, "--positions", "99"], "there is no token 99: the text has 9"),
        ([TEXT, "--against", "unbelievable"], "must be one token of this tokenizer"),
        (["word " * 600], "--overflow truncate"),
        ([TEXT, "--device", "nowhere"], "cannot use the device 'nowhere'"),
        ([TEXT, "--model", "./nowhere"], "there is no folder './nowhere'"),
    ],
)
def test_errors(arguments: list[str], message: str) -> None:
    assert message in failure("explain", *arguments)


def test_unforeseen_errors_are_one_line_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_demo() -> Any:
        raise KeyError("lost")

    monkeypatch.setattr(hs, "load_demo", load_demo, raising=False)
    assert failure("explain", TEXT) == "KeyError: 'lost' (--debug shows where)"
    result = invoke("explain", TEXT, "--debug")
    assert result.exit_code == 1
    assert result.stderr.startswith("Traceback (most recent call last):\n")
    assert result.stderr.endswith("\nhf-saliency: error: KeyError: 'lost' (--debug shows where)\n")


def test_no_line_acts_on_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    path = "a\x1b[2J\u202eb.json"
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        pytest.skip("file names are ASCII in this locale")
    assert invoke("explain", TEXT, "--output", path, "--positions", "1").stderr == (
        "hf-saliency: wrote: a␛[2J\ufffdb.json\n"
    )
    assert "\x1b" not in failure("explain", TEXT, "--output", f"{path}/x.json")
    assert "\x1b" not in failure("explain", TEXT, "--method", "\x1b[2J", code=2)
    assert "\x1b" not in failure("show", "\x1b[2J.pdf")
    assert "\x1b" not in invoke("info", path).output


def test_files_are_replaced_in_one_step(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["a.json", "a.csv", "a.html", "a.tex", "a.svg"]
    for name in names:
        Path(name).write_text("before")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    for name in names:
        assert "No space left on device" in invoke("explain", TEXT, "--output", name).stderr
        assert Path(name).read_text() == "before"
    assert not list(Path().glob(".*"))


def test_more_formats() -> None:
    names = ["a.pgf", "a.tex", "a.csv", "a.parquet"]
    result = invoke(
        "explain", TEXT, *(part for name in names for part in ("--output", name)), "--width", "acl"
    )
    assert result.exit_code == 0, result.stderr
    assert "\\pgftext" in Path("a.pgf").read_text("utf-8")
    assert "\\hsFrame" in Path("a.tex").read_text("utf-8")
    assert Path("a.csv").read_text("utf-8").startswith("map_index,method,target,")
    pandas.read_parquet("a.parquet").to_csv("b.csv", index=False)
    assert Path("b.csv").read_text("utf-8") == Path("a.csv").read_text("utf-8")


def test_doctor() -> None:
    result = invoke("doctor")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"hf-saliency {hs.__version__}, Python 3.")
    assert any(line.startswith("devices ") and "cpu" in line for line in lines)
    assert any(line.startswith("products  fast products on the CPU are o") for line in lines)
    assert any(line.startswith("fonts     Latin: ") and "none" not in line for line in lines)
    assert any(line.startswith("extra     surrogate: scikit-learn ") for line in lines)


def test_doctor_says_that_fast_products_are_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_SALIENCY_FAST_PRODUCTS", "0")
    assert "CPU are off (set by HF_SALIENCY_FAST_PRODUCTS)" in invoke("doctor").stdout


def test_models() -> None:
    lines = invoke("models").stdout.splitlines()
    assert lines[1:4] == [
        "task      fills masks",
        "default   --target masked",
        "also      pseudo-log-likelihood, span, unmasked",
    ]
    limit = hs.Explainer(*hs.load_demo()).text_model.max_tokens
    assert lines[4] == f"limit     {limit} tokens"
    assert "there is no folder './nothing'" in failure("models", "./nothing")


def test_a_shell_completes_names() -> None:
    environment = {**os.environ, "_HF_SALIENCY_COMPLETE": "complete_bash", "COMP_CWORD": "3"}
    environment["COMP_WORDS"] = "hf-saliency explain --method gradient_n"
    code = "from hf_saliency.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout.split() == ["gradient_norm"]


def test_the_package_runs_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "hf_saliency", "--version"], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == (f"hf-saliency {hs.__version__}\n", 0)


def test_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_demo() -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(hs, "load_demo", load_demo, raising=False)
    assert failure("explain", TEXT, code=130) == "interrupted."


def test_warnings_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    load = hs.load_demo

    def load_demo() -> Any:
        warnings.simplefilter("always")
        warnings.warn("careful,\n  now", UserWarning, stacklevel=1)
        return load()

    monkeypatch.setattr(hs, "load_demo", load_demo, raising=False)
    result = invoke("explain", TEXT, "--positions", "1")
    assert (result.exit_code, result.stderr) == (0, "hf-saliency: warning: careful, now\n")


def test_the_hub_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    line = failure("explain", TEXT, "--model", "nobody/nothing")
    assert "cannot load 'nobody/nothing'" in line
    assert "the Hugging Face hub cannot be reached (offline?)" in line
    assert "--model ./folder" in line


@pytest.mark.skipif(os.name == "nt", reason="a pipe of a POSIX shell")
def test_a_closed_pipe_is_quiet_and_the_files_are_written() -> None:
    command = f"{sys.executable} -c 'import hf_saliency.cli as c; c.main()' explain '{TEXT}' --output a.json"
    done = subprocess.run(["bash", "-c", f"{command} | true"], capture_output=True, text=True, timeout=120)
    assert done.stderr == "hf-saliency: wrote: a.json\n"
    assert maps("a.json")[0].texts == (TEXT,)


# Models, and the demonstration


def test_a_model_in_a_folder() -> None:
    assert (
        invoke("explain", TEXT, "--model", MODEL, "--output", "own.json", "--positions", "1").exit_code == 0
    )
    bundled = invoke("explain", TEXT, "--output", "bundled.json", "--positions", "1")
    assert bundled.exit_code == 0
    own, demo = maps("own.json", "bundled.json")
    assert own.scores == pytest.approx(demo.scores, rel=1e-6)


def test_demo() -> None:
    result = invoke("demo")
    assert (result.exit_code, result.stderr) == (0, "")
    names = {
        *("matrix.pdf", "matrix.png", "highlight.pdf", "highlight.png"),
        *("scores.json", "textual_heatmap.json", "predictions.tsv", "log.txt"),
    }
    folder = Path("demo-output")
    assert {path.name for path in folder.iterdir()} == names
    assert all(str(folder / name) in result.stdout for name in names)
    (heat,) = maps(str(folder / "scores.json"))
    assert heat.scores.shape == (37, 39)
    log = (folder / "log.txt").read_text(encoding="utf-8")
    table = [
        line.split("\t") for line in (folder / "predictions.tsv").read_text(encoding="utf-8").splitlines()
    ]
    ranks = [row[table[0].index("rank")] for row in table[1:]]
    assert len(ranks) == 37
    assert f"first prediction at {ranks.count('1')} of 37 targets" in log
    assert f"among the top 3 at {37 - ranks.count('')}\n" in log
    heatmap = json.loads((folder / "textual_heatmap.json").read_text(encoding="utf-8"))
    assert sum("heat" in token for token in heatmap) == 39


def test_demo_needs_a_folder() -> None:
    Path("file").touch()
    assert failure("demo", "--output", "file") == "cannot create the folder 'file': File exists."


@pytest.mark.parametrize(
    ("name", "options", "labels"),
    [
        ("BertForSequenceClassification", (), None),
        ("BertForSequenceClassification", ("--label", "LABEL_1", "--against", "LABEL_0"), ["LABEL_1"]),
        ("BertForTokenClassification", ("--positions", "cat"), None),
        ("GPT2LMHeadModel", (), ["cat", "sat"]),
        ("GPT2LMHeadModel", ("--positions", "sat", "--unit", "prob"), ["sat"]),
    ],
)
def test_the_head_of_a_model_says_what_is_explained(
    name: str, options: tuple[str, ...], labels: list[str] | None, tmp_path: Path
) -> None:
    tiny.of_class(name).float().save_pretrained(tmp_path / "model")
    tiny.tokenizer().save_pretrained(tmp_path / "model")
    scores = tmp_path / "scores.json"
    result = invoke(
        "explain", "the cat sat", "--model", str(tmp_path / "model"), "--output", str(scores), *options
    )
    assert result.exit_code == 0, result.output
    (heat,) = maps(str(scores))
    found = [target.label for target in heat.targets]
    assert labels is None or found[-len(labels) :] == labels
    assert heat.provenance["class"] == name


def test_an_option_that_a_target_does_not_have(tmp_path: Path) -> None:
    assert "--label" in failure("explain", "the cat", "--label", "x", code=2)
