"""show(): it uses a notebook if there is one, and otherwise the terminal."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
import sample_maps as maps

import hf_saliency as hs
from hf_saliency.errors import SaliencyError
from hf_saliency.render import show as showing
from hf_saliency.render.html import notebook


def test_in_a_terminal_it_prints_the_text(capsys: pytest.CaptureFixture[str]) -> None:
    hs.show(maps.sweep(), select="end")
    output = capsys.readouterr().out
    assert output.startswith("end (token 6, masked, logit 1.50)\nan un-\nbelievable  [end]\n")
    assert "\x1b" not in output
    hs.show([maps.sweep(), maps.sweep(method="saliency")])
    output = capsys.readouterr().out
    assert "gradient norm\nan (token 1" in output
    assert "saliency\nan (token 1" in output


def test_a_signed_or_partial_map_is_printed_too(capsys: pytest.CaptureFixture[str]) -> None:
    hs.show(maps.sweep(signed=True).select(0, 1))
    assert "un (token 2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("shell", "expected"),
    [
        (None, False),
        (SimpleNamespace(), False),
        (SimpleNamespace(kernel=None), False),
        (SimpleNamespace(kernel=1), True),
    ],
)
def test_a_notebook_is_where_a_kernel_is(shell: Any, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert showing._in_notebook() is expected
    monkeypatch.delitem(sys.modules, "IPython")
    assert showing._in_notebook() is False


def test_in_a_notebook_it_goes_through_textualheatmap(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[Any] = []
    monkeypatch.setattr(showing, "_in_notebook", lambda: True)
    monkeypatch.setattr(notebook, "notebook", lambda *given: called.append(given))
    hs.show(maps.sweep(), viewer="textual_heatmap", title="a", select="end", width=300, top_k=1)
    assert called == [([maps.sweep()], ["a"], "end", 300, 1)]


def test_in_a_notebook_every_map_is_shown_as_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    monkeypatch.setattr(showing, "_in_notebook", lambda: True)
    signed = maps.sweep(signed=True).select(0, 1)
    hs.show([signed, maps.sweep()], title=["a", "b"])
    (page,) = shown
    assert page._repr_html_() == hs.page([signed, maps.sweep()], title=["a", "b"]).fragment()
    with pytest.raises(
        SaliencyError, match="viewer='browser': choose one of 'page', 'textual_heatmap', 'terminal'"
    ):
        hs.show(signed, viewer="browser")  # type: ignore[arg-type]


def test_what_is_no_map_is_refused() -> None:
    with pytest.raises(
        SaliencyError, match=r"show\(maps\) takes a SaliencyMap or a list of them, not the int 7"
    ):
        hs.show(7)  # type: ignore[arg-type]
