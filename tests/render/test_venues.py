"""The table of venues in the documentation agrees with the code."""

from __future__ import annotations

import re
from pathlib import Path

from hf_saliency.render.settings import VENUES

PAGE = Path(__file__).parents[2] / "docs" / "figures.md"


def test_documented_venues_are_the_ones_there_are() -> None:
    found = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if match := re.match(r'\| ((?:`"[a-z0-9-]+"`(?:, )?)+) \| ([\d., ]+) \| (\d+) \| ([\d.]+) \|', line):
            names = re.findall(r'"([a-z0-9-]+)"', match[1])
            widths = [float(width) for width in match[2].split(", ")]
            for i, name in enumerate(names):
                found[name] = (widths[i % len(widths)], float(match[3]), float(match[4]))
    assert found == {
        name: (round(venue.width, 2), venue.fontsize, round(venue.height, 2))
        for name, venue in VENUES.items()
    }
