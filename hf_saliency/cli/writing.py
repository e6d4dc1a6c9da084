"""The files of ``--output``: checked before anything is computed, scores first."""

from __future__ import annotations

import itertools
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import typer

import hf_saliency as hs
from hf_saliency.cli.options import Mark
from hf_saliency.errors import SaliencyError

_ENDINGS = (".pdf", ".png", ".svg", ".json")


def say(kind: str, message: str) -> None:
    """A line on standard error."""
    print(f"hf-saliency: {kind}: {' '.join(message.split())}", file=sys.stderr)


def _numbered(path: Path, count: int) -> list[Path]:
    return [path] if count == 1 else [path.with_stem(f"{path.stem}-{i}") for i in range(1, count + 1)]


def writable(paths: Sequence[Path], count: int) -> Sequence[Path]:
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
        say("wrote", str(each))


def write(
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
            say("wrote", str(path))
    except BaseException:
        if not scores:
            names = (figures[0].with_suffix(f".scores{n or ''}.json") for n in itertools.count())
            _save(
                maps, next(name for name in names if not any(p.exists() for p in _numbered(name, len(maps))))
            )
        raise
