"""Explanation: the rows of any number of texts through one method, batch after batch."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from tqdm.auto import tqdm

from hf_saliency.adapter.text_model import TextModel
from hf_saliency.attribution.method import Method
from hf_saliency.attribution.vocabulary import Vocabulary
from hf_saliency.errors import SaliencyError, out_of_memory
from hf_saliency.explain.attribute import Found, attributed, shares
from hf_saliency.score.batch import collate, names, shape
from hf_saliency.score.score import READ, Score
from hf_saliency.targets.readout import Reading
from hf_saliency.targets.target import Row, Target

# So many rows of a long text share its forward pass, whatever the budget of a backward pass; but not shorter rows,
# which are cheaper on their own.
SHARING = 32
TRIMMED = 0.75


def sweep(
    shapes: Sequence[tuple[int, ...]],
    budget: int,
    pads: bool,
    step: Callable[[list[int], int], None],
    *,
    alone: bool = False,
    texts: Sequence[int] | None = None,
) -> Iterator[int]:
    """Do rows in batches of similar length; yields how many were done after each batch.

    Memory follows the budget: a batch has at most ``budget`` tokens, padding included, or a single row. Where a
    batch does not fit into memory, the budget becomes half of it and the work goes on.

    Parameters
    ----------
    shapes
        Tokens of each sequence of each row.
    budget
        Tokens of a pass.
    pads
        Whether rows of different shape may share a batch.
    step
        Does the rows of the given numbers, with at most so many tokens in a pass.
    alone
        Whether each row is a batch of its own.
    texts
        Which text each row reads, where rows of one text share a forward pass; these stay together.

    Yields
    ------
    int
        The size of a batch done.

    Raises
    ------
    SaliencyError
        If a single row does not fit into memory.
    """
    lengths = [sum(shape) for shape in shapes]
    waiting = sorted(range(len(lengths)), key=lambda i: (-lengths[i], shapes[i]))
    if texts is not None:
        longest: dict[int, int] = {}
        for i in waiting:
            longest.setdefault(texts[i], lengths[i])
        waiting.sort(key=lambda i: (-longest[texts[i]], texts[i], -lengths[i]))
    kinds = None if pads else shapes
    while waiting:
        first = lengths[waiting[0]]
        batch = waiting[:1] if alone else _batch(waiting, lengths, budget, kinds, texts)
        if _fits(functools.partial(step, batch, budget)):
            del waiting[: len(batch)]
            yield len(batch)
        elif budget < 2 * first:
            raise SaliencyError(
                f"a single row of {first} tokens does not fit into memory: load the model in a smaller dtype "
                "(dtype=torch.bfloat16) or on a larger device, or shorten the text."
            )
        else:
            budget //= 2


def _batch(
    waiting: Sequence[int],
    lengths: Sequence[int],
    budget: int,
    kinds: Sequence[tuple[int, ...]] | None,
    texts: Sequence[int] | None,
) -> list[int]:
    """The next rows that fit into the budget together, of one kind if there are kinds."""
    batch: list[int] = []
    count: Counter[int] = Counter()
    longest = 0
    for i in waiting:
        together = kinds is None or not batch or kinds[i] == kinds[batch[0]]
        if texts is not None:
            together = together or texts[i] == texts[batch[0]]
            count[texts[i]] += 1
        longest = max(longest, lengths[i])
        size = len(batch) + 1
        few = False
        if texts is not None:
            # Rows of one text have one gradient each, for all texts at once.
            size = len(count) * max(count.values())
            few = len(count) == 1 and size <= SHARING and lengths[i] >= TRIMMED * longest
        if batch and not (together and (few or size * longest <= budget)):
            break
        batch.append(i)
    return batch


def _fits(step: Callable[[], None]) -> bool:
    try:
        step()
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
    else:
        return True
    # Only here, with the error and the tensors that its traceback held gone, can the memory be had again.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return False


@dataclass(frozen=True)
class Explanation:
    """What is explained, and how.

    Parameters
    ----------
    model
        The model.
    target
        What is explained.
    method
        How.
    top_k
        How many of the model's predictions are kept.
    batch_tokens
        How many tokens a pass may hold.
    progress
        Whether a progress bar is shown.
    """

    model: TextModel
    target: Target
    method: Method
    top_k: int
    batch_tokens: int
    progress: bool

    def found(self, rows: Sequence[Row]) -> list[Found]:
        """What each row gives, in the order given."""
        found: dict[int, Found] = {}
        # Rows of as many sequences as each other share a score: but for multiple choice these are all.
        groups: dict[tuple[int, int], list[int]] = {}
        for i, row in enumerate(rows):
            kind = (len(row.encoding.parts), self.model.ends(row.encoding))
            groups.setdefault(kind, []).append(i)
        with tqdm(total=len(rows), unit="target", delay=2, leave=False, disable=not self.progress) as bar:
            for (parts, _), group in groups.items():
                reading = self.target.reading(self.model, parts)
                for count in self._group(group, [rows[i] for i in group], reading, found):
                    bar.update(count)
        return [found[i] for i in range(len(rows))]

    def _group(
        self, numbers: Sequence[int], rows: Sequence[Row], reading: Reading, found: dict[int, Found]
    ) -> Iterator[int]:
        """Batch after batch of some rows; what is found joins ``found`` under the row's number."""
        model, method = self.model, self.method
        score = score_of(model, rows, reading, self.batch_tokens, self.top_k)
        attribution = method.build(score, [Vocabulary(stream.module) for stream in score.streams])
        share = shares(attribution, method, score, rows)
        read = self.target.reader(model)

        def step(batch: list[int], budget: int) -> None:
            score.batch_tokens = budget
            inputs = collate(model, [rows[i] for i in batch], reading, score.names)
            done = attributed(attribution, method, score, model, inputs, budget, read, share=share)
            found.update(zip((numbers[i] for i in batch), done, strict=True))

        shapes = [shape(row, model, reading.layout) for row in rows]
        texts = [id(row.encoding) for row in rows] if share else None
        return sweep(
            shapes, self.batch_tokens, model.pads, step, alone=method.draws(attribution), texts=texts
        )


def score_of(
    model: TextModel, rows: Sequence[Row], reading: Reading, batch_tokens: int, top_k: int = 1
) -> Score:
    """The explained number as a function of embeddings.

    Parameters
    ----------
    model
        The model.
    rows
        Rows of as many sequences as each other.
    reading
        What is read of them.
    batch_tokens
        How many tokens a pass may hold.
    top_k
        How many predictions are noted.

    Returns
    -------
    Score
    """
    row_names = names(model, rows, reading)
    return Score(
        model.model,
        reading.layout.streams(model.streams),
        row_names,
        reading,
        model_inputs=[name for name in row_names if name not in READ],
        constants=model.inputs,
        top_k=top_k,
        batch_tokens=batch_tokens,
    )
