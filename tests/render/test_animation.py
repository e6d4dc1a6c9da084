from __future__ import annotations

import errno
import itertools
from pathlib import Path

import numpy as np
import pytest
from handmade import saliency_map
from PIL import Image

from hf_saliency.errors import SaliencyError
from hf_saliency.render.animation import animate

SWEEP = saliency_map("formal study of grammar", targets=[0, 1, 3])


def test_each_target_is_a_frame_of_one_size(tmp_path: Path) -> None:
    path = tmp_path / "sweep.gif"
    animate(SWEEP, path, width=2.0, seconds=0.5, dpi=72)
    with Image.open(path) as image:
        assert image.n_frames == 3
        assert image.size[0] == 144
        assert image.info["duration"] == 500
        frames = []
        for number in range(3):
            image.seek(number)
            frames.append(np.asarray(image.convert("RGB"), dtype=int))
    assert len({frame.shape for frame in frames}) == 1
    assert all(np.abs(a - b).max() > 50 for a, b in itertools.pairwise(frames))
    assert list(tmp_path.iterdir()) == [path]


def test_targets_may_be_chosen_and_other_formats_are_refused(tmp_path: Path) -> None:
    animate(SWEEP, tmp_path / "two.gif", width=2.0, targets=slice(0, 2), dpi=72)
    with Image.open(tmp_path / "two.gif") as image:
        assert image.n_frames == 2
    with pytest.raises(
        SaliencyError, match=r"written as gif, not as 'sweep.mp4': animate\(heat, 'sweep.gif'\)"
    ):
        animate(SWEEP, "sweep.mp4")
    with pytest.raises(SaliencyError, match="seconds=0: give a positive number"):
        animate(SWEEP, "sweep.gif", seconds=0)


def test_a_full_disk_is_an_error_that_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "sweep.gif"
    path.write_bytes(b"old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("matplotlib.animation.PillowWriter.finish", full)
    with pytest.raises(SaliencyError, match="No space left on device"):
        animate(SWEEP, path, width=2.0, dpi=72)
    assert path.read_bytes() == b"old"
