"""Sentence models: models of sentence-transformers, whose layers pass on a dictionary of features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from hf_saliency.adapter.guards import locked
from hf_saliency.adapter.wrappers import unwrapped
from hf_saliency.errors import SaliencyError

_EXPLAINED = "SentenceTransformer"
# Other models of sentence-transformers, each with advice or the reason.
_REFUSED_MODELS = {
    "CrossEncoder": "explain the classifier in it, hs.Explainer(model.model, model.tokenizer)",
    "MultiVectorEncoder": "it embeds a text as many vectors, and Similarity compares one of each text",
    "SparseEncoder": "explain the language model in it, hs.Explainer(model[0].auto_model, model.tokenizer)",
}
_REFUSED_LAYERS = {
    "Router": "it chooses layers by the task: explain a SentenceTransformer of the layers of one route",
    "WordWeights": "it weights tokens by their ids, which is not in the gradients of their embeddings",
}
# Layers that embed a padded row like a single one. With any other layer, rows are not padded.
_ROW_WISE = {"Dense", "Dropout", "LayerNorm", "Normalize", "Pooling", "Transformer", "WeightedLayerPooling"}

# Features that are the same for every text.
_CONSTANT = ("modality", "prompt_length")


def _kind(model: object) -> str | None:
    """Return the name of the sentence-transformers class that a model is or inherits from."""
    names = [cls.__name__ for cls in type(model).__mro__ if _theirs(cls)]
    return next((name for name in names if name == _EXPLAINED or name in _REFUSED_MODELS), None)


def _theirs(cls: type) -> bool:
    return cls.__module__.startswith("sentence_transformers.")


def embeds_sentences(model: object) -> bool:
    """Whether this is a SentenceTransformer, whose output contains the embedding of each text."""
    return _kind(model) == _EXPLAINED


@dataclass(frozen=True)
class SentenceModel:
    """How a SentenceTransformer reads texts: ``prompt`` precedes each text, ``constants`` are the same for all."""

    layers: Any
    prompt: str
    constants: Mapping[str, Any]

    @classmethod
    def of(cls, model: Any) -> SentenceModel | None:
        """Wrap a SentenceTransformer; refuse other models of its package, and return None for any other model."""
        kind = _kind(model)
        if kind is None:
            return None
        name = type(model).__name__
        if kind in _REFUSED_MODELS:
            raise SaliencyError(f"{name} cannot be explained as it is: {_REFUSED_MODELS[kind]}.")
        for layer in model.modules():
            kind_of_layer = type(layer).__name__
            if kind_of_layer in _REFUSED_LAYERS and _theirs(type(layer)):
                raise SaliencyError(
                    f"{name} ({kind_of_layer}) cannot be explained: {_REFUSED_LAYERS[kind_of_layer]}."
                )
        if not isinstance(getattr(model[0], "auto_model", None), nn.Module):
            raise SaliencyError(
                f"{name} cannot be explained: its first layer is {type(model[0]).__name__}, and only a Transformer "
                "with a PyTorch model embeds each token of a text."
            )
        prompt = model.prompts.get(model.default_prompt_name) or ""
        features = _read(model, "a", prompt)
        return cls(model, prompt, {name: features[name] for name in _CONSTANT if name in features})

    def call(self, inputs: Mapping[str, Any]) -> Any:
        """Return the features after the last layer, with the ``sentence_embedding`` that ``encode`` would return."""
        features: dict[str, Any] = self.layers(dict(inputs))
        embedding = features.get("sentence_embedding")
        if isinstance(embedding, Tensor):
            features["sentence_embedding"] = embedding[..., : self.layers.truncate_dim]
        return features

    @property
    def transformer(self) -> nn.Module:
        """The model of transformers that reads the token ids."""
        model: nn.Module = unwrapped(self.layers[0].auto_model)
        return model

    @property
    def metric(self) -> Any:
        """How the model compares embeddings: "cosine", "dot", "euclidean" or "manhattan"."""
        # Reading the property similarity_fn_name would set it, if it is not set yet.
        return self.layers._similarity_fn_name or "cosine"

    @property
    def pads(self) -> bool:
        """Whether every layer ignores padding."""
        return all(_theirs(type(layer)) and type(layer).__name__ in _ROW_WISE for layer in self.layers)

    def prompted(self, text: str) -> str:
        """Put the prompt before a text, unless the text is empty."""
        return self.prompt + text if isinstance(text, str) and text.strip() else text

    def check_ids(self, text: str, ids: Sequence[int], tokenizer: Any) -> None:
        """Refuse ids that differ from those that ``encode`` reads; ``text`` is given without the prompt."""
        now = self.layers.prompts.get(self.layers.default_prompt_name) or ""
        read = [int(i) for i in _read(self.layers, text, now)["input_ids"].flatten()]
        if read != list(ids):
            shown = [
                " ".join(map(str, tokenizer.convert_ids_to_tokens(tokens)))[:200]
                for tokens in (read, list(ids))
            ]
            raise SaliencyError(
                f"{type(self.layers).__name__}.encode reads {shown[0]!r}, but its tokenizer gives {shown[1]!r} for the "
                "text: create the Explainer from the model alone, hs.Explainer(model), and create it again after a "
                "change of the model's prompt or maximum length."
            )


def _read(model: Any, text: str, prompt: str) -> dict[str, Any]:
    """Return the features of a text that ``encode`` passes to the first layer."""
    with locked(model.tokenizer):
        if hasattr(model, "preprocess"):
            return dict(model.preprocess([text], prompt=prompt or None))
        _check_told(model, prompt)
        return dict(model.tokenize([prompt + text]))


def _check_told(model: Any, prompt: str) -> None:
    if prompt and not all(getattr(layer, "include_prompt", True) for layer in model):
        raise SaliencyError(
            f"{type(model).__name__} leaves its prompt out of the embedding, and this version of "
            "sentence-transformers does not report the prompt's length: update to a version with "
            "SentenceTransformer.preprocess."
        )
