"""The command ``dlcourse``, and ``python -m dlcourse``."""

from dlcourse import signals


def main() -> None:
    """Take the signals, then load what the command needs, run it, and end the process."""
    signals.leave_at_once()
    from dlcourse.cli import main as run

    signals.leave_with(run())


if __name__ == "__main__":
    main()
