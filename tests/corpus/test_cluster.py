"""The Ray engine: two workers, one of which dies, give the corpus of a single process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny

import hf_saliency as hs

pytest.importorskip("ray.data", reason="Ray is not installed: pip install 'hf-saliency[cluster]'")

TEXTS = [
    "the cat sat on a mat",
    "dog",
    "the formal study",
    "",
    "she ran",
    "young age",
    "music",
    "he was not young",
]


@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_a_worker_that_dies_is_replaced_and_its_texts_are_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_worker_niceness", "0")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    driver, mark = os.getpid(), str(tmp_path / "killed")

    def first_logit(output: Any, rows: Any) -> Any:
        """A score whose first worker kills itself."""
        import os
        import signal

        if os.getpid() != driver:
            try:
                os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        return output.logits[:, 0, 0]

    def interrupted() -> Iterator[str]:
        yield from TEXTS[:2]
        raise OSError("the disk is gone")

    explainer = hs.Explainer(*tiny.masked_lm("bert"), progress=False)
    options: dict[str, Any] = {"target": hs.Output(first_logit), "window": 2}
    alone = hs.write_corpus(explainer, TEXTS, tmp_path / "alone", **options)
    with pytest.raises(OSError, match="the disk is gone"):
        hs.write_corpus(explainer, interrupted(), tmp_path / "cluster", **options)
    cluster = hs.write_corpus(explainer, TEXTS, tmp_path / "cluster", engine="ray", workers=2, **options)
    assert Path(mark).exists()
    assert cluster.complete
    assert list(cluster.items()) == list(alone.items())
    assert cluster.failures.equals(alone.failures)
