"""PseudoLogLikelihood: a whole text as one target of a masked language model."""

from __future__ import annotations

from dataclasses import dataclass

from hf_saliency.adapter import tasks
from hf_saliency.adapter.encoding import Encoding
from hf_saliency.adapter.reading import Reading, token_logits
from hf_saliency.adapter.rows import Read, Row
from hf_saliency.adapter.targets.places import plain_tokens
from hf_saliency.adapter.targets.target import Target, check_unit
from hf_saliency.adapter.text_model import TextModel
from hf_saliency.errors import SaliencyError
from hf_saliency.terms import Scale


@dataclass(frozen=True)
class PseudoLogLikelihood(Target):
    """A masked language model's pseudo-log-likelihood of a text, as one target.

    The sum over all tokens that are not special of the log-probability of the token while it alone is masked. A
    text of n tokens takes n rows of the model where another target takes one; they are done in pieces, so that
    memory stays that of one batch.

    Parameters
    ----------
    unit
        ``"log_prob"`` (nats), the definition; ``"logit"`` or ``"prob"`` sum these.

    Raises
    ------
    SaliencyError
        For an unknown unit. Explaining a text raises it if the text holds mask tokens, or is longer than the model
        reads.

    References
    ----------
    Salazar et al., Masked language model scoring, 2020, arXiv:1910.14659.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> explainer("She drank hot tea.", target=hs.PseudoLogLikelihood()).scores.shape
    (1, 9)
    """

    task = tasks.MASKED

    unit: Scale = "log_prob"

    def __post_init__(self) -> None:
        check_unit(self.unit)

    def reading(self, model: TextModel, parts: int = 1) -> Reading:
        return Reading(token_logits, self.unit, part=0, mask_id=model.mask_id())

    def rows(self, encoding: Encoding, model: TextModel) -> list[Row]:
        model.check_fits(len(encoding))
        plain = plain_tokens(encoding, "MaskedToken(index)")
        if model.mask_id() in encoding.ids:
            raise SaliencyError(
                f"the text {encoding.texts[0]!r} holds mask tokens, which have no likelihood: give the whole text, "
                "whose tokens are masked in turn, or explain its masks with target=hs.MaskedToken()."
            )
        reads = tuple(Read(encoding.ids[i], i) for i in plain)
        return [Row(encoding, reads, label="pseudo-log-likelihood")]
