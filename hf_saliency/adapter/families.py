"""What the general rules do not cover: one entry for a class of models, and for all that inherit from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hf_saliency.errors import SaliencyError


@dataclass(frozen=True)
class Family:
    """What differs from the general rules in a family of models.

    Parameters
    ----------
    pads
        Whether right padding leaves the result of a row unchanged. Where it does not, only rows of equal
        length are batched.
    refused
        Why the family cannot be explained; empty if it can.
    caution
        Given the model, a warning for its user, or None.
    """

    pads: bool = True
    refused: str = ""
    caution: Any = None


def _legacy_head(model: Any) -> str | None:
    if not getattr(model, "legacy", False):
        return None
    return (
        "this DeBERTa has transformers' default masked-LM head (legacy=True), which published checkpoints such as "
        "microsoft/deberta-base hold no weights for: its predictions are noise. Load the head that they hold with "
        "AutoModelForMaskedLM.from_pretrained(name, legacy=False)."
    )


_UNPADDED = Family(pads=False)
_TWO_STREAMS = Family(
    refused="its text enters the encoder and, shifted, the decoder too, which the masked sweep does not cover yet"
)

# Keyed by the name of a class of transformers; subclasses inherit the entry of the nearest class.
FAMILIES: dict[str, Family] = {
    "BartPreTrainedModel": _TWO_STREAMS,
    "ConvBertPreTrainedModel": _UNPADDED,  # convolution over neighbouring tokens
    "FNetPreTrainedModel": _UNPADDED,  # Fourier transform over all tokens, without a mask
    "LongformerPreTrainedModel": _UNPADDED,  # pads to whole windows itself
    "MBartPreTrainedModel": _TWO_STREAMS,
    "MobileBertPreTrainedModel": _UNPADDED,  # trigram input: the last token sees the first pad
    "MvpPreTrainedModel": _TWO_STREAMS,
    "NystromformerPreTrainedModel": _UNPADDED,  # landmarks are means over segments of the padded length
    "YosoPreTrainedModel": _UNPADDED,
    "DebertaForMaskedLM": Family(caution=_legacy_head),
    "IBertPreTrainedModel": Family(
        refused="its quantised embedding returns a pair, not one embedding a token"
    ),
    "PerceiverPreTrainedModel": Family(refused="it reads bytes through a preprocessor, not an nn.Embedding"),
}


def family(model: object) -> Family:
    """The entry of a model's class or of the nearest class that it inherits from; the general rules else.

    Parameters
    ----------
    model
        A model.

    Returns
    -------
    Family

    Raises
    ------
    SaliencyError
        If the family cannot be explained.
    """
    for cls in type(model).__mro__:
        entry = FAMILIES.get(cls.__qualname__)
        if entry is not None and cls.__module__.startswith("transformers."):
            if entry.refused:
                raise SaliencyError(f"{type(model).__name__} cannot be explained: {entry.refused}.")
            return entry
    return Family()
