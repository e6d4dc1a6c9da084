"""The files of ``--output``: checked before anything is computed, and written with the scores first."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import os
import re
import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

import hf_saliency as hs
from hf_saliency.cli.arguments import UsageError
from hf_saliency.cli.targets import kinds
from hf_saliency.errors import SaliencyError
from hf_saliency.render.typeset.characters import printable

if TYPE_CHECKING:
    from hf_saliency.maps.fields import TargetRow
    from hf_saliency.maps.saliency_map import SaliencyMap


_DATA = (".json", ".csv", ".parquet")
_ENDINGS = (".pdf", ".png", ".svg", ".pgf", ".tex", ".html", *_DATA)


def say(kind: str, message: str) -> None:
    """Print a line to standard error; control characters in paths and messages do not reach the terminal."""
    line = printable(f"hf-saliency: {kind}: {' '.join(message.split())}")
    encoding = sys.stderr.encoding or "utf-8"
    print(line.encode(encoding, "replace").decode(encoding), file=sys.stderr)


def _numbered(path: Path, count: int) -> list[Path]:
    return [path] if count == 1 else [path.with_stem(f"{path.stem}-{i}") for i in range(1, count + 1)]


def writable(paths: Sequence[Path], count: int) -> Sequence[Path]:
    """Return the paths if each has a known ending and can be written; called before anything is computed."""
    for path in paths:
        if path.suffix.lower() not in _ENDINGS:
            raise typer.BadParameter(
                f"{str(path)!r}: choose a file name that ends in {', '.join(_ENDINGS)}.",
                param_hint="--output",
            )
        for target in _numbered(path, count) if path.suffix.lower() == ".json" else [path]:
            try:
                tempfile.TemporaryFile(dir=target.parent).close()
                if target.exists():
                    os.close(os.open(target, os.O_WRONLY | os.O_NONBLOCK))
            except OSError as error:
                raise SaliencyError(f"cannot write {str(target)!r}: {error.strerror}.") from error
    if any(path.suffix.lower() == ".html" for path in paths):
        from hf_saliency.render.html.parts import assets

        assets()  # raises if the extra is missing
    if any(path.suffix.lower() == ".parquet" for path in paths):
        from hf_saliency.corpus.columns import arrow

        arrow("pyarrow.parquet")  # raises if the extra is missing
    return paths


def write(
    maps: Sequence[hs.SaliencyMap],
    paths: Sequence[Path],
    drawing: Mapping[str, Any],
    provenance: Any,
    *,
    style: str | None = None,
    rescue: bool = False,
) -> None:
    """Write scores, then figures; if a figure fails, ``rescue`` saves the scores even if no path is for them."""
    scores = [path for path in paths if path.suffix.lower() in _DATA]
    for path in scores:
        _save(maps, path)
    figures = [path for path in paths if path not in scores]
    try:
        _draw(maps, figures, drawing, provenance, style)
    except BaseException:
        if rescue and not scores:
            names = (figures[0].with_suffix(f".scores{n or ''}.json") for n in itertools.count())
            _save(
                maps, next(name for name in names if not any(p.exists() for p in _numbered(name, len(maps))))
            )
        raise


def _save(maps: Sequence[hs.SaliencyMap], path: Path) -> None:
    if path.suffix.lower() != ".json":  # one table of all maps
        from hf_saliency.maps.storage import write_file

        write_file(path, _parquet(maps) if path.suffix.lower() == ".parquet" else scores_table(maps).encode())
        say("wrote", str(path))
        return
    for heat, target in zip(maps, _numbered(path, len(maps)), strict=True):
        heat.save(target)
        say("wrote", str(target))


def _draw(
    maps: Sequence[hs.SaliencyMap],
    paths: Sequence[Path],
    drawing: Mapping[str, Any],
    provenance: Any,
    style: str | None,
) -> None:
    for path in paths:
        suffix = path.suffix.lower()
        if suffix == ".html":
            arguments = {key: drawing[key] for key in ("title", "normalize", "targets") if key in drawing}
            hs.page(maps, path, provenance=provenance, **arguments)
        elif suffix == ".tex":
            from hf_saliency.maps.storage import write_file

            write_file(path, _latex(maps, drawing).encode())
        else:
            from hf_saliency.render.settings import styled

            with styled(style):
                carried = {} if suffix == ".pgf" else {"provenance": provenance}
                _figure(maps, drawing, path).savefig(path, **carried)
        say("wrote", str(path))


def _latex(maps: Sequence[hs.SaliencyMap], drawing: Mapping[str, Any]) -> str:
    """Return the texts of all maps as LaTeX, one after another."""
    from hf_saliency.render.marks import Highlight

    mark = drawing.get("mark")
    arguments = {key: drawing[key] for key in ("normalize", "targets") if key in drawing}
    arguments["mark"] = mark if isinstance(mark, Highlight) else None
    return "\n\\bigskip\n".join(hs.to_latex(heat, **arguments) for heat in maps)


def _figure(maps: Sequence[hs.SaliencyMap], drawing: Mapping[str, Any], path: Path) -> Any:
    """Draw the maps, on several pages if there is a height and the file format has pages."""
    if "height" in drawing and path.suffix.lower() == ".pdf":
        return hs.sheets(maps, **drawing)
    return hs.figure(maps, **{key: value for key, value in drawing.items() if key != "height"})


@contextlib.contextmanager
def reported(debug: bool) -> Iterator[None]:
    """Print each error and warning in one line, and set the exit code."""
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *rest, **more: say("warning", str(message))
            yield
    except (UsageError, typer.Exit):
        raise
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            traceback.print_exc()
        say("error", _line(error))
        raise typer.Exit(130 if isinstance(error, KeyboardInterrupt) else 1) from error


def _line(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted."
    if isinstance(error, (SaliencyError, OSError)):
        return _in_options(str(error))
    first = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {first} (--debug shows where)"


def _in_options(message: str) -> str:
    """Replace Python arguments in a message of the library by options of the command line."""
    named = {target.__name__: kind for kind, target in kinds().items()}
    message = re.sub(r"\boverflow='(\w+)'", r"--overflow \1", message)
    message = message.replace("call write_corpus again with the same arguments", "run the same command again")
    message = message.replace("where=slice(start, end)", "--positions chars:start:end")
    message = re.sub(r"\bbaseline=hs\.(\w+)_embedding", r"-a baseline=\1", message)
    return re.sub(
        r"\btarget=hs\.(\w+)\(\)", lambda call: f"--target {named.get(call[1], call[1].lower())}", message
    )


def predictions_table(saliency_map: SaliencyMap) -> str:
    """Return a tab-separated table with one line per target; probabilities are between 0 and 1."""
    most = max((len(target.predictions) for target in saliency_map.targets), default=0)
    heads = [f"{name}_{rank}" for rank in range(1, most + 1) for name in ("prediction", "probability")]
    head = ["position", "target", saliency_map.targets[0].unit, "probability", "rank", *heads]
    return _table([head, *map(_answers, saliency_map.targets)], "excel-tab")


def _answers(target: TargetRow) -> list[Any]:
    ids = [answer.class_id for answer in target.predictions]
    rank = ids.index(target.class_id) + 1 if target.class_id in ids else ""
    answers = [cell for answer in target.predictions for cell in (answer.label, f"{answer.probability:.6g}")]
    chance = "" if target.probability is None else f"{target.probability:.6g}"
    return [target.position, target.label, f"{target.score:.6g}", chance, rank, *answers]


def scores_table(maps: Sequence[SaliencyMap]) -> str:
    """Return the columns of :func:`hf_saliency.to_dataframe` as CSV; NaN is an empty cell, as in pandas."""
    from hf_saliency.maps.table import score_columns  # here, since --help must not import it

    columns = {name: values.tolist() for name, values in score_columns(maps).items()}
    rows = (["" if value != value else value for value in row] for row in zip(*columns.values(), strict=True))
    return _table([list(columns), *rows], "excel")


def _parquet(maps: Sequence[SaliencyMap]) -> bytes:
    from hf_saliency.corpus.columns import parquet_bytes
    from hf_saliency.maps.table import score_columns

    return parquet_bytes(score_columns(maps))


def _table(lines: Iterable[Sequence[Any]], dialect: str) -> str:
    file = io.StringIO()
    csv.writer(file, dialect, lineterminator="\n").writerows(lines)
    return file.getvalue()
