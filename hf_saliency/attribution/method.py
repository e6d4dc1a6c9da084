"""Method: an attribution as a value, and the batch that it is called with."""

from __future__ import annotations

import copyreg
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ParamSpec

import torch
from captum.attr import (
    Attribution,
    GradientAttribution,
    GradientShap,
    LayerAttribution,
    LayerGradientShap,
    NoiseTunnel,
    PerturbationAttribution,
)
from jaxtyping import Float, Int
from torch import Tensor

from hf_saliency.attribution.vocabulary import Vocabulary
from hf_saliency.errors import (
    UNSIGNED_REDUCTIONS,
    Feature,
    Reduction,
    SaliencyError,
    check_call,
    check_reduction,
    plain,
    whole,
)
from hf_saliency.recipe import Recipe, same
from hf_saliency.synonyms import METHOD_ARGUMENTS

Reduce = Callable[[Float[Tensor, "batch tokens width"]], Float[Tensor, "batch tokens"]]


def _norm(values: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens"]:
    norms: Tensor = torch.linalg.vector_norm(values, dim=-1)
    return norms


def _largest(values: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens"]:
    """Return the number of largest magnitude, with its sign."""
    return values.gather(-1, values.abs().argmax(dim=-1, keepdim=True))[..., 0]


# The sum is first and the default, since it keeps the completeness of a method.
REDUCE: dict[Reduction, Reduce] = {
    "sum": lambda values: values.sum(dim=-1),
    "mean": lambda values: values.mean(dim=-1),
    "norm": _norm,
    "norm_1": lambda values: values.abs().sum(dim=-1),
    "max": _largest,
    "absmax": lambda values: values.abs().amax(dim=-1),
}


# Captum's classes that may draw random numbers. Nothing marks those perturbation methods that do, so all are listed.
DRAWING = (NoiseTunnel, GradientShap, LayerGradientShap, PerturbationAttribution)

Build = Callable[[Any, Sequence[Vocabulary]], Attribution]


@dataclass(frozen=True)
class Call:
    """One batch, for a method that chooses the arguments of Captum's ``attribute``."""

    attribution: Attribution
    embeds: tuple[Float[Tensor, "batch _ _"], ...]  # one per stream
    rows_at_once: int  # rows of this length in one pass; at least as many as the batch has
    # From a user's baseline to Captum's ``baselines``, shaped as the inputs. Special tokens, masks and padding are not
    # replaced.
    baselines: Callable[[Any], Any]
    # From a feature to the number of each token's feature, -1 for tokens without one.
    feature_mask: Callable[[Feature], Int[Tensor, "batch tokens"] | tuple[Int[Tensor, "batch _"], ...]]

    @property
    def copies_at_once(self) -> int:
        """Largest number of copies of each row in one pass."""
        return max(1, self.rows_at_once // len(self.embeds[0]))


Arguments = Callable[[Call], Mapping[str, Any]]


def no_arguments(call: Call) -> Mapping[str, Any]:
    """Return no arguments, for methods that take the inputs alone."""
    return {}


@dataclass(frozen=True, eq=False)
class Method:
    """An attribution method as a value, so that methods can be swapped and compared.

    Parameters
    ----------
    name
        The method's name in the literature, in lower case.
    build
        Function from the score (a module that Captum can call) and one vocabulary table per stream to the Captum
        object.
    arguments
        The method's arguments as JSON values, stored with the result. A ``baseline`` of None is the model's default
        baseline, and its name is stored.
    call
        Function from a batch to further arguments of ``attribute``.
    reduction
        How the width becomes one number: ``"sum"``, ``"mean"``, ``"norm"`` (2-norm), ``"norm_1"``, ``"max"`` (the
        number of largest magnitude, with its sign) or ``"absmax"``; None if the attribution already has one number
        per token.
    signed
        Whether the sign of the result has a meaning.
    at_input
        Whether the attribution evaluates the score at the input itself, and does so first. The predictions then
        come from the same forward pass.
    seed
        Seed that makes a sampling method reproducible: each row is explained separately, with random numbers that
        depend only on the seed and the target's position. None for a method without random numbers; a seed has no
        effect on Captum's gradient methods without random numbers.
    unit
        Unit of a result: ``"score"``, the unit of the score; ``"score per embedding"`` or ``"score per one-hot"``,
        a slope; ``"none"``.
    passes
        Function from the number of tokens that can be removed to the number of forward and backward passes for a
        target, including the prediction; None if these depend on the text.
    tolerance
        A convergence delta above this fraction of the difference of scores causes a warning.
    remedy
        Advice for a large convergence delta.
    citation
        Where the method was published.

    Notes
    -----
    Two methods are equal if the same call makes both, however its arguments are written:
    ``hs.integrated_gradients(5) == hs.integrated_gradients(n_steps=5)``. Methods built by calling ``Method`` are equal
    if all their parameters are equal, including functions. A copy by ``pickle`` or ``copy`` equals its original, unless
    it holds an object that does not equal its own copy, such as an instance of a Captum class.

    Raises
    ------
    SaliencyError
        For an unknown reduction, and a seed that is not an integer of 0 or more.

    Examples
    --------
    >>> import captum.attr
    >>> import hf_saliency as hs
    >>> method = hs.Method("input_x_gradient", lambda score, tables: captum.attr.InputXGradient(score))
    >>> explainer = hs.Explainer(*hs.load_demo())
    >>> explainer("She drank hot tea.", target=hs.MaskedToken("tea"), method=method).method
    'input_x_gradient'
    """

    name: str
    build: Build
    arguments: Mapping[str, Any] = field(default_factory=dict)
    call: Arguments = no_arguments
    reduction: Reduction | None = "sum"
    signed: bool = True
    at_input: bool = False
    seed: int | None = None
    unit: str = "score"
    passes: Callable[[int], tuple[int, int]] | None = None
    tolerance: float = 0.05
    remedy: str = "another baseline, or more steps or samples (n_steps=, n_samples=)"
    citation: str = ""
    # The call that made the method. Pickle stores it, since the functions above are often local.
    recipe: Recipe | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.reduction is not None:
            object.__setattr__(self, "reduction", check_reduction(self.reduction))
        if self.seed is not None:
            object.__setattr__(self, "seed", whole(self.seed, "seed", least=0))

    def __eq__(self, other: object) -> bool:
        return same(self, other) if isinstance(other, Method) else NotImplemented

    def __hash__(self) -> int:
        return hash((self.name, self.reduction, self.seed))

    def __reduce__(self) -> tuple[Any, ...]:
        if self.recipe is not None:
            return self.recipe, ()
        return copyreg.__newobj__, (type(self),), dict(vars(self))  # type: ignore[attr-defined]

    def draws(self, attribution: Attribution) -> bool:
        """Whether the result depends on random numbers, so that each row must be explained separately."""
        if self.seed is None:
            return False
        known = type(attribution).__module__.startswith(("captum.", "hf_saliency."))
        gradient = isinstance(attribution, (GradientAttribution, LayerAttribution))
        return isinstance(attribution, DRAWING) or not (known and gradient)


Parameters = ParamSpec("Parameters")


def named_method(function: Callable[Parameters, Method]) -> Callable[Parameters, Method]:
    """Wrap a function that returns a method: its methods pickle, and errors name its unknown keywords."""

    construct: Callable[..., Method] = function

    @functools.wraps(function)
    def make(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Method:
        if args and isinstance(args[0], torch.nn.Module):
            raise SaliencyError(
                f"{function.__name__} takes no model: give what it returns to hs.Explainer(model, tokenizer)(text, "
                "method=...)."
            )
        check_call(function, args, kwargs, function.__name__, METHOD_ARGUMENTS)
        values = tuple(map(plain, args))
        named = {name: plain(value) for name, value in kwargs.items()}
        method = construct(*values, **named)
        object.__setattr__(method, "recipe", Recipe(make, values, named))
        return method

    return make


def keeps_sign(reduction: str | None) -> bool:
    """Whether signed attributions keep their sign under a reduction."""
    return reduction not in UNSIGNED_REDUCTIONS


def described(baseline: Any) -> Any:
    """Convert a baseline to a JSON value: its text or texts, number or function's name; None for the default."""
    if isinstance(baseline, str):
        return str(baseline)  # NumPy's strings as well
    if baseline is None or (isinstance(baseline, (int, float)) and not isinstance(baseline, bool)):
        return baseline
    if isinstance(baseline, Tensor):
        return f"tensor {tuple(baseline.shape)}"
    if isinstance(baseline, tuple):
        return [described(part) for part in baseline]
    if isinstance(baseline, list):
        return {"mean over": ["default" if part is None else described(part) for part in baseline]}
    return getattr(baseline, "__name__", type(baseline).__name__)
