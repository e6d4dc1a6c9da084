"""Score: the scalar that is explained, as the positional forward function that Captum wants."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hf_saliency.adapter import guards, hooks
from hf_saliency.adapter.activations import activation_modules
from hf_saliency.adapter.attention import attention_modules, layer_modules
from hf_saliency.adapter.sentence_models import call
from hf_saliency.adapter.streams import Stream
from hf_saliency.adapter.text_model import batch_inputs
from hf_saliency.errors import out_of_memory
from hf_saliency.score.products import Products
from hf_saliency.targets.readout import READOUT_TENSORS, Readout


@dataclass(frozen=True)
class PassResult:
    """What one forward pass gives beside the graph.

    Parameters
    ----------
    scores
        In the target's unit.
    class_ids
        Whose score it is, also where the most probable class was asked for.
    classes, probabilities
        The most probable classes at each logit that is read, best first.
    class_probabilities, against_probabilities
        Of the classes that are scored, and of those that are subtracted; without columns where there are none.
    """

    scores: Float[Tensor, " rows"]
    class_ids: Int[Tensor, "rows refs"]
    classes: Int[Tensor, "rows refs k"]
    probabilities: Float[Tensor, "rows refs k"]
    class_probabilities: Float[Tensor, "rows scored"]
    against_probabilities: Float[Tensor, "rows contrasted"]

    @classmethod
    def joined(cls, parts: Sequence[PassResult]) -> PassResult:
        """The result of rows that were evaluated in several passes."""
        names = [one.name for one in dataclasses.fields(cls)]
        return cls(*(torch.cat([getattr(part, name) for part in parts]) for name in names))


Function = Callable[[Sequence[Tensor], Sequence[Tensor]], Float[Tensor, " rows"]]


def in_pieces(
    function: Function, inputs: Sequence[Tensor], rows: Sequence[Tensor], size: int
) -> Float[Tensor, " rows"]:
    """A function whose value in a row depends on that row alone, for at most ``size`` rows at a time.

    Where a gradient in the inputs is wanted, each piece is differentiated as soon as it is evaluated, and the
    graph of one piece only is alive at any time: as many passes as without pieces, in the memory of one. The
    result can be differentiated once.

    Parameters
    ----------
    function
        From inputs and rows to one number a row.
    inputs
        Batch-first tensors in which the function is differentiated.
    rows
        Batch-first tensors of what else belongs to a row.
    size
        Rows of a piece.

    Returns
    -------
    Float[Tensor, " rows"]
    """
    wanted = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs)
    # Gradients in float16 leave its range unless the caller scales them on their way back through the graph.
    if wanted and any(tensor.dtype is torch.float16 for tensor in inputs):
        return function(inputs, rows)
    if wanted:
        values: Tensor = _Pieces.apply(function, rows, size, *inputs)  # type: ignore[no-untyped-call]
        return values
    return torch.cat([function(*part) for part in _split(inputs, rows, size)])


def _split(
    inputs: Sequence[Tensor], rows: Sequence[Tensor], size: int
) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    for start in range(0, len(inputs[0]), size):
        piece = slice(start, start + size)
        yield [tensor[piece] for tensor in inputs], [tensor[piece] for tensor in rows]


class _Pieces(torch.autograd.Function):
    """Values and gradients in one go; the backward pass only multiplies."""

    @staticmethod
    def forward(ctx: Any, function: Function, rows: Sequence[Tensor], size: int, *inputs: Tensor) -> Tensor:
        values, gradients = [], []
        for part, own in _split(inputs, rows, size):
            leaves = [tensor.detach().requires_grad_() for tensor in part]
            with torch.enable_grad():
                value = function(leaves, own)
                gradients.append(torch.autograd.grad(value.sum(), leaves))
            values.append(value.detach())
        ctx.save_for_backward(*map(torch.cat, zip(*gradients, strict=True)))
        return torch.cat(values)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor | None, ...]:
        scaled = (g * outer.to(g.dtype).reshape(-1, *[1] * (g.dim() - 1)) for g in ctx.saved_tensors)
        return (None, None, None, *scaled)


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
        refs, width); None where the head was not cut short.
    """

    scores: Float[Tensor, " rows"]
    leaves: tuple[Tensor, ...]
    text: Int[Tensor, " rows"]
    position: Int[Tensor, "rows refs"]
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


_SIGNATURE = inspect.Signature([inspect.Parameter("arguments", inspect.Parameter.VAR_POSITIONAL)])


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
        Names of the row tensors. Those that the model's forward function knows go to it; ``position`` (rows,
        refs) says where its output is read, ``class_id`` which class (negative: the most probable one),
        ``against_id`` which is subtracted, ``weight`` how much each counts, 1 without it.
    readout
        From the model's output to the score.
    model_inputs
        Which of ``names`` the model takes.
    constants
        What else the model takes: the same in every call, a tensor of one row repeated for each; a function is
        given the model's inputs.
    top_k
        How many predictions to note in the sink. A list given after the rows (Captum hands it through) is the
        sink: each call appends its :class:`PassResult`.
    batch_tokens
        How many tokens, padding included, share a pass. A call with more rows is done in pieces whose gradients
        are taken at once, so that memory does not grow with the copies of a row that a method asks for; first
        derivatives only. None for no limit.
    products
        Which matrix products of a call go to oneDNN; by default none.
    """

    def __init__(
        self,
        model: nn.Module,
        streams: Sequence[Stream],
        names: Sequence[str],
        readout: Readout,
        *,
        model_inputs: Sequence[str],
        constants: Mapping[str, Any] | None = None,
        top_k: int = 3,
        batch_tokens: int | None = None,
        products: Products | None = None,
    ) -> None:
        super().__init__()
        self._model = (model,)
        self.streams = tuple(streams)
        self.names = tuple(names)
        self.readout = readout
        self.model_inputs = tuple(model_inputs)
        self.constants = dict(constants or {})
        self.top_k = top_k
        self.batch_tokens = batch_tokens
        self.__signature__ = _SIGNATURE  # Captum looks at it in every call
        self.products = products or Products()
        self.sites = nn.ModuleList(nn.Identity() for _ in self.streams)
        self.batched_derivatives = True  # of all operations of the model, until one is found that has none
        self._projects_all = False

    def forward(self, *arguments: Any) -> Float[Tensor, " rows"]:
        """The score of each row; see the class."""
        with self.products.entered():
            embeds, tensors, sinks = self._split(arguments)
            if self.readout.mask_id is not None:
                return self._in_turn(embeds, tensors, sinks)
            return self._in_pieces(embeds, tensors, sinks)

    def shared_pass(
        self, text: Int[Tensor, " rows"], first: Int[Tensor, " texts"], *arguments: Any
    ) -> SharedPass:
        """The scores of rows that read the same texts, from one forward pass for each text.

        Only for rows whose inputs are those of the text that they share, or its beginning in a model that reads
        from left to right.

        Parameters
        ----------
        text
            Which text each row reads.
        first
            A row that holds the whole of each text.
        *arguments
            As for a call.

        Returns
        -------
        SharedPass
        """
        embeds, tensors, sinks = self._split(arguments)
        leaves = tuple(one[first].detach().requires_grad_() for one in embeds)
        rows = dict(zip(self.names, tensors, strict=True))
        shared = {name: rows[name][first] for name in self.model_inputs}
        cut: list[tuple[Tensor, Tensor]] = []
        scores = self._scores(leaves, {**rows, **shared, "text": text}, sinks, cut)
        return SharedPass(scores, leaves, text, rows["position"], cut[0] if cut else None)

    def with_classes(
        self, embeds: Sequence[Tensor], tensors: Sequence[Tensor]
    ) -> tuple[tuple[Tensor, ...], PassResult]:
        """Row tensors in which the most probable class has its number, as where the score is evaluated elsewhere.

        Parameters
        ----------
        embeds
            One a stream.
        tensors
            One for each of ``names``.

        Returns
        -------
        tensors : tuple of Tensor
        result : PassResult
            Of the forward pass that said so.
        """
        sink: list[PassResult] = []
        with torch.no_grad():
            self(*embeds, *tensors, sink)
        at = self.names.index("class_id")
        return (*tensors[:at], sink[0].class_ids, *tensors[at + 1 :]), sink[0]

    @property
    def attention(self) -> tuple[nn.Module, ...]:
        """The modules of the model that hold attention, for methods with rules of their own there."""
        return attention_modules(self._model[0])

    @property
    def layers(self) -> tuple[nn.Module, ...]:
        """The layers of the model that hold attention; none where it has several stacks of them."""
        return layer_modules(self._model[0])

    def token_read(self, tensors: Sequence[Tensor]) -> Int[Tensor, " rows"] | None:
        """The token that each row reads; None where a target reads several, or none in particular."""
        if self.readout.part is None or len(self.streams) > 1:
            return None
        position = tensors[self.names.index("position")]
        return position[:, 0] if position.shape[1] == 1 else None

    @property
    def activations(self) -> tuple[nn.Module, ...]:
        """The modules of the model that are one elementwise function each."""
        return activation_modules(self._model[0])

    def same_as(self, other: object) -> bool:
        """Whether another score is the same function of embeddings and rows."""
        if not isinstance(other, Score):
            return False
        same = self._model[0] is other._model[0] and self.streams == other.streams
        return same and self.names == other.names and self.readout == other.readout

    def _split(
        self, arguments: Sequence[Any]
    ) -> tuple[list[Tensor], Sequence[Tensor], Sequence[list[PassResult]]]:
        """Embeddings, through the sites that Captum's layer methods hook; row tensors; sinks."""
        count = len(self.streams)
        embeds = [site(value) for site, value in zip(self.sites, arguments[:count], strict=True)]
        return embeds, arguments[count : count + len(self.names)], arguments[count + len(self.names) :]

    def _in_pieces(
        self, embeds: Sequence[Tensor], tensors: Sequence[Tensor], sinks: Sequence[list[PassResult]]
    ) -> Float[Tensor, " rows"]:
        """The scores of rows, each on its own, in as many passes as the budget asks for."""
        tokens = sum(one.shape[1] for one in embeds)
        size = len(embeds[0]) if self.batch_tokens is None else max(1, self.batch_tokens // tokens)
        parts: list[PassResult] = []

        def scores(embeds: Sequence[Tensor], tensors: Sequence[Tensor]) -> Tensor:
            rows = dict(zip(self.names, tensors, strict=True))
            rows["text"] = torch.arange(len(embeds[0]), device=embeds[0].device)
            return self._scores(embeds, rows, (parts,) if sinks else ())

        whole = len(embeds[0]) <= size
        found = scores(embeds, tensors) if whole else in_pieces(scores, embeds, tensors, size)
        for sink in sinks:
            sink.append(PassResult.joined(parts))
        return found

    def _in_turn(
        self, embeds: Sequence[Tensor], tensors: Sequence[Tensor], sinks: Sequence[list[PassResult]]
    ) -> Float[Tensor, " rows"]:
        """The sum of a row's logits, each in a pass of its own with its token masked."""
        (values,) = embeds
        rows = dict(zip(self.names, tensors, strict=True))
        owner, place = (rows["weight"] != 0).nonzero(as_tuple=True)
        here = torch.arange(len(owner), device=owner.device)
        single = {name: one[owner] for name, one in rows.items()}
        for name in ("position", "class_id", "against_id", "weight"):
            if name in rows:
                single[name] = rows[name][owner, place][:, None]
        assert self.readout.mask_id is not None
        mask = torch.full((1, 1), self.readout.mask_id, device=owner.device)
        position = single["position"][:, 0]
        single["input_ids"] = single["input_ids"].index_put((here, position), mask[0])
        vector = self.streams[0].embed(mask)[0, 0].to(values.dtype)
        copies = values[owner].index_put((here, position), vector)
        inner: list[PassResult] = []
        own = (inner,) if sinks else ()
        each = self._in_pieces([copies], [single[name] for name in self.names], own)
        scores = torch.zeros(len(values), dtype=each.dtype, device=each.device).index_add(0, owner, each)
        for sink in sinks:
            class_ids = rows["class_id"].index_put((owner, place), inner[0].class_ids[:, 0])
            nothing = class_ids[..., None][..., :0]
            none = scores.detach()[:, None][:, :0]
            sink.append(PassResult(scores.detach(), class_ids, nothing, nothing.to(scores.dtype), none, none))
        return scores

    def _scores(
        self,
        embeds: Sequence[Tensor],
        rows: dict[str, Tensor],
        sinks: Sequence[list[PassResult]],
        cut: list[tuple[Tensor, Tensor]] | None = None,
    ) -> Float[Tensor, " rows"]:
        logits = self._logits(embeds, rows, cut)
        if logits.dtype in (torch.float16, torch.bfloat16):
            logits = logits.float()
        rows = {name: rows[name].to(logits.device) for name in READOUT_TENSORS if name in rows}
        if sinks or bool((rows["class_id"] < 0).any()):
            top = logits.detach().topk(min(max(self.top_k, 1), logits.shape[-1]), dim=-1)
            rows["class_id"] = torch.where(rows["class_id"] < 0, top.indices[..., 0], rows["class_id"])
        scores = self.readout.scores(logits, rows)
        for sink in sinks:
            probabilities = self.readout.probabilities(logits.detach())
            k = self.top_k if self.readout.names else 0
            sink.append(
                PassResult(
                    scores.detach(),
                    rows["class_id"],
                    top.indices[..., :k],
                    probabilities.gather(-1, top.indices)[..., :k],
                    self._probabilities_of("class_id", probabilities, rows),
                    self._probabilities_of("against_id", probabilities, rows),
                )
            )
        return scores

    def _probabilities_of(self, name: str, probabilities: Tensor, rows: Mapping[str, Tensor]) -> Tensor:
        """The probability of the classes of a row tensor; no columns where there are no probabilities of classes."""
        if name not in rows or self.readout.activation == "none":
            return probabilities[:, :0, 0]
        return probabilities.gather(-1, rows[name][..., None])[..., 0]

    def _logits(
        self,
        embeds: Sequence[Tensor],
        rows: Mapping[str, Tensor],
        cut: list[tuple[Tensor, Tensor]] | None = None,
    ) -> Float[Tensor, "rows refs classes"]:
        """The logits that each row reads; ``cut`` gets the hidden states that the head was cut short to."""
        (model,) = self._model
        readout, inputs = self.readout, {name: rows[name] for name in self.model_inputs}
        head, shape = None, torch.Size()
        if readout.part is not None:
            shape = rows[readout.layout.name(readout.part, "input_ids")].shape
            head = None if self._projects_all else hooks.output_embeddings(model)
        fired: list[tuple[Tensor, Tensor]] = []
        try:
            with guards.borrowed(model), hooks.gathered(head, rows["text"], rows["position"], shape) as fired:
                output = readout.layout.run(self._forward, self.streams, embeds, inputs)
        except (RuntimeError, IndexError) as error:
            if not fired or out_of_memory(error):
                raise
            # What becomes of the head's output needs all of it: from now on leave it alone.
            self._projects_all = True
            return self._logits(embeds, rows, cut)
        if not fired:
            return readout.logits(output, rows)
        count, refs = rows["position"].shape
        each = torch.arange(count, device=rows["text"].device)
        at_once = {"text": each, "position": torch.arange(refs, device=each.device).expand(count, refs)}
        logits = hooks.tensor(output, "logits", 3, "(batch, refs, classes)", "its head has another shape.")
        if len(fired) == 1 and logits.shape[:2] == (count, refs):
            if cut is not None:
                cut.extend(fired)
            return readout.logits(logits, {**rows, **at_once})
        # The head has another shape than the rule expects: from now on leave it alone.
        self._projects_all = True
        return self._logits(embeds, rows, cut)

    def _forward(self, streams: Sequence[Stream], embeds: Sequence[Tensor], inputs: Mapping[str, Any]) -> Any:
        """The model's output for given embeddings."""
        (model,) = self._model
        given = {**inputs, **batch_inputs(self.constants, inputs, len(embeds[0]))}
        with hooks.embedded(model, streams, embeds, given):
            if self.readout.labels_at_end:
                return hooks.last_token_logits(model, given, self.readout.labels_at_end)
            return call(model, given)
