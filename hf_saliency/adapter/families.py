"""Families: exceptions to the general rules, one entry for each class of models and all that inherit from it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from torch import nn

from hf_saliency.errors import SaliencyError, checks_call, warn

GROUP = "hf_saliency.families"


@dataclass(frozen=True)
class Family:
    """Differences from the general rules in a family of models.

    The general rules are: a text enters through the module that ``get_input_embeddings()`` returns (in an
    encoder-decoder, through those of both halves), this module is called once in a forward pass, and masked
    padding on the right leaves a row's result unchanged. For classes outside transformers, a trial finds out
    whether padding does so.

    Parameters
    ----------
    pads
        Whether right padding leaves the result of a row unchanged. If it does not, only rows of equal
        length are batched. None for the general rule.
    refused
        Why the family cannot be explained, as a clause that follows a colon; empty if it can. If this depends
        on the configuration, a function that takes a model and returns the clause or None.
    caution
        A function that takes the model and returns a warning for its user, or None.
    extra_lookups
        Whether the model looks more up in the word table after the text: ``token_type_ids`` from the tokenizer
        (GPT-2), or padding that the model adds (LED).
    rotates
        Whether a decoder that reads the encoder's text again, shifted right by one, starts with that text's last token
        (mBART) instead of a special start token (BART, T5).
    embedding
        A function that takes the model and returns the module that embeds its token ids; None for the general rule.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> hs.Family(refused="it reads bytes").refused
    'it reads bytes'
    """

    pads: bool | None = None
    refused: str | Callable[[Any], str | None] = ""
    caution: Callable[[Any], str | None] | None = None
    extra_lookups: bool = False
    rotates: bool = False
    embedding: Callable[[Any], nn.Module] | None = None


def _legacy_head(model: Any) -> str | None:
    if not getattr(model, "legacy", False):
        return None
    return (
        "this DeBERTa has transformers' default masked-LM head (legacy=True), which published checkpoints such as "
        "microsoft/deberta-base hold no weights for: its predictions are noise. Load the head that they hold with "
        "AutoModelForMaskedLM.from_pretrained(name, legacy=False)."
    )


def _second_table(name: str) -> str:
    return (
        f"its layers look the token ids up in a second table ({name}) as well, so the gradients of the first one "
        "show only a part of what depends on a token"
    )


def _per_layer_inputs(model: Any) -> str | None:
    there = model.config.get_text_config().hidden_size_per_layer_input
    return _second_table("embed_tokens_per_layer") if there else None


def _ngrams(model: Any) -> str | None:
    return _second_table("ngram_embedding") if model.config.get_text_config().ple_layer_ids else None


def _routed_by_id(model: Any) -> str | None:
    if "hash_moe" not in model.config.mlp_layer_types:
        return None
    return (
        "its first layers choose experts by the token id (hash_moe), not by the embedding, so that what depends on "
        "a token is not in the gradient of its embedding, and removing an embedding does not remove the token"
    )


_UNPADDED = Family(pads=False)
_SEGMENTS = Family(extra_lookups=True)
_ROTATES = Family(rotates=True)
_ENCODER_ALONE = Family(embedding=lambda model: model.get_encoder().get_input_embeddings())

# Keyed by the name of a transformers class. A subclass inherits the entry of its nearest ancestor.
FAMILIES: dict[str, Family] = {
    "BigBirdPreTrainedModel": _UNPADDED,  # chooses its attention type by the length of the batch
    "BigBirdPegasusPreTrainedModel": _UNPADDED,
    "BltPreTrainedModel": Family(refused="it reads bytes and hashes of n-grams of them, not tokens"),
    "CTRLPreTrainedModel": _SEGMENTS,
    "CaninePreTrainedModel": Family(
        refused="it hashes characters into several tables, without an embedding of token ids"
    ),
    "CodeGenPreTrainedModel": _SEGMENTS,
    "ConvBertPreTrainedModel": _UNPADDED,  # convolution over neighbouring tokens
    "DebertaForMaskedLM": Family(caution=_legacy_head),
    "DeepseekV4PreTrainedModel": Family(refused=_routed_by_id),
    "FNetPreTrainedModel": _UNPADDED,  # Fourier transform over all tokens, without a mask
    "FunnelPreTrainedModel": _UNPADDED,  # pools pairs of neighbouring tokens
    "GPT2PreTrainedModel": _SEGMENTS,
    "GPTBigCodePreTrainedModel": _SEGMENTS,
    "GPTJPreTrainedModel": _SEGMENTS,
    "GPTNeoPreTrainedModel": _SEGMENTS,
    "Gemma3nPreTrainedModel": Family(refused=_per_layer_inputs),
    "Gemma4PreTrainedModel": Family(refused=_per_layer_inputs),
    "IBertPreTrainedModel": Family(
        refused="its quantised embedding returns a pair, not one embedding a token"
    ),
    "LEDPreTrainedModel": Family(pads=False, extra_lookups=True),  # pads to whole windows itself
    "LongformerPreTrainedModel": _UNPADDED,  # pads to whole windows itself
    "MBartPreTrainedModel": _ROTATES,
    "MT5EncoderModel": _ENCODER_ALONE,
    "MT5ForTokenClassification": _ENCODER_ALONE,
    "MobileBertPreTrainedModel": _UNPADDED,  # trigram input: the last token sees the first pad
    "NeoMMEPreTrainedModel": Family(refused=_second_table("value_embeddings")),
    "NystromformerPreTrainedModel": _UNPADDED,  # landmarks are means over segments of the padded length
    "OpenAIGPTPreTrainedModel": _SEGMENTS,
    "PLBartPreTrainedModel": _ROTATES,
    "PerceiverPreTrainedModel": Family(refused="it reads bytes through a preprocessor, not an nn.Embedding"),
    "ProphetNetPreTrainedModel": Family(
        refused="transformers mixes up positions in its streams for future tokens, so that its prediction at a token "
        "depends on later tokens"
    ),
    "Qwen4ExpPreTrainedModel": Family(refused=_ngrams),
    "ReformerPreTrainedModel": Family(
        refused="its reversible layers have a backward pass in training mode only, with dropout"
    ),
    "RoFormerForMultipleChoice": _UNPADDED,  # reads the last token, padding or not
    "T5EncoderModel": _ENCODER_ALONE,  # its other table, left over from the encoder-decoder, is never called
    "T5ForTokenClassification": _ENCODER_ALONE,
    "XLNetForMultipleChoice": Family(
        refused="it reads the last token of choices that its tokenizer pads on the left, and this package pads on the "
        "right"
    ),
    "XLNetLMHeadModel": Family(
        refused="it predicts the tokens that perm_mask and target_mapping name, which no target of this package gives; "
        "XLNet's classifiers can be explained"
    ),
    "XLNetPreTrainedModel": _UNPADDED,  # memory and padding share its relative positions
    "YosoPreTrainedModel": _UNPADDED,
}

_REGISTERED: dict[type[nn.Module], Family] = {}


@checks_call
def register_family(cls: type[nn.Module], family: Family) -> None:
    """Register how a class of models, and all that inherit from it, differ from the general rules.

    A package can register its classes without being imported first: through an entry point of the group
    ``hf_saliency.families`` that names a mapping from dotted class names to :class:`Family`, such as
    ``{"my_package.modeling.MyModel": Family(pads=False)}``.

    Parameters
    ----------
    cls
        A class of models; replaces the entry that this package has for it, if any.
    family
        Its differences from the general rules.

    Raises
    ------
    SaliencyError
        If the class is no ``nn.Module``, or the family is no :class:`Family`.

    Examples
    --------
    >>> import torch, hf_saliency as hs
    >>> class Convolutional(torch.nn.Module): ...
    >>> hs.register_family(Convolutional, hs.Family(pads=False))
    """
    if not (isinstance(cls, type) and issubclass(cls, nn.Module)) or not isinstance(family, Family):
        raise SaliencyError(
            f"register_family({cls!r}, {family!r}): give a class of models and what differs in it, such as "
            "register_family(MyModel, hs.Family(pads=False))."
        )
    _REGISTERED[cls] = family


def family(model: nn.Module) -> Family:
    """Return the differences of a model and the models that it wraps; refuse a model that cannot be explained."""
    known = list(_entries(model))
    for module, entry in known:
        refused = entry.refused(module) if callable(entry.refused) else entry.refused
        if refused:
            inner = "" if module is model else f" ({type(module).__name__})"
            raise SaliencyError(
                f"{type(model).__name__}{inner} cannot be explained: {refused}.", page="models#exceptions"
            )
    if not known:
        return Family()
    # An entry for a wrapping class does not tell how the wrapped one treats padding, nor the other way round.
    pads = [entry.pads for module, entry in known if module is model or entry.pads is False]
    return Family(
        pads=None if not pads else False if False in pads else pads[0],
        caution=lambda _: next((e.caution(m) for m, e in known if e.caution and e.caution(m)), None),
        extra_lookups=any(entry.extra_lookups for _, entry in known),
        rotates=any(entry.rotates for _, entry in known),
        embedding=next((functools.partial(_embedding, e, m) for m, e in known if e.embedding), None),
    )


def _embedding(entry: Family, module: nn.Module, model: nn.Module) -> nn.Module:
    assert entry.embedding is not None
    return entry.embedding(module)


def _entries(model: nn.Module) -> Iterator[tuple[nn.Module, Family]]:
    """Yield each entry with the outermost module that has it, in the order of the modules."""
    seen: set[int] = set()
    for module in model.modules():
        for cls in type(module).__mro__:
            entry = _entry(cls)
            if entry is None:
                continue
            if id(entry) not in seen:
                seen.add(id(entry))
                yield module, entry
            break


def _entry(cls: type) -> Family | None:
    if cls in _REGISTERED:
        return _REGISTERED[cls]
    installed = _installed().get(f"{cls.__module__}.{cls.__qualname__}")
    if installed is not None or not cls.__module__.startswith("transformers."):
        return installed
    return FAMILIES.get(cls.__qualname__)


@functools.cache
def _installed() -> dict[str, Family]:
    """Return the families that installed packages register, read once; warn of one that fails and leave it out."""
    families: dict[str, Family] = {}
    for entry_point in metadata.entry_points(group=GROUP):
        try:
            entries = entry_point.load()
            if not isinstance(entries, Mapping) or not all(
                isinstance(name, str) and isinstance(value, Family) for name, value in entries.items()
            ):
                raise TypeError(f"it is not a mapping from class names to Family, but {entries!r:.100}")
        except Exception as error:
            package = entry_point.dist.name if entry_point.dist else "a package"
            warn(
                f"the families that {package} registers ({entry_point.name} = {entry_point.value}) are left out, "
                f"since they cannot be loaded: {type(error).__name__}: {error}.",
                RuntimeWarning,
            )
        else:
            families.update(entries)
    return families
