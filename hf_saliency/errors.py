"""The one exception that this package raises for input that it cannot work with."""


class SaliencyError(ValueError):
    """What was given cannot be explained or drawn; the message says what would work.

    Examples
    --------
    >>> import hf_saliency as hs
    >>> hs.MaskedToken(unit="percent")
    Traceback (most recent call last):
        ...
    hf_saliency.errors.SaliencyError: unit='percent': choose one of 'logit', 'log_prob', 'prob'.
    """
