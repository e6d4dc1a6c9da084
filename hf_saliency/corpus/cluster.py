"""The Ray engine: runs the code of the local engine in several processes or on several machines."""

from __future__ import annotations

import logging
import math
import os
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hf_saliency.corpus.records import Record, blocks
from hf_saliency.corpus.task import Chunk, ColumnTypes, CorpusTask, chunks
from hf_saliency.errors import imported, real, whole
from hf_saliency.explain.stream import read

_BLOCKS = 4  # minimum per worker; small blocks keep the wait for the last worker short


def _ray_data() -> Any:
    return imported("ray.data", 'engine="ray" needs Ray', "cluster")


@dataclass(frozen=True)
class Workers:
    """The number of processes that explain texts, and the number of GPUs of each."""

    count: int
    gpus: float | None

    def __post_init__(self) -> None:
        whole(self.count, "workers")
        if self.gpus is not None:
            real(self.gpus, "worker_gpus", "0.5", zero=True)
        _ray_data()

    def __call__(
        self, task: CorpusTask, types: ColumnTypes, source: Iterator[Record], window: int
    ) -> Iterator[Chunk]:
        """Yield the results of all records in order; Ray restarts a worker that dies."""
        import ray

        waiting, broken = read(source)
        if waiting:
            started = not ray.is_initialized()
            if started:
                _start(ray, self.count)
            try:
                size = min(window, math.ceil(len(waiting) / (_BLOCKS * self.count)))
                yield from self._results(task, types, list(blocks(iter(waiting), size)))
            finally:
                if started:
                    ray.shutdown()
        if broken is not None:
            raise broken

    def _results(
        self, task: CorpusTask, types: ColumnTypes, work: Sequence[Sequence[Record]]
    ) -> Iterator[Chunk]:
        """Yield the results block by block, in order."""
        data = _ray_data()
        import ray

        context = data.DataContext.get_current()
        ordered, shown = context.execution_options.preserve_order, context.enable_progress_bars
        context.execution_options.preserve_order, context.enable_progress_bars = True, False
        try:
            rows = [{"block": pickle.dumps(block)} for block in work]
            results = data.from_items(rows, override_num_blocks=len(rows)).map_batches(
                Worker,
                fn_constructor_args=(ray.put(task), types),
                compute=data.ActorPoolStrategy(size=self.count),
                num_cpus=1,
                num_gpus=self._gpus(task),
                batch_size=1,
                batch_format="numpy",
            )
            for row in results.iter_rows():
                yield from pickle.loads(row["chunks"])  # trusted: our own workers pickled it
        finally:
            context.execution_options.preserve_order, context.enable_progress_bars = ordered, shown

    def _gpus(self, task: CorpusTask) -> float:
        return float(task.on_gpu) if self.gpus is None else self.gpus


class Worker:
    """A Ray process that loads the model once."""

    def __init__(self, task: Any, types: ColumnTypes) -> None:
        import ray

        self.task: CorpusTask = ray.get(task) if isinstance(task, ray.ObjectRef) else task
        self.types = types

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        done = [list(chunks(self.task, self.types, pickle.loads(block))) for block in batch["block"]]
        return {"chunks": [pickle.dumps(each) for each in done]}


def _start(ray: Any, workers: int) -> None:
    """Connect to the cluster that RAY_ADDRESS names, or start one on this machine with a CPU for each worker."""
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    if "RAY_ADDRESS" in os.environ:
        ray.init(**quiet)
    else:
        # Reading and writing need one CPU in addition to those of the workers.
        ray.init(num_cpus=max(os.cpu_count() or 1, workers + 1), include_dashboard=False, **quiet)
