"""The command ``dlcourse``, and ``python -m dlcourse``."""

import gc

from dlcourse import signals

OBJECTS = 10_000
"""New objects after which Python looks for garbage, in place of 700: what loads at the start leaves none, and looking
took a twentieth of the time of ``dlcourse validate``."""


def main() -> None:
    """Take the signals, then load what the command needs, run it, and end the process."""
    signals.leave_at_once()
    gc.set_threshold(OBJECTS)
    from dlcourse.cli import main as run

    signals.leave_with(run())


if __name__ == "__main__":
    main()
