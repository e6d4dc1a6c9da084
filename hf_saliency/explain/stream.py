"""Streams: the maps of any number of texts, one after the other, in bounded memory."""

from __future__ import annotations

import io
import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar, get_args, runtime_checkable

from hf_saliency.adapter.encoding import read_ahead
from hf_saliency.errors import SaliencyError
from hf_saliency.explain.request import Job, Request, check_contrast
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.progress import tqdm

OnError = Literal["raise", "skip", "collect"]
ON_ERROR: tuple[OnError, ...] = get_args(OnError)


@runtime_checkable  # tests check types at run time
class _Text(Protocol):
    @property
    def text(self) -> Any: ...


Entry = TypeVar("Entry", bound=_Text)

_READ = 32  # texts that are tokenized together

# A window ends early once its rows make up this many batches: more rows would not fill batches better.
_BATCHES = 32


@dataclass(frozen=True)
class Failure:
    """A text of a stream that could not be explained.

    Parameters
    ----------
    number
        Its place in the stream, from 0.
    text
        The text as given.
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
    """Yield the maps of a source's texts, window by window; see :meth:`hf_saliency.Explainer.stream`."""
    total = len(texts) if isinstance(texts, Sized) else None
    bar = tqdm(total=total, unit="text", delay=2, leave=False, disable=not progress)
    entries = _entries(texts, keyed)
    with closing(entries), closing(bar):
        for members, source_error in windows(
            request, entries, lambda entry: request.job(entry.text), window, hasty=on_error == "raise"
        ):
            for entry, result in members:
                if isinstance(result, SaliencyMap):
                    yield (entry.key, result) if keyed else result
                elif on_error == "raise":
                    raise SaliencyError(f"{entry.name}: {result}") from result
                elif on_error == "collect":
                    failure = Failure(entry.number, entry.text, result)
                    yield (entry.key, failure) if keyed else failure
            bar.update(len(members))
            if source_error is not None:
                raise source_error


@dataclass(frozen=True)
class _Entry:
    """One element of a stream: its place, its key if it has one, and its text."""

    number: int
    key: Any
    text: Any

    @property
    def name(self) -> str:
        """The name of the entry in an error."""
        return f"texts[{self.number}]" if self.key is None else f"the text with the key {self.key!r}"


def _entries(texts: Iterable[Any], keyed: bool) -> Generator[_Entry, None, None]:
    lines = isinstance(texts, io.TextIOBase)
    for number, element in enumerate(texts):
        key, text = None, element
        if keyed:
            if not isinstance(element, (tuple, list)) or len(element) != 2:
                raise SaliencyError(
                    f"texts[{number}] is not a pair of a key and a text: give (key, text), or omit keyed=."
                )
            key, text = element
        if lines:
            text = text.rstrip("\r\n")
        elif hasattr(text, "as_py"):  # a value of a pyarrow column
            text = text.as_py()
        yield _Entry(number, key, text)


def windows(
    request: Request,
    entries: Iterator[Entry],
    job_of: Callable[[Entry], Job],
    size: int,
    *,
    hasty: bool = False,
) -> Iterator[tuple[list[tuple[Entry, SaliencyMap | SaliencyError]], Exception | None]]:
    """Yield windows of entries with their maps or errors, in order; with the last one, the error that ended the source.

    A window is read before any of it is explained, so that its texts share batches. It has at most ``size`` entries,
    and ends early once its rows fill enough batches. With ``hasty``, texts after the first that fails are left out.
    """
    budget = _BATCHES * request.batch_tokens
    ready: deque[tuple[Entry, Job | SaliencyError]] = deque()
    source_error: Exception | None = None
    ended = False
    while not ended or ready:
        jobs: list[tuple[Entry, Job | SaliencyError]] = []
        tokens = 0
        while len(jobs) < size and tokens < budget and (ready or not ended):
            if not ready:
                count = min(_READ, size - len(jobs))
                several, source_error = read(entries, count)
                ended = source_error is not None or len(several) < count
                ready.extend(_jobs(request, several, job_of))
                continue
            entry, job = ready.popleft()
            jobs.append((entry, job))
            tokens += job.tokens if isinstance(job, Job) else 0
        yield _explained(request, jobs, hasty), None if ready else source_error


def read(entries: Iterator[Entry], count: int | None = None) -> tuple[list[Entry], Exception | None]:
    """Return the next ``count`` entries of a source, or all that are left, and the error that ended it."""
    several: list[Entry] = []
    try:
        for entry in itertools.islice(entries, count):
            several.append(entry)
    except Exception as error:  # the texts before it are explained first
        return several, error
    return several, None


def _jobs(
    request: Request, entries: Sequence[Entry], job_of: Callable[[Entry], Job]
) -> list[tuple[Entry, Job | SaliencyError]]:
    """Return each entry with its job, or with the error that its text raises; all are tokenized together."""
    jobs: list[tuple[Entry, Job | SaliencyError]] = []
    with read_ahead(request.model.tokenizer, [entry.text for entry in entries]):
        for entry in entries:
            try:
                job = job_of(entry)
                check_contrast([job])
                jobs.append((entry, job))
            except SaliencyError as error:
                jobs.append((entry, error))
    return jobs


def _explained(
    request: Request, jobs: Sequence[tuple[Entry, Job | SaliencyError]], hasty: bool
) -> list[tuple[Entry, SaliencyMap | SaliencyError]]:
    """Return each entry of a window with its map or its error."""
    if hasty:
        errors = [i for i, (_, job) in enumerate(jobs) if isinstance(job, SaliencyError)]
        jobs = jobs[: errors[0] + 1] if errors else jobs
    maps = iter(_maps(request, [job for _, job in jobs if isinstance(job, Job)]))
    return [(entry, job if isinstance(job, SaliencyError) else next(maps)) for entry, job in jobs]


def _maps(request: Request, jobs: Sequence[Job]) -> list[SaliencyMap | SaliencyError]:
    """Return the map of each text or its error; halves are tried separately until the texts that fail are known."""
    if not jobs:
        return []
    try:
        return [*request.maps(jobs, progress=False)]
    except SaliencyError as error:
        if len(jobs) == 1:
            return [error]
    half = len(jobs) // 2
    return _maps(request, jobs[:half]) + _maps(request, jobs[half:])
