"""Files of maps: they are written completely or not at all, and errors name every unusable path."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sample_maps import sweep

from hf_saliency.errors import SaliencyError
from hf_saliency.maps import storage
from hf_saliency.maps.attachment import read_maps
from hf_saliency.maps.saliency_map import SaliencyMap
from hf_saliency.maps.table import Table

pytestmark = pytest.mark.skipif(os.name != "posix", reason="POSIX permissions, links and pipes")


def permissions(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_save_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / ("m" * 251 + ".jsn")  # the longest file name that systems allow
    path.write_text("old")
    sweep().save(path)
    assert SaliencyMap.load(str(path)) == sweep()
    sweep(method="new").save(str(path))
    assert SaliencyMap.load(path).method == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_path_without_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sweep().save("map.json")
    assert SaliencyMap.load(tmp_path / "map.json") == sweep()


@pytest.mark.parametrize("failing", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt("stopped")])
def test_an_interrupted_write_leaves_the_old_file(
    failing: str, error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "map.json"
    sweep(method="old").save(path)

    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(os, failing, fail)
    stopped = isinstance(error, KeyboardInterrupt)
    message = "stopped" if stopped else "cannot write .*map.json': No space left on device"
    with pytest.raises(KeyboardInterrupt if stopped else SaliencyError, match=message):
        sweep(method="new").save(path)
    monkeypatch.undo()
    assert SaliencyMap.load(path).method == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "map.json"
    sweep().save(path)
    done = threading.Event()

    def write() -> None:
        for number in range(60):
            sweep(method=str(number) * 5000).save(path)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    reads = 0
    while not done.is_set() or not reads:
        SaliencyMap.load(path)
        reads += 1
    writer.join()
    assert SaliencyMap.load(path).method == "59" * 5000


def test_permissions_are_those_of_any_new_file_or_of_the_old_one(tmp_path: Path) -> None:
    path, other = tmp_path / "map.json", tmp_path / "other.json"
    old = os.umask(0o027)
    try:
        sweep().save(path)
        sweep().save(other)
        assert permissions(path) == 0o640
        assert os.umask(0o027) == 0o027
        path.chmod(0o600)
        sweep().save(path)
        assert permissions(path) == 0o600
        assert permissions(other) == 0o640
    finally:
        os.umask(old)


def test_a_link_goes_on_to_point_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    path, link, dangling = tmp_path / "folder" / "map.json", tmp_path / "link", tmp_path / "dangling"
    path.write_text("old")
    link.symlink_to(path)
    dangling.symlink_to(tmp_path / "folder" / "new.json")
    for one in (link, dangling):
        sweep().save(one)
        assert one.is_symlink()
        assert SaliencyMap.load(one.resolve()) == sweep()


def test_what_is_no_regular_file_is_written_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    end = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    sweep().save(pipe)
    with os.fdopen(end, "rb") as file:
        assert storage.loads(file.read().decode(), SaliencyMap) == sweep()
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert list(tmp_path.iterdir()) == [pipe]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "Is a directory"),
        ("missing/map.json", "No such file or directory"),
        ("file/map.json", "Not a directory"),
        ("a\0b", "embedded null"),
        ("m" * 300, "File name too long"),
        ("loop", "Too many levels of symbolic links"),
    ],
)
def test_a_path_that_cannot_be_a_file_is_named(name: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    before = sorted(tmp_path.iterdir())
    path = tmp_path / name
    for action in ("write", "read"):
        with pytest.raises(SaliencyError, match=f"cannot {action} .*: {reason}") as raised:
            sweep().save(path) if action == "write" else SaliencyMap.load(path)
        assert repr(str(path)) in str(raised.value)
        assert raised.value.__cause__ is not None
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "map.json").write_text("old")
    tmp_path.chmod(0o500)
    try:
        if os.geteuid() == 0:  # no permission stops root
            monkeypatch.setattr("builtins.open", _refused)
        with pytest.raises(SaliencyError, match=r"cannot write .*map.json': Permission denied"):
            sweep().save(tmp_path / "map.json")
    finally:
        tmp_path.chmod(0o700)
        monkeypatch.undo()
    assert (tmp_path / "map.json").read_text() == "old"


def _refused(*_: Any, **__: Any) -> None:
    raise PermissionError(13, "Permission denied")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x89PNG\r\n\x1a\n\x00", r"is a figure or a page.*hs.read_maps\(.*foreign'\) reads its maps"),
        (b"%PDF-1.4\n", r"hs.read_maps\("),
        (b"<!DOCTYPE html>", r"hs.read_maps\("),
        (b"\x80\x04\x95", "it is not UTF-8 text"),
        ("{}".encode("utf-16"), "it is not UTF-8 text"),
        (b"", "it is not JSON"),
        (b"{}", "is not a saliency map"),
    ],
)
def test_a_foreign_file_is_named(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "foreign"
    path.write_bytes(content)
    with pytest.raises(SaliencyError, match=f"^'{path}' .*{message}"):
        SaliencyMap.load(path)


def test_a_file_is_read_without_torch(tmp_path: Path) -> None:
    sweep(scores=np.ones((6, 8))).save(tmp_path / "map.json")
    code = """
import sys, hf_saliency as hs
heat = hs.SaliencyMap.load(sys.argv[1])
heat.to_textual_heatmap(), heat.select("end").words().normalized(), repr(heat)
print(heat == heat, {"torch", "captum", "transformers", "matplotlib"} & set(sys.modules))
"""
    command = [sys.executable, "-W", "error", "-c", code, str(tmp_path / "map.json")]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "True set()\n"


def test_dumps_and_loads_need_no_file() -> None:
    assert storage.loads(storage.dumps(sweep()), SaliencyMap) == sweep()


@pytest.mark.parametrize("path", [None, b"map.json", 3, object()])
def test_a_path_is_a_string_or_a_path(path: Any) -> None:
    for call in (sweep().save, SaliencyMap.load, read_maps):
        with pytest.raises(SaliencyError, match=r"a path is a string or a pathlib.Path, such as .*, not "):
            call(path)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("x.png", "savefig"),
        ("x.PDF", "savefig"),
        ("x.html", "hs.page"),
        ("x.csv", "to_dataframe"),
        ("x.npz", "scores"),
    ],
)
def test_a_map_is_not_saved_as_a_picture(name: str, call: str, tmp_path: Path) -> None:
    with pytest.raises(SaliencyError, match=f"writes JSON.*{call}"):
        sweep().save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_limit_on_file_sizes_leaves_the_old_file(tmp_path: Path) -> None:
    """The write itself fails half way, as it does on a full disk."""
    resource = pytest.importorskip("resource")
    path = tmp_path / "map.json"
    sweep().save(path)
    old = path.read_bytes()
    limits, action = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(SaliencyError, match="cannot write"):
            sweep(method="another").save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, action)
    assert path.read_bytes() == old
    assert [each.name for each in tmp_path.iterdir()] == ["map.json"]


def test_objects_are_counted_before_they_are_made(tmp_path: Path) -> None:
    bomb = b"[" + b'{"a":{}},' * 400_000 + b"0]"
    (tmp_path / "map.json").write_bytes(b'{"map": ' + bomb + b"}")
    with pytest.raises(SaliencyError, match="more than 500,000 lists and objects"):
        SaliencyMap.load(tmp_path / "map.json")


def test_maps_are_read_from_a_pipe(tmp_path: Path) -> None:
    sweep().save(tmp_path / "map.json")
    for read, expected in ((SaliencyMap.load, sweep()), (read_maps, [sweep()])):
        pipe = tmp_path / f"{read.__name__}.json"
        os.mkfifo(pipe)
        writer = threading.Thread(target=pipe.write_bytes, args=[(tmp_path / "map.json").read_bytes()])
        writer.start()
        assert read(pipe) == expected
        writer.join()


def test_values_are_counted_before_they_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "numbers.json"
    path.write_bytes(b'{"map": [' + b"1," * 5_000_001 + b"1]}")
    for load in (SaliencyMap.load, Table.load):
        with pytest.raises(SaliencyError, match="more than 5,000,000 values"):
            load(path)
    path.unlink()
    # save() must not write a document that load() would refuse.
    monkeypatch.setattr(storage, "_BOUNDS", ((",", 20, "values"),))
    with pytest.raises(SaliencyError, match=r"more than 20 values.*save fewer targets"):
        sweep().save(path)
    with pytest.raises(SaliencyError, match=r"more than 20 values.*of a table fewer rows"):
        Table({"number": range(30)}).save(path)
    assert not path.exists()


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep().save(tmp_path / "map.json")
    monkeypatch.setattr(storage, "LARGEST_DOCUMENT", 100)
    with pytest.raises(SaliencyError, match="is larger than"):
        SaliencyMap.load(tmp_path / "map.json")
    with pytest.raises(SaliencyError, match="save fewer targets"):
        sweep().save(tmp_path / "other.json")
