"""One virtual environment per peer: its own packages take precedence over those of this package's environment."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "peers"


def python_of(peer: str) -> Path:
    """Return the interpreter of a peer's environment; make the environment if it is missing or its list has changed.

    ``constraints-peers/<peer>.txt`` lists all packages that the peer needs in addition to or instead of those
    already here; torch is never among them. Raises RuntimeError with the last line of the failure's output.
    """
    packages = ROOT / "constraints-peers" / f"{peer}.txt"
    home = BUILD / peer
    python, mark = home / "bin" / "python", home / "complete"
    listing = packages.read_text(encoding="utf-8")
    if mark.exists() and mark.read_text(encoding="utf-8") == listing:
        return python
    print(f"installing {peer}", file=sys.stderr, flush=True)
    _run(sys.executable, "-m", "venv", "--clear", home)
    inside = sysconfig.get_path("purelib", vars={"base": str(home)})
    (Path(inside) / "shared.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    _run(python, "-m", "pip", "install", "--quiet", "--no-deps", "-r", packages)
    mark.write_text(listing, encoding="utf-8")
    return python


def _run(*command: str | Path) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        errors = (
            [line for line in lines if "error" in line.lower()] or lines or ["it failed without a message"]
        )
        raise RuntimeError(errors[-1].strip())
