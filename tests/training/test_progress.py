import functools
import io
import sys

import pytest
import tqdm

from dlcourse.training.history import History
from dlcourse.training.progress import Progress

from .tiny import trainer


class Screen(io.StringIO):
    def __init__(self, terminal: bool):
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


def shown(monkeypatch: pytest.MonkeyPatch, terminal: bool, quiet: bool) -> str:
    screen = Screen(terminal)
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(tqdm, "tqdm", functools.partial(tqdm.tqdm, mininterval=0))
    history = History(None, log_every=2)
    trainer(6, [history, Progress(history, quiet)]).run()
    return screen.getvalue()


def test_a_terminal_shows_loss_and_samples_a_second(monkeypatch) -> None:
    text = shown(monkeypatch, terminal=True, quiet=False)
    assert "samples/s" in text and "loss " in text and "/20.0" in text


@pytest.mark.parametrize(("terminal", "quiet"), [(False, False), (True, True)])
def test_nothing_without_a_terminal_or_when_quiet(monkeypatch, terminal: bool, quiet: bool) -> None:
    assert shown(monkeypatch, terminal, quiet) == ""
