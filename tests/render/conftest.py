from __future__ import annotations

from collections.abc import Iterator

import pytest
from jaxtyping import TypeCheckError

from hf_saliency.render.colors import ordinal


@pytest.fixture
def unchecked_types() -> None:
    """Skip tests that pass values of a wrong type if jaxtyping checks annotations."""
    try:
        ordinal(1.0)  # type: ignore[arg-type]
    except TypeCheckError:
        pytest.skip("annotations are checked, and refuse this argument first")


@pytest.fixture(autouse=True, scope="session")
def short_shrinking() -> Iterator[None]:
    """Shrink failing examples for 20 seconds instead of five minutes, because figures are slow to draw."""
    with pytest.MonkeyPatch.context() as patch:  # Hypothesis has no setting for this
        patch.setattr("hypothesis.internal.conjecture.engine.MAX_SHRINKING_SECONDS", 20, raising=False)
        yield
