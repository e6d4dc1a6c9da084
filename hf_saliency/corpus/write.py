"""write_corpus: writes the maps of any number of texts to a folder, and continues after an interruption."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from hf_saliency.corpus import cluster
from hf_saliency.corpus.columns import SCORE_TYPES, ScoreType, arrow, carried_fields
from hf_saliency.corpus.folder import Folder
from hf_saliency.corpus.read import Corpus, read_corpus
from hf_saliency.corpus.records import Columns, Key, Record, blocks, records, size_of
from hf_saliency.corpus.task import Chunk, ColumnTypes, CorpusTask, chunks
from hf_saliency.errors import SaliencyError, checks_call, one_of, warn, whole
from hf_saliency.explain.explainer import Explainer
from hf_saliency.maps import storage
from hf_saliency.maps.wording import counted
from hf_saliency.progress import tqdm

Engine = Literal["local", "ray"]

# A file is written after this many seconds or bytes: the first limits the work that a kill can cost, the second memory.
_SECONDS = 60
_BYTES = 2**26


@checks_call
def write_corpus(
    explainer: Explainer,
    texts: Iterable[Any],
    folder: str | os.PathLike[str],
    *,
    target: Any = None,
    method: Any = None,
    top_k: int = 3,
    overflow: Any = "error",
    keyed: bool = False,
    text: str = "text",
    pair: str | None = None,
    key: str | None = None,
    target_column: str | None = None,
    columns: Sequence[str] = (),
    scores: ScoreType | None = None,
    window: int = 1024,
    shard_texts: int = 4096,
    engine: Engine = "local",
    workers: int = 1,
    worker_gpus: float | None = None,
) -> Corpus:
    """Explain texts, and write the maps to a folder of Parquet files, which :func:`read_corpus` reads.

    Files are written during the run. To continue a run that was interrupted, even by a kill or a full disk, call the
    function again with the same arguments: finished texts are not explained again, and no key occurs twice. A text
    that cannot be explained (empty, too long, without the word to explain) does not stop the run:
    :attr:`Corpus.failures` lists it with the reason. Requires the extra ``corpus``.

    Parameters
    ----------
    explainer
        The explainer of the texts.
    texts
        Any iterable of texts that :meth:`Explainer.stream` takes, or the rows of a table: dictionaries, a pandas or
        Polars DataFrame, a ``datasets.Dataset``, a pyarrow table.
    folder
        The folder of the corpus: a new one, or that of the same run.
    target
        As in a call of the explainer.
    method
        As in a call of the explainer.
    top_k
        As in a call of the explainer.
    overflow
        As in a call of the explainer.
    keyed
        Whether each element of ``texts`` is a pair ``(key, text)``. Keys are unique strings or integers. Without
        keys, the key of a text is its number from 0.
    text
        The column of a table that holds the text.
    pair
        The column with the second text of a pair, such as the context of a question.
    key
        The column with the key of each text.
    target_column
        The column that defines what to explain in each text: a word or the number of a token, or a list of these,
        for targets with ``where``; for other targets a label, an answer or a choice.
    columns
        Further columns to keep in the corpus, such as a group.
    scores
        ``"float32"``, or ``"float16"``, which takes half the space: it keeps 3 digits of each score that is at least
        a ten thousandth of the map's largest. Default: the type of the maps.
    window
        Maximum number of texts that share batches. It is less if the texts are long, or if some of Ray's workers
        would have no texts.
    shard_texts
        Maximum number of texts in a file. A file is also closed after a minute.
    engine
        ``"local"``, or ``"ray"`` for Ray Data on this machine or a cluster (extra ``cluster``).
    workers
        Number of Ray processes that explain texts; each loads the model.
    worker_gpus
        Number of GPUs of each worker, such as 0.5. Default: 1 if the model is on a GPU, otherwise 0.

    Returns
    -------
    Corpus
        All maps in the folder.

    Raises
    ------
    SaliencyError
        If an argument does not fit, a column is missing, a key occurs twice, the folder belongs to another run, has a
        damaged file or cannot be written, or pyarrow or Ray is not installed. Finished files remain.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> rows = [
    ...     {"id": "a", "text": "She drank hot tea.", "word": "tea"},
    ...     {"id": "b", "text": "He wrote.", "word": "He"},
    ... ]
    >>> corpus = hs.write_corpus(explainer, rows, "corpus", key="id", target_column="word")
    >>> len(corpus), corpus["a"].targets[0].label
    (2, 'tea')
    """
    arrow()
    one_of(engine, get_args(Engine), "engine")
    if scores is not None:
        one_of(scores, SCORE_TYPES, "scores")
    window, shard_texts = whole(window, "window"), whole(shard_texts, "shard_texts")
    if isinstance(columns, str):
        raise SaliencyError(f"columns={columns!r}: give a list of names, columns=[{columns!r}].")
    if engine == "local" and (whole(workers, "workers") > 1 or worker_gpus is not None):
        raise SaliencyError(
            "workers= and worker_gpus= are for engine='ray'; the local engine is one process."
        )
    roles = Columns(text, pair, key, target_column, tuple(columns))
    task = CorpusTask(explainer, target, method, top_k, overflow, target_column)
    source = records(texts, roles, keyed=keyed)
    first = list(itertools.islice(source, window))
    fields = carried_fields(roles.carried, first)
    types = ColumnTypes(
        scores, "string" if first and isinstance(first[0].key, str) else "int64", tuple(fields)
    )
    content = {
        "task": task.description,
        "columns": {each.name: str(each.type) for each in fields},
        "key": types.key,
        "scores": scores,
        "target_column": target_column,
        "provenance": task.provenance,
    }
    run = cluster.Workers(workers, worker_gpus) if engine == "ray" else _local
    with Folder.opened(Path(storage.checked_path(folder, "attributions")), content) as place:
        finished = place.finished()
        bar = tqdm(
            total=size_of(texts), initial=len(finished), unit="text", delay=2, disable=not explainer.progress
        )
        unfinished = _unfinished(itertools.chain(first, source), finished, place.path)
        with contextlib.closing(bar), _Writer(place, shard_texts) as writer:
            for part in run(task, types, unfinished, window):
                writer.add(part)
                bar.update(part.count)
        place.describe(complete=True)
    if writer.failures:
        warn(
            f"{counted(writer.failures, 'text')} could not be explained. The first error: {writer.reason} "
            "corpus.failures lists them all.",
            UserWarning,
        )
    return read_corpus(folder)


def _local(task: CorpusTask, types: ColumnTypes, source: Iterator[Record], window: int) -> Iterator[Chunk]:
    """Yield the results of all records, computed in this process."""
    return itertools.chain.from_iterable(chunks(task, types, block) for block in blocks(source, window))


def _unfinished(source: Iterable[Record], finished: Mapping[Key, int], folder: Path) -> Iterator[Record]:
    """Yield the records that are not in the folder; a text that has changed raises an error."""
    for record in source:
        digest = finished.get(record.key)
        if digest is None:
            yield record
        elif digest != record.digest:
            raise SaliencyError(
                f"{str(folder)!r} is the corpus of other texts: its text with the key {record.key!r}, or the target or "
                "columns of that text, differ from those given. Give the same texts in the same order, or another "
                "folder."
            )


@dataclass
class _Writer:
    """Collects results and writes a file when there are enough of them, or when the run ends, even with an error."""

    folder: Folder
    shard_texts: int
    failures: int = 0
    reason: str = ""
    _head: str = ""
    _maps: list[Any] = field(default_factory=list)
    _failed: list[Any] = field(default_factory=list)
    _count: int = 0
    _since: float = field(default_factory=time.monotonic)

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self.flush()
        else:  # report the error that ended the run, not a second one
            with contextlib.suppress(SaliencyError):
                self.flush()

    def add(self, part: Chunk) -> None:
        """Collect the results of a block; write a file if there are enough."""
        for head, batch in part.maps:
            if self._maps and head != self._head:
                self.flush()
            self._head = head
            self._maps.append(batch)
        if part.failures is not None:
            self.reason = self.reason or part.failures["reason"][0].as_py()
            self.failures += len(part.failures)
            self._failed.append(part.failures)
        self._count += part.count
        size = sum(batch.nbytes for batch in self._maps)
        if self._count >= self.shard_texts or size >= _BYTES or time.monotonic() - self._since >= _SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write the collected results."""
        maps, failed = self._maps, self._failed
        self._maps, self._failed, self._count = [], [], 0
        if maps:
            self.folder.write("maps", maps, {"hf_saliency.map": self._head})
        if failed:
            self.folder.write("failures", failed, {})
        self._since = time.monotonic()
