"""The command line: ``hf-saliency explain`` and ``hf-saliency demo``.

Torch, Transformers, Captum and Matplotlib are imported by a command once its options are known to be right,
so that help and usage errors come at once.
"""

from __future__ import annotations

import contextlib
import enum
import itertools
import json
import logging
import os
import platform
import re
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn, cast

import typer
from typer.core import TyperGroup

import hf_saliency as hs
from hf_saliency.errors import SaliencyError

# The base of click's usage errors; newer releases of typer carry their own copy of click.
_UsageError = cast(type[typer.BadParameter], typer.BadParameter.__bases__[0])

_ENDINGS = (".pdf", ".png", ".svg", ".json")
_SEED = (
    "context the formal study of grammar is an important part of education from a young age through advanced "
    "learning though the rules taught in schools are not a grammar in the sense most linguists use"
)
_SEED_WORDS = ["grammar", "education", "linguists"]

Unit = enum.Enum("Unit", {"logit": "logit", "log_prob": "log_prob", "prob": "prob"})
Overflow = enum.Enum("Overflow", {"error": "error", "truncate": "truncate", "windows": "windows"})
Mark = enum.Enum("Mark", {"highlight": "highlight", "matrix": "matrix"})
Dtype = enum.Enum(
    "Dtype", {"float32": "float32", "float16": "float16", "bfloat16": "bfloat16", "float64": "float64"}
)

Texts = Annotated[list[str] | None, typer.Argument(metavar="TEXT", help="A text; - reads standard input.")]
File = Annotated[Path | None, typer.Option("--file", metavar="FILE", help="Read the text from a file.")]
Lines = Annotated[bool, typer.Option("--lines", help="Each line of the file or of standard input is a text.")]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME",
        help="A folder, or a name on the Hugging Face hub. Default: the bundled one.",
    ),
]
Method = Annotated[
    str, typer.Option("--method", metavar="NAME", help="Attribution method; a wrong name lists all.")
]
Kind = Annotated[
    str, typer.Option("--target", metavar="masked|unmasked|WORD", help="What is explained; see above.")
]
Positions = Annotated[
    list[str] | None,
    typer.Option("--positions", metavar="WHERE", help="At which tokens; see above. Repeatable."),
]
Against = Annotated[
    str | None, typer.Option("--against", metavar="TOKEN", help="Subtract this token's score.")
]
Output = Annotated[
    list[Path] | None,
    typer.Option(
        "--output", metavar="FILE", help="Write a figure (.pdf, .png, .svg) or scores (.json). Repeatable."
    ),
]
MarkAs = Annotated[
    Mark | None,
    typer.Option("--mark", help="How a figure looks. Default: highlight for a few targets, else matrix."),
]
Width = Annotated[float | None, typer.Option("--width", min=0.1, metavar="INCHES", help="Width of a figure.")]
TopK = Annotated[int, typer.Option("--top-k", metavar="N", min=0, help="How many predictions to show.")]
BatchTokens = Annotated[
    int | None,
    typer.Option("--batch-tokens", metavar="N", min=1, help="Tokens in one pass: less needs less memory."),
]
Device = Annotated[
    str, typer.Option("--device", metavar="NAME", help="Where the model runs: cpu, cuda, cuda:1.")
]
Quiet = Annotated[bool, typer.Option("--no-progress", help="No progress bar.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


class _Commands(TyperGroup):
    """The commands; a usage error is one line on standard error and exit code 2."""

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        kwargs["standalone_mode"] = False
        try:
            code = super().main(*args, **kwargs)
        except _UsageError as error:
            command = error.ctx.command_path if error.ctx else "hf-saliency"
            _say("error", f"{error.format_message().rstrip('.')} (see {command} --help)")
            code = 2
        sys.exit(code or 0)


app = typer.Typer(cls=_Commands, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


def main() -> None:
    """Run ``hf-saliency``."""
    app(prog_name="hf-saliency")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hf-saliency {hs.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Which tokens did this prediction depend on? Saliency of Hugging Face text models.

    Exit codes: 0 done, 1 error, 2 wrong usage, 130 interrupted.
    """


@app.command()
def explain(
    text: Texts = None,
    file: File = None,
    lines: Lines = False,
    model: Model = None,
    method: Method = "gradient_norm",
    target: Kind = "masked",
    positions: Positions = None,
    unit: Annotated[Unit, typer.Option(help="Of the score that is explained.")] = Unit.logit,
    against: Against = None,
    top_k: TopK = 3,
    overflow: Annotated[Overflow, typer.Option(help="What to do with a text too long.")] = Overflow.error,
    mark: MarkAs = None,
    width: Width = None,
    output: Output = None,
    device: Device = "cpu",
    dtype: Annotated[Dtype, typer.Option(help="Of the model.")] = Dtype.float32,
    batch_tokens: BatchTokens = None,
    no_progress: Quiet = False,
    debug: Debug = False,
) -> None:
    """Explain the predictions of a masked language model for one or more texts.

    The text comes from TEXT, --file, or standard input. Prints the text with each token on the colour of its
    score (every target's text for up to 5 targets, else the first's), and a table of all targets: the model's
    predictions in percent, and the tokens that the score depends on most, in percent of the largest.

    \b
    --target masked     each token in turn, its position masked (the default)
             unmasked   each token, nothing masked
             WORD       this word of the text, masked: --positions WORD
    --positions 3,7-9   tokens by number, from 0, special ones counted: 3, 7, 8, 9
                -2      the last token but one
                study   a word or phrase of the text, at each of its places
                word:7  the same for a word that looks like something else
                chars:16:23   the characters text[16:23]

    Places are separated by commas, except after a leading word:. Of several texts, --output FILE.json writes
    FILE-1.json, FILE-2.json, ...; a figure shows all of them.
    """
    with _reported(debug):
        texts = _texts(text or [], file, lines)
        where = _where(target, positions or [])
        outputs = _writable(output or [], len(texts))
        how = _method(method)
        explainer = _explainer(model, device, dtype.value, batch_tokens, no_progress, debug)
        kind = hs.UnmaskedToken if target == "unmasked" else hs.MaskedToken
        maps = explainer(
            texts,
            target=kind(where, against=against, unit=unit.value),
            method=how,
            top_k=top_k,
            overflow=overflow.value,
        )
        _print(maps, explainer)
        _write(maps, outputs, mark, width)


@app.command()
def demo(
    output: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the files go.")] = Path("demo-output"),
    no_progress: Quiet = False,
    debug: Debug = False,
) -> None:
    """Explain a sentence with the bundled model; write figures, scores and a log into a folder."""
    with _reported(debug):
        try:
            output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SaliencyError(f"cannot make the folder {str(output)!r}: {error.strerror}.") from error
        _writable([output / "scores.json"], 1)
        clock = [time.perf_counter()]
        explainer = _explainer(None, "cpu", "float32", None, no_progress, debug)
        clock.append(time.perf_counter())
        heat = explainer(_SEED)
        clock.append(time.perf_counter())
        class_ids = _class_ids(heat, explainer)
        files = _demo_files(output, heat, class_ids)
        clock.append(time.perf_counter())
        log = _demo_log(heat, class_ids, explainer, clock)
        log += [f"file      {file}, {file.stat().st_size:,} bytes" for file in files]
        (output / "log.txt").write_text("\n".join(log) + "\n", encoding="utf-8")
        _echo([*log[3:], f"file      {output / 'log.txt'}"])


def _demo_files(folder: Path, heat: hs.SaliencyMap, class_ids: Sequence[int | None]) -> list[Path]:
    """The scores first: should a figure fail, they are not lost."""
    from hf_saliency import terminal

    scores, table, data = (
        folder / name for name in ("scores.json", "predictions.tsv", "textual_heatmap.json")
    )
    heat.save(scores)
    table.write_text(terminal.tab_separated(heat, class_ids), encoding="utf-8")
    data.write_text(json.dumps(heat.to_textual_heatmap(), ensure_ascii=False), encoding="utf-8")
    files = [scores, table, data]
    matrix = hs.figure(heat, mark=hs.Matrix(), width=6.75)
    highlight = hs.figure(heat, mark=hs.Highlight(), targets=_SEED_WORDS, width=6.75)
    for name, figure in (("matrix", matrix), ("highlight", highlight)):
        for ending in (".pdf", ".png"):
            files.append(folder / f"{name}{ending}")
            figure.savefig(files[-1])
    return files


def _demo_log(
    heat: hs.SaliencyMap, class_ids: Sequence[int | None], explainer: hs.Explainer, clock: Sequence[float]
) -> list[str]:
    """What was done, a line each."""
    about = dict(heat.provenance)
    name, kind, dtype, tokenizer = (about.pop(key) for key in ("model", "class", "dtype", "tokenizer"))
    answers = [[each.index for each in target.predictions] for target in heat.targets]
    first, among = (
        sum(true in given[:k] for true, given in zip(class_ids, answers, strict=True)) for k in (1, 3)
    )
    parts = [later - earlier for earlier, later in itertools.pairwise(clock)]
    count = len(heat.targets)
    return [
        f"versions  Python {platform.python_version()}, " + ", ".join(f"{k} {v}" for k, v in about.items()),
        f"model     {name} ({kind}, {dtype}, on the CPU), {tokenizer}",
        f"text      {heat.texts[0]}",
        f"explained {count} targets x {len(heat.tokens)} tokens, {heat.method} {dict(heat.arguments)}, "
        f"{heat.targets[0].unit}, {explainer.batch_tokens} tokens a batch",
        f"result    the true token is the first prediction at {first} of {count} targets, "
        f"among the top 3 at {among}",
        "seconds   {:.1f} to load, {:.1f} to explain, {:.1f} to write".format(*parts),
    ]


def _echo(lines: Sequence[str]) -> None:
    from hf_saliency import terminal

    terminal.write(terminal.console(), *lines)


@contextlib.contextmanager
def _reported(debug: bool) -> Iterator[None]:
    """Errors and warnings in one line each, and exit codes."""
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *rest, **more: _say("warning", str(message))
            yield
    except (_UsageError, typer.Exit):
        raise
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            traceback.print_exc()
        _say("error", _line(error))
        raise typer.Exit(130 if isinstance(error, KeyboardInterrupt) else 1) from error


def _say(kind: str, message: str) -> None:
    print(f"hf-saliency: {kind}: {' '.join(message.split())}", file=sys.stderr)


def _line(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted."
    if isinstance(error, (SaliencyError, OSError)):
        return str(error)
    first = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {first} (--debug shows where)"


def _texts(given: Sequence[str], file: Path | None, lines: bool) -> list[str]:
    """The texts, from the arguments, the file or standard input."""
    if file is not None:
        if given:
            raise typer.BadParameter("give TEXT or --file, not both.", param_hint="TEXT")
        try:
            return _decoded(file.read_bytes(), repr(str(file)), lines)
        except OSError as error:
            raise SaliencyError(f"cannot read {str(file)!r}: {error.strerror}.") from error
    if not given:
        if sys.stdin is None or sys.stdin.isatty():
            raise typer.BadParameter(
                "give a TEXT, --file FILE, or a text on standard input.", param_hint="TEXT"
            )
        given = ["-"]
    texts: list[str] = []
    for one in given:
        texts += _decoded(sys.stdin.buffer.read(), "standard input", lines) if one == "-" else [one]
    return texts


def _decoded(data: bytes, name: str, lines: bool) -> list[str]:
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise SaliencyError(f"{name} is not UTF-8 text.") from error
    texts = [line for line in text.split("\n") if line.strip()] if lines else [text.rstrip("\n")]
    if not any(one.strip() for one in texts):
        raise SaliencyError(f"{name} is empty: there is nothing to explain.")
    return texts


def _where(target: str, positions: Sequence[str]) -> list[int | str | slice] | None:
    """The places that ``--target`` and ``--positions`` name, as a target takes them."""
    if target not in ("masked", "unmasked"):
        if positions:
            raise typer.BadParameter(
                f"a word ({target!r}) is a place: name all of them by --positions.", param_hint="--target"
            )
        return [target]
    found: list[int | str | slice] = []
    for value in positions:
        for place in [value] if value.startswith("word:") else value.split(","):
            found += _place(place.strip())
    return found or None


def _place(place: str) -> Sequence[int | str | slice]:
    if place.startswith("word:"):
        return [place.removeprefix("word:")]
    if re.fullmatch(r"-?[0-9]{1,6}", place):
        return [int(place)]
    pair = re.fullmatch(r"(?:[0-9]{1,6}-|chars:[0-9]+:)[0-9]{1,6}", place)
    start, stop = (int(n) for n in re.findall(r"[0-9]+", place)) if pair else (0, 0)
    if pair and start < stop:
        return [slice(start, stop)] if place.startswith("chars:") else range(start, stop + 1)
    if not place or pair or place.startswith("chars:"):
        raise typer.BadParameter(
            f"{place!r} is no place: give 3, 7-9, chars:16:23, or a word of the text.",
            param_hint="--positions",
        )
    return [place]


def _method(name: str) -> Any:
    from hf_saliency.attribution.methods import METHODS

    if name not in METHODS:
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(METHODS)}.", param_hint="--method")
    return METHODS[name]()


def _explainer(
    name: str | None, device: str, dtype: str, batch_tokens: int | None, quiet: bool, debug: bool
) -> hs.Explainer:
    model, tokenizer = hs.load_demo() if name is None else _load(name, quiet, debug)
    try:
        model = cast(
            Any,
            getattr(model, {"float32": "float", "float16": "half", "float64": "double"}.get(dtype, dtype))(),
        )
        model = model.to(device)
    except (AssertionError, RuntimeError) as error:
        raise SaliencyError(f"cannot use the device {device!r}: {str(error).splitlines()[0]}") from error
    return hs.Explainer(
        model, tokenizer, batch_tokens=batch_tokens, progress=not quiet and sys.stderr.isatty()
    )


def _load(name: str, quiet: bool, debug: bool) -> tuple[Any, Any]:
    """A model of the user's, in float32, and its tokenizer."""
    from huggingface_hub.errors import LocalEntryNotFoundError
    from transformers import AutoModelForMaskedLM, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    there = Path(name).is_dir()
    if quiet or there:
        disable_progress_bar()  # type: ignore[no-untyped-call]
    if not debug:
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it reports each of its retries
    try:
        model = AutoModelForMaskedLM.from_pretrained(name, dtype="float32")
        return model, AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError, ImportError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)[:200]
        if isinstance(error.__cause__ or error.__context__, LocalEntryNotFoundError):
            reason = "the Hugging Face hub cannot be reached (offline?), and the cache does not hold it."
        hint = "" if there else " Give the folder of a model, --model ./folder, or its name on the hub."
        raise SaliencyError(f"cannot load {name!r} as a masked language model: {reason}{hint}") from error


def _class_ids(saliency_map: hs.SaliencyMap, explainer: hs.Explainer) -> list[int | None]:
    """The token that each target explains: the text's own, or that of a prediction."""
    identify = explainer.text_model.tokenizer.convert_tokens_to_ids
    return [
        cast(int, identify(saliency_map.tokens[target.position].piece))
        if target.position is not None and saliency_map.labels[target.position] == target.label
        else next((each.index for each in target.predictions if each.label == target.label), None)
        for target in saliency_map.targets
    ]


def _print(maps: Sequence[hs.SaliencyMap], explainer: hs.Explainer) -> None:
    from hf_saliency import terminal

    console = terminal.console()
    for number, one in enumerate(maps, start=1):
        title = [f"text {number} of {len(maps)}"] if len(maps) > 1 else []
        terminal.write(console, *title, terminal.report(console, one, _class_ids(one, explainer)), "")


def _numbered(path: Path, count: int) -> list[Path]:
    return [path] if count == 1 else [path.with_stem(f"{path.stem}-{i}") for i in range(1, count + 1)]


def _writable(paths: Sequence[Path], count: int) -> Sequence[Path]:
    """The same paths, if each has a known ending and its folder takes a file: before anything is computed."""
    for path in paths:
        if path.suffix.lower() not in _ENDINGS:
            raise typer.BadParameter(
                f"{str(path)!r}: give a name that ends in {', '.join(_ENDINGS)}.", param_hint="--output"
            )
        for each in _numbered(path, count) if path.suffix.lower() == ".json" else [path]:
            try:
                tempfile.TemporaryFile(dir=each.parent).close()
                if each.exists():
                    os.close(os.open(each, os.O_WRONLY | os.O_NONBLOCK))
            except OSError as error:
                raise SaliencyError(f"cannot write {str(each)!r}: {error.strerror}.") from error
    return paths


def _save(maps: Sequence[hs.SaliencyMap], path: Path) -> None:
    for one, each in zip(maps, _numbered(path, len(maps)), strict=True):
        one.save(each)
        _say("wrote", str(each))


def _write(
    maps: Sequence[hs.SaliencyMap], paths: Sequence[Path], mark: Mark | None, width: float | None
) -> None:
    """The scores first: should a figure fail, they are not lost."""
    scores = [path for path in paths if path.suffix.lower() == ".json"]
    for path in scores:
        _save(maps, path)
    figures = [path for path in paths if path not in scores]
    if not figures:
        return
    marks = {Mark.highlight: hs.Highlight, Mark.matrix: hs.Matrix}
    titles = [f"text {number}" for number in range(1, len(maps) + 1)] if len(maps) > 1 else None
    try:
        figure = hs.figure(maps, mark=marks[mark]() if mark else None, width=width, title=titles)
        for path in figures:
            figure.savefig(path)
            _say("wrote", str(path))
    except BaseException:
        if not scores:
            names = (figures[0].with_suffix(f".scores{n or ''}.json") for n in itertools.count())
            _save(
                maps, next(name for name in names if not any(p.exists() for p in _numbered(name, len(maps))))
            )
        raise
