"""Score: the scalar that is explained, as the positional forward function that Captum wants."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hf_saliency.adapter.embedding import Stream
from hf_saliency.adapter.locks import lock_of
from hf_saliency.adapter.pieces import in_pieces
from hf_saliency.errors import SaliencyError

Read = Callable[[Float[Tensor, "batch classes"], Mapping[str, Tensor]], Float[Tensor, " batch"]]


@dataclass(frozen=True)
class Outcome:
    """What one forward pass gives beside the graph.

    Parameters
    ----------
    scores
        In the target's unit.
    class_ids
        Whose score it is, also where the most probable class was asked for.
    classes, probabilities
        The most probable classes, best first.
    """

    scores: Float[Tensor, " batch"]
    class_ids: Int[Tensor, " batch"]
    classes: Int[Tensor, "batch k"]
    probabilities: Float[Tensor, "batch k"]

    @classmethod
    def joined(cls, parts: Sequence[Outcome]) -> Outcome:
        """The outcome of rows that were evaluated in several passes."""
        names = [one.name for one in dataclasses.fields(cls)]
        return cls(*(torch.cat([getattr(part, name) for part in parts]) for name in names))


class Score(nn.Module):
    """The explained scalar as a function of embeddings, for Captum.

    ``score(*embeds, *rows)`` takes one tensor of embeddings for each stream, then one batch-first tensor for
    each of ``names``, and returns one number a row. The model still sees the token ids; a hook on the embedding
    module puts the given embeddings in the place of its own. The model is used in eval mode with frozen weights,
    by one thread at a time, and is as before when the call ends.

    Parameters
    ----------
    model
        The user's model. It does not become a submodule: moving or training the score leaves it alone.
    streams
        Where embeddings enter.
    names
        Names of the row tensors. Those that the model's forward function knows go to it; ``position`` says where
        its output is read, ``class_id`` which class (negative: the most probable one).
    read
        From the logits at the position, and the rows, to the score.
    model_inputs
        Which of ``names`` the model takes.
    top_k
        How many predictions to note in the sink. A list given after the rows (Captum hands it through) is the
        sink: each call appends its :class:`Outcome`.
    batch_tokens
        How many tokens, padding included, share a pass. A call with more rows is done in pieces whose gradients
        are taken at once, so that memory does not grow with the copies of a row that a method asks for; first
        derivatives only. None for no limit.
    """

    def __init__(
        self,
        model: nn.Module,
        streams: Sequence[Stream],
        names: Sequence[str],
        read: Read,
        *,
        model_inputs: Sequence[str],
        top_k: int = 3,
        batch_tokens: int | None = None,
    ) -> None:
        super().__init__()
        self._model = (model,)
        self.streams = tuple(streams)
        self.names = tuple(names)
        self.read = read
        self.model_inputs = tuple(model_inputs)
        self.top_k = top_k
        self.batch_tokens = batch_tokens
        self.sites = nn.ModuleList(nn.Identity() for _ in self.streams)
        self._projects_all = False

    def forward(self, *arguments: Any) -> Float[Tensor, " batch"]:
        """The score of each row; see the class."""
        count = len(self.streams)
        embeds = [site(value) for site, value in zip(self.sites, arguments[:count], strict=True)]
        rows = arguments[count : count + len(self.names)]
        sinks = arguments[count + len(self.names) :]
        tokens = embeds[0].shape[1]
        size = len(embeds[0]) if self.batch_tokens is None else max(1, self.batch_tokens // tokens)
        if len(embeds[0]) <= size:
            return self._scores(embeds, rows, sinks)
        parts: list[Outcome] = []
        own = (parts,) if sinks else ()
        scores = in_pieces(lambda embeds, rows: self._scores(embeds, rows, own), embeds, rows, size)
        for sink in sinks:
            sink.append(Outcome.joined(parts))
        return scores

    def same_as(self, other: object) -> bool:
        """Whether another score is the same function of embeddings and rows."""
        if not isinstance(other, Score):
            return False
        # A bound method equals that of an equal target only if it is the very same object.
        targets = [getattr(score.read, "__self__", score.read) for score in (self, other)]
        same = self._model[0] is other._model[0] and self.streams == other.streams
        return same and self.names == other.names and targets[0] == targets[1]

    def _scores(
        self, embeds: Sequence[Tensor], tensors: Sequence[Tensor], sinks: Sequence[list[Outcome]]
    ) -> Float[Tensor, " batch"]:
        rows = dict(zip(self.names, tensors, strict=True))
        logits = self._logits(embeds, rows)
        if logits.dtype in (torch.float16, torch.bfloat16):
            logits = logits.float()
        if sinks or bool((rows["class_id"] < 0).any()):
            top = logits.detach().topk(min(max(self.top_k, 1), logits.shape[-1]), dim=-1)
            rows["class_id"] = torch.where(rows["class_id"] < 0, top.indices[:, 0], rows["class_id"])
        scores = self.read(logits, rows)
        for sink in sinks:
            probabilities = logits.detach().softmax(dim=-1).gather(1, top.indices)
            k = self.top_k
            sink.append(Outcome(scores.detach(), rows["class_id"], top.indices[:, :k], probabilities[:, :k]))
        return scores

    def _logits(self, embeds: Sequence[Tensor], rows: Mapping[str, Tensor]) -> Float[Tensor, "batch classes"]:
        """The logits at each row's position."""
        (model,) = self._model
        position = rows["position"]
        inputs = {name: rows[name] for name in self.model_inputs}
        with ExitStack() as stack:
            stack.enter_context(borrowed(model))
            calls = [stack.enter_context(_replaced(s, e)) for s, e in zip(self.streams, embeds, strict=True)]
            head = None if self._projects_all else _output_embeddings(model)
            fired = [] if head is None else stack.enter_context(_gathered(head, position, rows["input_ids"]))
            logits = _logits_of(model(**inputs), model)
        for stream, consumed in zip(self.streams, calls, strict=True):
            _check_consumed(stream, consumed, model, self.streams)
        if len(fired) == 1 and logits.shape[1] == 1:
            return logits[:, 0]
        if fired:  # the head has another shape than the rule expects: from now on leave it alone
            self._projects_all = True
            return self._logits(embeds, rows)
        return logits[torch.arange(len(logits), device=logits.device), position.to(logits.device)]


@contextmanager
def borrowed(model: nn.Module) -> Iterator[None]:
    """One thread's use of a model in eval mode and with frozen weights; afterwards it is as it was.

    Frozen weights keep the graph free of what only weight gradients need, so a row takes less memory and time.
    """
    with lock_of(model):
        training = [module for module in model.modules() if module.training]
        trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
        try:
            for module in training:
                module.training = False
            for parameter in trainable:
                parameter.requires_grad_(False)
            yield
        finally:
            for module in training:
                module.training = True
            for parameter in trainable:
                parameter.requires_grad_(True)


@contextmanager
def _replaced(stream: Stream, embeds: Tensor) -> Iterator[list[bool]]:
    """Put embeddings in the place of one call's output; yields, for each call, whether it was replaced."""
    calls: list[bool] = []
    owner = threading.get_ident()

    def replace(module: nn.Module, arguments: Any, output: Any) -> Tensor | None:
        if threading.get_ident() != owner:  # another explanation that looks tokens up meanwhile
            return None
        calls.append(len(calls) == stream.call)
        if not calls[-1]:
            return None
        if not isinstance(output, Tensor) or not _holds(output, embeds):
            shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise SaliencyError(
                f"the embedding module gives {shape} where the text has embeddings {tuple(embeds.shape)}: this "
                "model reads its tokens in a way that is not supported."
            )
        given = embeds.to(output.dtype)
        if output.numel() > embeds.numel():  # the model pads to whole windows itself (Longformer)
            return torch.cat([given, output[:, embeds.shape[1] :]], dim=1)
        # A clone, since some models scale or add to the embedding's output in place.
        return given.reshape(output.shape).clone()

    handle = stream.module.register_forward_hook(replace)
    try:
        yield calls
    finally:
        handle.remove()


def _holds(output: Tensor, embeds: Tensor) -> bool:
    """Whether a text's embeddings fit in the place of the module's output, which may have padding after them."""
    if output.dim() == embeds.dim() == 3 and output.shape[::2] == embeds.shape[::2]:
        return output.shape[1] >= embeds.shape[1]
    return output.numel() == embeds.numel()


@contextmanager
def _gathered(head: nn.Module, position: Tensor, ids: Tensor) -> Iterator[list[bool]]:
    """Hand the head the hidden state at each row's position alone; yields a value for each time it could."""
    fired: list[bool] = []

    def gather(module: nn.Module, arguments: Any) -> Any:
        hidden = arguments[0] if arguments else None
        if not (isinstance(hidden, Tensor) and hidden.dim() == 3 and hidden.shape[:2] == ids.shape):
            return None
        fired.append(True)
        index = position.to(hidden.device)
        picked = hidden[torch.arange(len(hidden), device=hidden.device), index].unsqueeze(1)
        return (picked, *arguments[1:])

    handle = head.register_forward_pre_hook(gather)
    try:
        yield fired
    finally:
        handle.remove()


def _check_consumed(
    stream: Stream, calls: Sequence[bool], model: nn.Module, streams: Sequence[Stream]
) -> None:
    expected = sum(other.module is stream.module for other in streams)
    if sum(calls) != 1 or len(calls) != expected:
        raise SaliencyError(
            f"{type(model).__name__} called its text embedding {len(calls)} times in a forward pass instead of "
            f"{expected}: its scores depend on the text in a way that the embedding alone does not show."
        )


def _output_embeddings(model: nn.Module) -> nn.Module | None:
    get = getattr(model, "get_output_embeddings", None)
    head = get() if callable(get) else None
    return head if isinstance(head, nn.Module) else None


def _logits_of(output: Any, model: nn.Module) -> Float[Tensor, "batch positions classes"]:
    if isinstance(output, Tensor):
        logits: Any = output
    elif hasattr(output, "logits"):
        logits = output.logits
    else:
        logits = output[0]
    if not isinstance(logits, Tensor) or logits.dim() != 3:
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise SaliencyError(
            f"{type(model).__name__} gives {shape} where a masked language model gives logits of shape (batch, "
            "tokens, vocabulary): load the model with AutoModelForMaskedLM.from_pretrained(name)."
        )
    return logits
