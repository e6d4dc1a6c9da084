"""The Ray engine: the same blocks through the same code, in several processes or on several machines."""

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

_BLOCKS = 4  # for each worker at least, so that none waits long for the last one


def _ray_data() -> Any:
    return imported("ray.data", 'engine="ray" needs Ray', "cluster")


@dataclass(frozen=True)
class Workers:
    """How many processes explain texts, and how many GPUs each has."""

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
        """The results of all records, in their order; Ray restarts a worker that dies."""
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
        """The results of each block, in the order of the blocks."""
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
                yield from pickle.loads(row["chunks"])  # from our own workers
        finally:
            context.execution_options.preserve_order, context.enable_progress_bars = ordered, shown

    def _gpus(self, task: CorpusTask) -> float:
        return float(task.on_gpu) if self.gpus is None else self.gpus


class Worker:
    """A process of Ray with a model, which is loaded once."""

    def __init__(self, task: Any, types: ColumnTypes) -> None:
        import ray

        self.task: CorpusTask = ray.get(task) if isinstance(task, ray.ObjectRef) else task
        self.types = types

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        done = [list(chunks(self.task, self.types, pickle.loads(block))) for block in batch["block"]]
        return {"chunks": [pickle.dumps(each) for each in done]}


def _start(ray: Any, workers: int) -> None:
    """The cluster that RAY_ADDRESS names, or one on this machine with a place for each worker."""
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    if "RAY_ADDRESS" in os.environ:
        ray.init(**quiet)
    else:
        # Reading and writing need a place beside the workers.
        ray.init(num_cpus=max(os.cpu_count() or 1, workers + 1), include_dashboard=False, **quiet)
