import os
import signal
import sys
import threading

import pytest

from dlcourse.errors import Interrupted
from dlcourse.signals import SIGNALS, handle_termination
from dlcourse.training.callback import Callback
from dlcourse.training.signals import Signals

from .tiny import trainer


class Kills(Callback):
    """Sends this process signals in the middle of training."""

    def __init__(self, *numbers: int):
        self.numbers = list(numbers)

    def after_step(self, trainer):
        if trainer.step == 3:
            for number in self.numbers:
                os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", SIGNALS)
def test_the_step_is_finished_and_saved_and_the_exit_code_says_so(number: int) -> None:
    before = signal.getsignal(number)
    saved: list[int] = []
    run = trainer(10, [Kills(number), Signals(lambda t: saved.append(t.step))])
    with pytest.raises(Interrupted, match="after step 3; a checkpoint is written") as caught:
        run.run()
    assert (saved, caught.value.exit_code) == ([3], 128 + number)
    assert signal.getsignal(number) is before


@pytest.mark.parametrize(
    "numbers",
    [(15, 15), (15, 15, 15), (15, signal.SIGUSR1), (signal.SIGXCPU, 15), (signal.SIGINT, 15), (15, signal.SIGINT)],
)
def test_another_signal_is_the_same_request(numbers: tuple[int, ...]) -> None:
    saved: list[int] = []

    def save(trainer) -> None:
        os.kill(os.getpid(), signal.SIGTERM)  # one more while the checkpoint is written
        saved.append(trainer.step)

    with handle_termination():
        with pytest.raises(Interrupted, match="a checkpoint is written") as caught:
            trainer(10, [Kills(*numbers), Signals(save)]).run()
        os.kill(os.getpid(), signal.SIGTERM)  # and one more while the end is put down
    assert (saved, caught.value.exit_code) == ([3], 128 + numbers[0])


def test_only_a_second_interrupt_does_not_wait() -> None:
    saved: list[int] = []
    run = trainer(10, [Kills(signal.SIGINT, signal.SIGINT), Signals(lambda t: saved.append(t.step))])
    with pytest.raises(Interrupted, match="interrupted twice") as caught:
        run.run()
    assert (saved, caught.value.exit_code) == ([], 130)


@pytest.mark.parametrize("number", SIGNALS)
def test_outside_the_loop_signals_end_the_work_at_once(number: int) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Interrupted) as caught, handle_termination():
        os.kill(os.getpid(), number)
        raise AssertionError("went on")
    assert caught.value.exit_code == 128 + number
    assert signal.getsignal(number) is before


def test_a_signal_that_was_lost_ends_the_work_before_the_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)

    class Drops:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)  # Python prints what is raised here, and goes on

    saved: list[int] = []
    with handle_termination() as request:
        Drops()
        assert request.received == signal.SIGTERM
        with pytest.raises(Interrupted):
            trainer(10, [Signals(lambda t: saved.append(t.step))]).run()
    assert saved == []


def test_handlers_of_the_users_own_stay() -> None:
    def own(number, frame) -> None:
        raise AssertionError("not called here")

    before = signal.signal(signal.SIGUSR1, own), signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with handle_termination():
            assert signal.getsignal(signal.SIGUSR1) is own
            os.kill(os.getpid(), signal.SIGHUP)  # as under nohup
    finally:
        signal.signal(signal.SIGUSR1, before[0])
        signal.signal(signal.SIGHUP, before[1])


def test_in_another_thread_it_trains_without_handlers() -> None:
    finished: list[int] = []

    def work() -> None:
        run = trainer(3, [Signals(lambda t: None)])
        with handle_termination():
            run.run()
        finished.append(run.step)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert finished == [3]
