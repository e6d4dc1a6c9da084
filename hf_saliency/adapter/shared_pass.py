"""SharedPass: the scores of many rows from one forward pass for each text, and their gradients one by one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class SharedPass:
    """What one forward pass of some texts gives for the rows that read them.

    Parameters
    ----------
    scores
        One a row.
    leaves
        What to differentiate them in: (texts, tokens, width), one a stream.
    text
        Which text each row reads.
    position
        At which of its tokens.
    head
        The hidden states of the texts, (texts, tokens, width), and those of them that the head was handed, (rows,
        reads, width); None where the head was not cut short.
    """

    scores: Float[Tensor, " rows"]
    leaves: tuple[Tensor, ...]
    text: Int[Tensor, " rows"]
    position: Int[Tensor, "rows reads"]
    head: tuple[Tensor, Tensor] | None

    def gradients(self, place: Int[Tensor, " rows"], at_once: int) -> tuple[Tensor, ...]:
        """The gradient of each row's score in the embeddings of its own text, as batched vector-Jacobian products.

        Parameters
        ----------
        place
            The row's number among those of its text: rows of different texts take one product together.
        at_once
            How many products share a backward pass.

        Returns
        -------
        tuple of Tensor
            (rows, tokens, width), one a stream.
        """
        outputs, where, seeds = self._outputs()
        device = outputs.device
        place, text = place.to(device), self.text.to(device)
        found = tuple(one.new_empty(len(place), *one.shape[1:]) for one in self.leaves)
        count = int(place.max()) + 1
        for start in range(0, count, at_once):
            size = min(at_once, count - start)
            rows = ((start <= place) & (place < start + size)).nonzero()[:, 0]
            product = place[rows] - start
            outer = outputs.new_zeros(size, *outputs.shape)
            lined = product.view(-1, *[1] * (where[0].dim() - 1))
            outer.index_put_((lined, *(one[rows] for one in where)), seeds[rows], accumulate=True)
            parts = torch.autograd.grad(
                outputs, self.leaves, outer, is_grads_batched=True, retain_graph=start + size < count
            )
            for whole, part in zip(found, parts, strict=True):
                whole[rows.to(part.device)] = part[product.to(part.device), text[rows].to(part.device)]
        return found

    def _outputs(self) -> tuple[Tensor, tuple[Tensor, ...], Tensor]:
        """Where the backward passes start, at which of its elements each row, and with which gradient.

        A head has the logits of each row from the row's own hidden states, so one backward pass through it gives the
        gradients of all rows in these.
        """
        if self.head is not None and _through(self.head[1], self.scores):
            hidden, read = self.head
            (seeds,) = torch.autograd.grad(self.scores.sum(), read)
            return hidden, (self.text[:, None].to(hidden.device), self.position.to(hidden.device)), seeds
        each = torch.arange(len(self.scores), device=self.scores.device)
        return self.scores, (each,), torch.ones_like(self.scores)


def _through(read: Tensor, scores: Tensor) -> bool:
    """Whether scores depend on the embeddings through these hidden states alone."""
    if read.grad_fn is None or scores.grad_fn is None:
        return False
    known, waiting = {read.grad_fn}, [scores.grad_fn]
    while waiting:
        node = waiting.pop()
        if node in known:
            continue
        if hasattr(node, "variable"):  # a leaf, reached another way
            return False
        known.add(node)
        waiting += [following for following, _ in node.next_functions if following is not None]
    return True
