"""The one exception that this package raises for input that it cannot work with."""


class SaliencyError(ValueError):
    """What was given cannot be explained or drawn; the message says what would work."""
