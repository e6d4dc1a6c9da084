"""Sharing: the rows of a text that see the same tokens take their gradients from one forward pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hf_saliency.errors import SaliencyError, out_of_memory
from hf_saliency.score.batch import Batch
from hf_saliency.score.head import Cut
from hf_saliency.score.score import Score


@dataclass(frozen=True)
class SharedPass:
    """One forward pass of some texts, with the scores of the rows that read them."""

    scores: Float[Tensor, " rows"]
    leaves: tuple[Tensor, ...]  # the inputs to differentiate in: (texts, tokens, width), one per stream
    text: Int[Tensor, " rows"]  # that each row reads
    position: Int[Tensor, "rows refs"]  # that each row reads
    # The hidden states of the texts, and those passed on to the rest of the model; empty if all were passed on.
    cuts: tuple[Cut, ...]

    @classmethod
    def of(
        cls, score: Score, text: Int[Tensor, " rows"], first: Int[Tensor, " texts"], *arguments: Any
    ) -> SharedPass:
        """Run the pass for the arguments of a score's call; ``first`` is a row that holds the whole of each text.

        This is valid only for rows whose inputs equal those of the text that they share, or its beginning in a model
        that reads from left to right.
        """
        embeds, tensors, sinks = score.split(arguments)
        leaves = tuple(values[first].detach().requires_grad_() for values in embeds)
        rows = dict(zip(score.names, tensors, strict=True))
        shared = {name: rows[name][first] for name in score.model_inputs}
        scores, cuts = score.one_pass(leaves, {**rows, **shared, "text": text}, sinks)
        return cls(scores, leaves, text, rows["position"], cuts)

    def gradients(self, place: Int[Tensor, " rows"], at_once: int) -> tuple[Tensor, ...]:
        """Return the gradient of each row's score in its text, (rows, tokens, width) per stream, by batched products.

        ``place`` is the row's number among those of its text; rows of different texts share a product. ``at_once`` is
        the number of products that share a backward pass.
        """
        outputs, where, seeds = self._outputs()
        device = outputs[0].device
        place, text = place.to(device), self.text.to(device)
        gradients = tuple(leaf.new_empty(len(place), *leaf.shape[1:]) for leaf in self.leaves)
        count = int(place.max()) + 1
        for start in range(0, count, at_once):
            size = min(at_once, count - start)
            rows = ((start <= place) & (place < start + size)).nonzero()[:, 0]
            product = place[rows] - start
            lined = product.view(-1, *[1] * (where[0].dim() - 1))
            places = (lined, *(index[rows] for index in where))
            outer = [output.new_zeros(size, *output.shape) for output in outputs]
            for gradient, seed in zip(outer, seeds, strict=True):
                gradient.index_put_(places, seed[rows], accumulate=True)
            parts = torch.autograd.grad(
                outputs, self.leaves, outer, is_grads_batched=True, retain_graph=start + size < count
            )
            for whole, part in zip(gradients, parts, strict=True):
                whole[rows.to(part.device)] = part[product.to(part.device), text[rows].to(part.device)]
        return gradients

    def _outputs(self) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Return the tensors where backward passes start, each row's elements of them, and the gradients there.

        After the cuts each row's logits depend only on the row's own hidden states, so one backward pass yields the
        gradients of all rows in these.
        """
        hidden, reads = tuple(cut[0] for cut in self.cuts), tuple(cut[1] for cut in self.cuts)
        if _through(reads, self.scores):
            seeds = torch.autograd.grad(self.scores.sum(), reads)
            device = hidden[0].device
            return hidden, (self.text[:, None].to(device), self.position.to(device)), seeds
        numbers = torch.arange(len(self.scores), device=self.scores.device)
        return (self.scores,), (numbers,), (torch.ones_like(self.scores),)


def _through(reads: Sequence[Tensor], scores: Tensor) -> bool:
    """Whether scores depend on the embeddings through these hidden states alone."""
    if not reads or scores.grad_fn is None or any(read.grad_fn is None for read in reads):
        return False
    known, waiting = {read.grad_fn for read in reads}, [scores.grad_fn]
    while waiting:
        node = waiting.pop()
        if node in known:
            continue
        if hasattr(node, "variable"):  # a leaf, reached around these hidden states
            return False
        known.add(node)
        waiting += [following for following, _ in node.next_functions if following is not None]
    return True


@dataclass(frozen=True)
class SharedGradients:
    """A gradient function for Captum's methods that evaluates each text of a batch once.

    ``alone`` is the function that evaluates each row separately, for models that have no batched derivatives.
    """

    score: Score
    batch: Batch
    alone: Callable[..., Any]
    text: Int[Tensor, " rows"]
    first: Int[Tensor, " texts"]
    place: Int[Tensor, " rows"]

    @classmethod
    def of(cls, score: Score, batch: Batch, alone: Callable[..., Any]) -> SharedGradients | None:
        """Build the function; None if no text has several rows, or a row sees other tokens than its text's first."""
        text, first, place = batch.texts()
        if len(first) == len(text) or not _nested(batch, text.tolist(), first.tolist()):
            return None
        return cls(score, batch, alone, text, first, place)

    def __call__(
        self, forward: Any, inputs: tuple[Tensor, ...], target: Any = None, arguments: Any = None
    ) -> tuple[Tensor, ...]:
        sinks = [argument for argument in arguments if isinstance(argument, list)]
        counts = [len(sink) for sink in sinks]
        with torch.enable_grad():
            passed = SharedPass.of(self.score, self.text, self.first, *inputs, *arguments)
            tokens = sum(leaf.shape[0] * leaf.shape[1] for leaf in passed.leaves)
            budget = self.score.batch_tokens
            at_once = len(self.text) if budget is None else max(1, budget // tokens)
            try:
                gradients = passed.gradients(self.place, at_once)
            except RuntimeError as error:
                if out_of_memory(error):
                    raise
                # An operation of this model may have no batched derivative. Any other error is raised again row by row.
                self.score.batched_derivatives = False
                for sink, count in zip(sinks, counts, strict=True):
                    del sink[count:]
                return tuple(self.alone(forward, inputs, target, arguments))
        _check_causal(gradients, self.batch)
        return gradients


def _nested(batch: Batch, text: Sequence[int], first: Sequence[int]) -> bool:
    """Whether the tokens that each row sees are the first ones that the longest row of its text sees."""
    for columns, number in zip(batch.columns, text, strict=True):
        longest = batch.columns[first[number]]
        if any(list(part) != list(whole[: len(part)]) for part, whole in zip(columns, longest, strict=True)):
            return False
    return True


def _check_causal(gradients: Sequence[Tensor], batch: Batch) -> None:
    """Check that no score depends on tokens that its row leaves out, as it may in some texts only."""
    for part, gradient in enumerate(gradients):
        size = gradient.detach().abs().amax(dim=-1)
        pairs = zip(batch.rows, batch.columns, strict=True)
        seen = [size.shape[1] if row.length is None else len(columns[part]) for row, columns in pairs]
        lengths = torch.tensor(seen, device=size.device)
        after = torch.arange(size.shape[1], device=size.device) >= lengths[:, None]
        if bool((size.masked_fill(~after, 0.0).amax(dim=1) > 1e-6 * size.amax(dim=1)).any()):
            raise SaliencyError(
                "this model reads some texts only from left to right and others, such as this one, in both directions: "
                "explain this text first, with a new Explainer."
            )
