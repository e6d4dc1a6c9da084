"""Words that several rooms share."""

from __future__ import annotations

from typing import Literal, get_args

Unit = Literal["logit", "log_prob", "prob"]
"""What a score is measured in: a logit, a log-probability in nats, a probability."""

UNITS: tuple[Unit, ...] = get_args(Unit)

Feature = Literal["token", "word"]
"""What a method removes at a time."""

FEATURES: tuple[Feature, ...] = get_args(Feature)
