"""Strings that would run a script if they reached HTML without escaping, put together from parts at random."""

from __future__ import annotations

import random

RUN = "window.hacked=(window.hacked||0)+1"

_OPENINGS = [
    "",
    "</script>",
    "</style>",
    "-->",
    "]]>",
    '">',
    "'>",
    "</title>",
    "</noscript>",
    "</bdi></td>",
    "</SCRIPT >",
]
_PAYLOADS = [
    f"<script>{RUN}</script>",
    f"<img src=x onerror={RUN}>",
    f"<img/src=x/onerror='{RUN}'>",
    f"<svg onload={RUN}>",
    f"<svg><script>{RUN}</script></svg>",
    f"<body onload={RUN}>",
    f"<details open ontoggle={RUN}>",
    f'<iframe srcdoc="<script>parent.{RUN}</script>">',
    f"<a href=javascript:{RUN}>x</a>",
    f"<input autofocus onfocus={RUN}>",
    f"<style>@import 'https://example.org/x.css';</style><style onload={RUN}></style>",
    f"<meta http-equiv=refresh content='0;url=javascript:{RUN}'>",
    "<link rel=stylesheet href=https://example.org/x.css>",
    f'";{RUN};//',
    f"');{RUN};//",
    f"`${{{RUN}}}`",
    f"\\u003cscript\\u003e{RUN}\\u003c/script\\u003e",
    f"&lt;script&gt;{RUN}&lt;/script&gt;",
    f"<!--<script>{RUN}</script>",
    "<base href=https://example.org/>",
    f"<math><mtext><table><mglyph><style><img src=x onerror={RUN}>",
]
_BETWEEN = [
    "",
    " ",
    "\u2028",
    "\u2029",
    "\0",
    "\n",
    "\r",
    "\x1b[0m",
    "\u202e",
    "\ufeff",
    '"',
    "'",
    "\\",
    "&quot;",
    "\ud800",
]
_WORDS = ["tea", "é", "日本", "שלום", "👩‍💻", "$x$", "%s", "{0}"]


def strings(count: int, seed: int = 0) -> list[str]:
    """``count`` different strings, the same on every run."""
    chance = random.Random(seed)
    found: dict[str, None] = {}
    while len(found) < count:
        parts = [chance.choice(_WORDS), chance.choice(_BETWEEN), chance.choice(_OPENINGS)]
        parts += [chance.choice(_PAYLOADS), chance.choice(_BETWEEN)]
        found["".join(parts)] = None
    return list(found)
