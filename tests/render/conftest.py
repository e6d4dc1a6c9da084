from __future__ import annotations

import pytest
from jaxtyping import TypeCheckError

from hf_saliency.render.numerals import ordinal


@pytest.fixture
def unchecked_types() -> None:
    """For tests that pass what no annotation allows: skipped where jaxtyping checks annotations."""
    try:
        ordinal(1.0)  # type: ignore[arg-type]
    except TypeCheckError:
        pytest.skip("annotations are checked, and refuse this argument first")
