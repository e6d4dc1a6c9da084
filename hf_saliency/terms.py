"""Words that several rooms share."""

from __future__ import annotations

from typing import Literal, get_args

Scale = Literal["logit", "log_prob", "prob"]
"""What a target may be asked for: a logit, a log-probability in nats, a probability."""

SCALES: tuple[Scale, ...] = get_args(Scale)

Unit = Literal["logit", "log_prob", "prob", "value"]
"""What a score is measured in: one of these, or the measure of an output that is no logit (a regression's)."""

UNITS: tuple[Unit, ...] = get_args(Unit)

Feature = Literal["token", "word"]
"""What a method removes at a time."""

FEATURES: tuple[Feature, ...] = get_args(Feature)
