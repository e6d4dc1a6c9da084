"""Explanation: the rows of any number of texts through one method, batch after batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tqdm.auto import tqdm

from hf_saliency.adapter.batch import collate, names, shape
from hf_saliency.adapter.reading import Reading
from hf_saliency.adapter.rows import Row
from hf_saliency.adapter.score import READ, Score
from hf_saliency.adapter.sweep import sweep
from hf_saliency.adapter.targets.target import Target
from hf_saliency.adapter.text_model import TextModel
from hf_saliency.attribution.method import Method
from hf_saliency.attribution.vocabulary import Vocabulary
from hf_saliency.found import Found, attributed
from hf_saliency.shared_gradients import shares


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
