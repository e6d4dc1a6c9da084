"""Streams: the maps of any number of texts, one after the other, in bounded memory."""

from __future__ import annotations

import io
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal, get_args

from hf_saliency.errors import SaliencyError
from hf_saliency.explain.request import Job, Request, check_contrast
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.progress import tqdm

OnError = Literal["raise", "skip", "collect"]
ON_ERROR: tuple[OnError, ...] = get_args(OnError)

# A window ends early where its rows make up so many batches: more of them would not fill batches better.
_BATCHES = 64


@dataclass(frozen=True)
class Failure:
    """A text of a stream that could not be explained.

    Parameters
    ----------
    number
        Its place in the stream, from 0.
    text
        The text as it was given.
    error
        The error that the text alone raises.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> heat, failure = explainer.stream(["hot tea", 7], on_error="collect")
    >>> failure.number, str(failure.error)
    (1, "a text must be a string, not int: explainer('Some text.').")
    """

    number: int
    text: Any
    error: SaliencyError


@dataclass(frozen=True)
class _Entry:
    """One element of a stream: its place, its key where it has one, and its text."""

    number: int
    key: Any
    text: Any

    @property
    def name(self) -> str:
        """The entry in an error."""
        return f"texts[{self.number}]" if self.key is None else f"the text with the key {self.key!r}"


def check_source(texts: Any) -> None:
    """Refuse a source that is one text, or whose elements are not texts: a mapping's keys, a table's columns."""
    tabular = getattr(texts, "ndim", 1) != 1
    if isinstance(texts, (str, bytes, Mapping)) or tabular or not isinstance(texts, Iterable):
        raise SaliencyError(
            f"stream() takes texts one after the other, not {type(texts).__name__}: give a list, a generator, an open "
            "file, or one column of a table, explainer.stream(table['text'])."
        )


def stream(
    request: Request, texts: Iterable[Any], *, keyed: bool, window: int, on_error: OnError, progress: bool
) -> Iterator[Any]:
    """The maps of a source's texts, window after window; see :meth:`hf_saliency.Explainer.stream`."""
    total = len(texts) if isinstance(texts, Sized) else None
    bar = tqdm(total=total, unit="text", delay=2, leave=False, disable=not progress)
    entries = _entries(texts, keyed)
    with closing(entries), closing(bar):
        for members, source_error in _windows(request, entries, window):
            for entry, result in _results(request, members, on_error):
                if isinstance(result, Failure) and on_error == "raise":
                    raise SaliencyError(f"{entry.name}: {result.error}") from result.error
                if not isinstance(result, Failure) or on_error == "collect":
                    yield (entry.key, result) if keyed else result
            bar.update(len(members))
            if source_error is not None:
                raise source_error


def _entries(texts: Iterable[Any], keyed: bool) -> Generator[_Entry, None, None]:
    lines = isinstance(texts, io.TextIOBase)
    for number, element in enumerate(texts):
        key, text = None, element
        if keyed:
            if not isinstance(element, (tuple, list)) or len(element) != 2:
                raise SaliencyError(
                    f"texts[{number}] is no pair of a key and a text: give (key, text), or leave keyed= out."
                )
            key, text = element
        yield _Entry(number, key, text.rstrip("\r\n") if lines and isinstance(text, str) else text)


_Member = tuple[_Entry, "Job | SaliencyError"]


def _windows(
    request: Request, entries: Iterator[_Entry], size: int
) -> Iterator[tuple[list[_Member], Exception | None]]:
    """Texts that are read before the first of them is explained; with the last, the error that ended the source."""
    budget = _BATCHES * request.batch_tokens
    members: list[_Member] = []
    tokens = 0
    while True:
        try:
            entry = next(entries)
        except StopIteration:
            yield members, None
            return
        except Exception as error:  # the texts before it are explained first
            yield members, error
            return
        try:
            job = request.job(entry.text)
            check_contrast([job])
        except SaliencyError as error:
            members.append((entry, error))
        else:
            members.append((entry, job))
            tokens += job.tokens
        if len(members) >= size or tokens >= budget:
            yield members, None
            members, tokens = [], 0


def _results(
    request: Request, members: Sequence[_Member], on_error: OnError
) -> Iterator[tuple[_Entry, SaliencyMap | Failure]]:
    """The map of each text of a window, or its failure, in order."""
    if on_error == "raise":  # the texts after the first that fails are not worth the time
        bad = [i for i, (_, job) in enumerate(members) if isinstance(job, SaliencyError)]
        members = members[: bad[0] + 1] if bad else members
    maps = iter(_maps(request, [job for _, job in members if isinstance(job, Job)]))
    for entry, job in members:
        result = job if isinstance(job, SaliencyError) else next(maps)
        yield (
            entry,
            Failure(entry.number, entry.text, result) if isinstance(result, SaliencyError) else result,
        )


def _maps(request: Request, jobs: Sequence[Job]) -> list[SaliencyMap | SaliencyError]:
    """The map of each text or its error; halves are tried on their own until the texts that fail are known."""
    if not jobs:
        return []
    try:
        return [*request.maps(jobs, progress=False)]
    except SaliencyError as error:
        if len(jobs) == 1:
            return [error]
    half = len(jobs) // 2
    return _maps(request, jobs[:half]) + _maps(request, jobs[half:])
