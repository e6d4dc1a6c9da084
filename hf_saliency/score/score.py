"""Score: the scalar that is explained, as the positional forward function that Captum expects."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hf_saliency.adapter import hooks
from hf_saliency.adapter.architecture import LastLayer, activation_modules, attention_modules, layer_modules
from hf_saliency.adapter.streams import Stream
from hf_saliency.adapter.text_model import TextModel, batch_inputs
from hf_saliency.score.batch import names
from hf_saliency.score.head import Cut, Head
from hf_saliency.score.passes import MaskedInTurn, PassResult, in_pieces
from hf_saliency.score.products import Products
from hf_saliency.targets.readout import READOUT_TENSORS, Readout
from hf_saliency.targets.target import Row

Sinks = Sequence[list[PassResult]]

_SIGNATURE = inspect.Signature([inspect.Parameter("arguments", inspect.Parameter.VAR_POSITIONAL)])


class Score(nn.Module):
    """The explained scalar as a function of embeddings, for Captum.

    ``score(*embeds, *rows)`` takes one tensor of embeddings for each stream, then one batch-first tensor for
    each of ``names``, and returns one number a row. The model still sees the token ids; a hook on the embedding module
    replaces its output by these embeddings. The model runs in eval mode with frozen weights, in one thread at a
    time, and is restored when the call ends.

    Parameters
    ----------
    model
        The user's model. It does not become a submodule: moving or training the score leaves it alone.
    streams
        The places where embeddings enter.
    names
        Names of the row tensors. Those that the model's forward function knows go to it. The others are (rows, refs)
        each: ``position`` is the place where the output is read, ``class_id`` the class (negative: the most probable
        one), ``against_id`` the class that is subtracted, and ``weight`` the factor of each logit, 1 by default.
    readout
        The definition of the score in terms of the model's output.
    model_inputs
        Those of ``names`` that the model takes.
    call
        A function that calls the model with its inputs, if it does not take them by name.
    constants
        Other inputs of the model, the same in every call. A tensor of one row is repeated for each row; a function is
        called with the model's inputs.
    top_k
        Number of predictions to record in the sink. A list given after the rows (Captum passes it on) is the sink:
        each call appends its :class:`PassResult`.
    batch_tokens
        Number of tokens, padding included, that share a pass; None for no limit. A call with more rows runs in pieces,
        and each piece's gradients are taken at once, so that memory does not grow with the copies of a row that a
        method requests. Such a call has first derivatives only.
    products
        The matrix products of a call that go to oneDNN; by default none.
    """

    def __init__(
        self,
        model: nn.Module,
        streams: Sequence[Stream],
        names: Sequence[str],
        readout: Readout,
        *,
        model_inputs: Sequence[str],
        call: Callable[[Mapping[str, Any]], Any] | None = None,
        constants: Mapping[str, Any] | None = None,
        top_k: int = 3,
        batch_tokens: int | None = None,
        products: Products | None = None,
    ) -> None:
        super().__init__()
        self._model = (model,)  # in a tuple, so that moving or training the score leaves it alone
        self._call = call
        self.streams = tuple(streams)
        self.names = tuple(names)
        self.readout = readout
        self.model_inputs = tuple(model_inputs)
        self.constants = dict(constants or {})
        self.top_k = top_k
        self.batch_tokens = batch_tokens
        self.__signature__ = _SIGNATURE  # Captum looks at it in every call
        self.products = products
        self.sites = nn.ModuleList(nn.Identity() for _ in self.streams)
        # Assumed of all operations of the model, until one of them turns out to have none.
        self.batched_derivatives = True
        self.opened = False  # whether a method has requested modules of the model
        self._head = Head(model)

    @classmethod
    def of(
        cls, model: TextModel, rows: Sequence[Row], readout: Readout, batch_tokens: int, top_k: int = 1
    ) -> Score:
        """Build the explained score of rows that all have the same number of sequences."""
        row_names = names(model, rows, readout)
        return cls(
            model.model,
            readout.layout.streams(model.streams),
            row_names,
            readout,
            model_inputs=[name for name in row_names if name not in READOUT_TENSORS],
            call=model.call,
            constants=model.inputs,
            top_k=top_k,
            batch_tokens=batch_tokens,
        )

    def forward(self, *arguments: Any) -> Float[Tensor, " rows"]:
        """Return the score of each row; see the class."""
        if self.products is None:
            return self._forward(*self.split(arguments))
        with self.products.entered():
            return self._forward(*self.split(arguments))

    def _forward(
        self, embeds: Sequence[Tensor], tensors: Sequence[Tensor], sinks: Sinks
    ) -> Float[Tensor, " rows"]:
        if self.readout.mask_id is None:
            return self._in_passes(embeds, tensors, sinks)
        rows = dict(zip(self.names, tensors, strict=True))
        turns = MaskedInTurn.of(embeds[0], rows, self.streams[0], self.readout.mask_id)
        sink: list[PassResult] = []
        reads = self._in_passes(
            [turns.embeds], [turns.rows[name] for name in self.names], [sink] if sinks else ()
        )
        scores = turns.sums(reads, len(embeds[0]))
        for outer in sinks:
            outer.append(turns.result(sink[0], scores, rows["class_id"]))
        return scores

    def with_classes(
        self, embeds: Sequence[Tensor], tensors: Sequence[Tensor]
    ) -> tuple[tuple[Tensor, ...], PassResult]:
        """Return row tensors with the number of the most probable class, and the result of the pass that found it.

        Methods need this if they evaluate the score elsewhere, where another class may be the most probable one.
        """
        sink: list[PassResult] = []
        with torch.no_grad():
            self(*embeds, *tensors, sink)
        at = self.names.index("class_id")
        return (*tensors[:at], sink[0].class_ids, *tensors[at + 1 :]), sink[0]

    @property
    def last_layer(self) -> LastLayer | None:
        """The last layer, if its part after the attention runs only at the tokens that are read; None if only the head.

        Set it only after a trial, see ``score.last_layer``.
        """
        return self._head.last_layer

    @last_layer.setter
    def last_layer(self, last_layer: LastLayer | None) -> None:
        self._head.last_layer = last_layer

    @property
    def attention(self) -> tuple[nn.Module, ...]:
        """The modules of the model that hold attention, for methods with special rules there."""
        self._open()
        return attention_modules(self._model[0])

    @property
    def layers(self) -> tuple[nn.Module, ...]:
        """The layers of the model that hold attention; none if it has several stacks of them."""
        self._open()
        return layer_modules(self._model[0])

    def _open(self) -> None:
        """Note that a method knows modules of the model, which must see all tokens from now on."""
        self.opened = True
        self.last_layer = None

    def token_read(self, tensors: Sequence[Tensor]) -> Int[Tensor, " rows"] | None:
        """Return the token that each row reads; None if a target reads several, or none in particular."""
        if self.readout.part is None or len(self.streams) > 1:
            return None
        position = tensors[self.names.index("position")]
        return position[:, 0] if position.shape[1] == 1 else None

    @property
    def activations(self) -> tuple[nn.Module, ...]:
        """The modules of the model that compute one elementwise function each."""
        self._open()
        return activation_modules(self._model[0])

    def same_as(self, other: object) -> bool:
        """Whether another score is the same function of embeddings and rows."""
        if not isinstance(other, Score):
            return False
        same = self._model[0] is other._model[0] and self.streams == other.streams
        return same and self.names == other.names and self.readout == other.readout

    def split(self, arguments: Sequence[Any]) -> tuple[list[Tensor], Sequence[Tensor], Sinks]:
        """Return embeddings (passed through the sites that Captum's layer methods hook), row tensors, and sinks."""
        count = len(self.streams)
        embeds = [site(value) for site, value in zip(self.sites, arguments[:count], strict=True)]
        return embeds, arguments[count : count + len(self.names)], arguments[count + len(self.names) :]

    def _in_passes(
        self, embeds: Sequence[Tensor], tensors: Sequence[Tensor], sinks: Sinks
    ) -> Float[Tensor, " rows"]:
        """Return the scores of rows with separate embeddings, in as many passes as the budget requires."""
        tokens = sum(values.shape[1] for values in embeds)
        size = len(embeds[0]) if self.batch_tokens is None else max(1, self.batch_tokens // tokens)
        parts: list[PassResult] = []

        def scores(embeds: Sequence[Tensor], tensors: Sequence[Tensor]) -> Tensor:
            rows = dict(zip(self.names, tensors, strict=True))
            rows["text"] = torch.arange(len(embeds[0]), device=embeds[0].device)
            return self.one_pass(embeds, rows, [parts] if sinks else ())[0]

        fits = len(embeds[0]) <= size
        values = scores(embeds, tensors) if fits else in_pieces(scores, embeds, tensors, size)
        for sink in sinks:
            sink.append(parts[0] if fits else PassResult.joined(parts))
        return values

    def one_pass(
        self, embeds: Sequence[Tensor], rows: Mapping[str, Tensor], sinks: Sinks
    ) -> tuple[Float[Tensor, " rows"], tuple[Cut, ...]]:
        """Return the scores of rows from one forward pass, and the cuts of its hidden states."""
        readout = self.readout
        logits, cuts = self.logits(embeds, rows)
        if logits.dtype in (torch.float16, torch.bfloat16):
            logits = logits.float()
        reads = {name: rows[name].to(logits.device) for name in READOUT_TENSORS if name in rows}
        if sinks or bool((reads["class_id"] < 0).any()):
            top = logits.detach().topk(min(max(self.top_k, 1), logits.shape[-1]), dim=-1)
            reads["class_id"] = torch.where(reads["class_id"] < 0, top.indices[..., 0], reads["class_id"])
        scores = readout.scores(logits, reads)
        for sink in sinks:
            probabilities = readout.probabilities(logits.detach())
            k = self.top_k if readout.names else 0
            sink.append(
                PassResult(
                    scores.detach(),
                    reads["class_id"],
                    top.indices[..., :k],
                    probabilities.gather(-1, top.indices)[..., :k],
                    self._probabilities_of("class_id", probabilities, reads),
                    self._probabilities_of("against_id", probabilities, reads),
                )
            )
        return scores, cuts

    def logits(
        self, embeds: Sequence[Tensor], rows: Mapping[str, Tensor]
    ) -> tuple[Float[Tensor, "rows refs classes"], tuple[Cut, ...]]:
        """Return the logits that each row reads, and the cuts of the hidden states."""
        inputs = {name: rows[name] for name in self.model_inputs}
        layout = self.readout.layout
        return self._head.logits(
            lambda: layout.run(self._output, self.streams, embeds, inputs), self.readout, rows
        )

    def _probabilities_of(self, name: str, probabilities: Tensor, rows: Mapping[str, Tensor]) -> Tensor:
        """The probabilities of a row tensor's classes; no columns if the score is a number without a class."""
        if name not in rows or self.readout.activation == "none" or not self.readout.names:
            return probabilities[:, :0, 0]
        return probabilities.gather(-1, rows[name][..., None])[..., 0]

    def _output(self, streams: Sequence[Stream], embeds: Sequence[Tensor], inputs: Mapping[str, Any]) -> Any:
        """The model's output for given embeddings."""
        (model,) = self._model
        arguments = {**inputs, **batch_inputs(self.constants, inputs, len(embeds[0]))}
        with hooks.embedded(model, streams, embeds, arguments):
            if self.readout.labels_at_end:
                return hooks.last_token_logits(model, arguments, self.readout.labels_at_end)
            return model(**arguments) if self._call is None else self._call(arguments)
