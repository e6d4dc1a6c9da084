"""Quadrature: the rules by which Captum takes an integral for a sum over points of a path."""

from __future__ import annotations

from typing import Literal, get_args

from hf_saliency.errors import SaliencyError

Quadrature = Literal["gausslegendre", "riemann_trapezoid", "riemann_middle", "riemann_left", "riemann_right"]


def check_quadrature(rule: object, n_steps: int, name: str = "quadrature") -> None:
    """Refuse a rule that does not exist, and too few points for one.

    Parameters
    ----------
    rule
        The rule.
    n_steps
        The points.
    name
        What the caller calls the rule.

    Raises
    ------
    SaliencyError
        If there is no such rule, or it needs more points.
    """
    known = get_args(Quadrature)
    if rule not in known:
        raise SaliencyError(f"{name}={rule!r}: choose one of {', '.join(map(repr, known))}.")
    if rule != "gausslegendre" and n_steps < 2:
        raise SaliencyError(f"n_steps={n_steps}: {rule} needs 2 points or more.")
