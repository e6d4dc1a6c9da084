"""Run the first Python snippet of a page, and check the file that it writes.

    python tests/support/first_lines.py README.md

It imports only the standard library, so that it runs in an environment with nothing but the wheel.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path

snippet = re.search(r"^```python\n(.*?)^```", Path(sys.argv[1]).read_text("utf-8"), re.DOTALL | re.MULTILINE)
if snippet is None:
    sys.exit(f"{sys.argv[1]} has no Python snippet")
with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    exec(compile(snippet[1], sys.argv[1], "exec"), {"__name__": "__main__"})
    written = {path.name: path.stat().st_size for path in Path().iterdir()}
    os.chdir(os.pardir)
if not written or not all(written.values()):
    sys.exit(f"the first snippet of {sys.argv[1]} wrote no figure: {written}")
print("wrote", ", ".join(f"{name} ({size:,} bytes)" for name, size in written.items()))
