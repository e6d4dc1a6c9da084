"""Further inputs: what a model needs beside the text, as its user gives it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from hf_saliency.errors import SaliencyError
from hf_saliency.failures import called

_MADE = {"input_ids", "attention_mask"}


def further_inputs(model: nn.Module, tokenizer: Any, inputs: Any) -> dict[str, Any]:
    """The arguments of a model's forward function that do not follow from the text.

    Parameters
    ----------
    model
        The model.
    tokenizer
        Whose inputs need not be given.
    inputs
        As for :class:`hf_saliency.Explainer`.

    Returns
    -------
    dict
        A function among them says whose it is where it fails.

    Raises
    ------
    SaliencyError
        If the model does not take one of them, or needs another.
    """
    if inputs is not None and not isinstance(inputs, Mapping):
        raise SaliencyError(f"inputs={inputs!r}: give what the model needs by name, {{'position_ids': ...}}.")
    given: dict[str, Any] = dict(inputs or {})
    parameters = inspect.signature(model.forward).parameters.values()
    named = [one for one in parameters if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
    own = _of_transformers(model)
    taken = {one.name for one in named} | (_passed_on() if own else set())
    takes_any = not own and any(one.kind is one.VAR_KEYWORD for one in parameters)
    for name in given:
        if name in _MADE or not (name in taken or takes_any):
            raise SaliencyError(
                f"inputs={{{name!r}: ...}}: {type(model).__name__}.forward takes {', '.join(sorted(taken - _MADE))}, "
                "and the tokenizer gives the rest."
            )
    filled = {*_MADE, *(f"decoder_{name}" for name in _MADE), *getattr(tokenizer, "model_input_names", ())}
    missing = [one.name for one in named if one.default is one.empty and one.name not in {*filled, *given}]
    if missing:
        example = ", ".join(f"{name!r}: ..." for name in missing)
        raise SaliencyError(
            f"{type(model).__name__}.forward needs {', '.join(missing)} beside what the tokenizer gives: "
            f"Explainer(model, tokenizer, inputs={{{example}}}), each a tensor of one row or a function of the others."
        )
    # A cache of keys and values is of no use to a single pass.
    cache = {"use_cache": False} if "use_cache" in taken else {}
    return {**cache, **{name: _computed(name, one) if callable(one) else one for name, one in given.items()}}


def made(given: Mapping[str, Any], inputs: Mapping[str, Tensor], count: int) -> dict[str, Any]:
    """Further inputs for a batch.

    Parameters
    ----------
    given
        What :func:`further_inputs` returns.
    inputs
        The model's other inputs.
    count
        The rows of the batch, for which a tensor of one row is repeated.

    Returns
    -------
    dict
    """
    found = {}
    for name, value in given.items():
        one = value(inputs) if callable(value) else value
        repeated = isinstance(one, Tensor) and one.dim() and len(one) == 1 != count
        found[name] = one.expand(count, *one.shape[1:]) if repeated else one
    return found


def _of_transformers(model: nn.Module) -> bool:
    """Whether the forward function is the library's own, whose ``**kwargs`` swallow what they do not know."""
    return str(getattr(type(model).forward, "__module__", "")).startswith("transformers.")


def _passed_on() -> set[str]:
    """What models of transformers take beside their named parameters."""
    from transformers.utils.generic import TransformersKwargs

    return {"return_dict", *TransformersKwargs.__annotations__}


def _computed(name: str, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    advice = "It is called with the model's other inputs by name, and returns the value."
    whose = f"the function of inputs={{{name!r}: ...}}"

    def value(rows: Any) -> Any:
        found = called(function, whose, advice, rows)
        if found is None:
            raise SaliencyError(f"{whose} returned None. {advice}")
        return found

    return value
