import os
import signal
import threading

import pytest

from dlcourse.errors import Interrupted
from dlcourse.training.callback import Callback
from dlcourse.training.signals import Signals, terminable

from .tiny import trainer


class Kills(Callback):
    """Sends this process a signal in the middle of training."""

    def __init__(self, *numbers: int):
        self.numbers = list(numbers)

    def after_step(self, trainer):
        if trainer.step == 3:
            for number in self.numbers:
                os.kill(os.getpid(), number)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_step_is_finished_and_saved_and_the_exit_code_says_so(number: int, code: int) -> None:
    before = signal.getsignal(number)
    saved: list[int] = []
    run = trainer(10, [Kills(number), Signals(lambda t: saved.append(t.step))])
    with pytest.raises(Interrupted, match="after step 3; a checkpoint is written") as caught:
        run.run()
    assert (saved, caught.value.exit_code) == ([3], code)
    assert signal.getsignal(number) is before


def test_a_second_signal_does_not_wait() -> None:
    saved: list[int] = []
    run = trainer(10, [Kills(signal.SIGINT, signal.SIGTERM), Signals(lambda t: saved.append(t.step))])
    with pytest.raises(Interrupted, match="interrupted twice") as caught:
        run.run()
    assert (saved, caught.value.exit_code) == ([], 143)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_outside_the_loop_signals_end_the_work_at_once(number: int, code: int) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Interrupted) as caught, terminable():
        os.kill(os.getpid(), number)
        raise AssertionError("went on")
    assert caught.value.exit_code == code
    assert signal.getsignal(number) is before


def test_in_another_thread_it_trains_without_handlers() -> None:
    finished: list[int] = []

    def work() -> None:
        run = trainer(3, [Signals(lambda t: None)])
        with terminable():
            run.run()
        finished.append(run.step)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert finished == [3]
