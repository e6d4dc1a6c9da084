"""The Ray engine: two workers write the same corpus as a single process, even if one of them dies."""

from __future__ import annotations

import functools
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


@pytest.mark.filterwarnings("ignore")  # Ray's own warnings
def test_a_worker_that_dies_is_replaced_and_its_texts_are_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_worker_niceness", "0")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    driver, mark = os.getpid(), str(tmp_path / "killed")

    def first_logit(output: Any, rows: Any) -> Any:
        """Return a logit; the first worker that calls this kills itself."""
        import os
        import signal

        if os.getpid() != driver:
            try:
                os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                pass
            else:
                os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))  # on Windows, SIGTERM kills
        return output.logits[:, 0, 0]

    def interrupted() -> Iterator[str]:
        yield from TEXTS[:6]
        raise OSError("the disk is gone")

    explainer = hs.Explainer(*tiny.masked_lm("bert"), progress=False)
    options: dict[str, Any] = {
        "target": hs.Output(first_logit),
        "window": 1,  # texts explained alone are equal to the last bit
    }
    alone = hs.write_corpus(explainer, TEXTS, tmp_path / "alone", **options)
    cluster = functools.partial(hs.write_corpus, explainer, folder=tmp_path / "cluster", **options)
    with pytest.raises(OSError, match="the disk is gone"):
        cluster(interrupted(), engine="ray", workers=2)
    assert Path(mark).exists()
    assert list(hs.read_corpus(tmp_path / "cluster").items()) == list(alone.items())[:5]
    corpus = cluster(TEXTS)
    assert corpus.complete
    assert list(corpus.items()) == list(alone.items())
    assert corpus.failures.equals(alone.failures)
