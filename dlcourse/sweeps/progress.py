"""The messages of a running sweep: a bar on a terminal, and failures at once."""

import sys
from collections.abc import Mapping
from typing import Any

from dlcourse.streams import progress_bar, show
from dlcourse.training.log import Log


class Progress:
    """A tqdm bar over the points, on a terminal or in a notebook; failures are reported on stderr in any case.

    Args:
        total: number of points.
        finished: how many of them an earlier sitting has finished.
        watched: key of the metric to show, such as ``val.mse``.
        log: gets failures too.
    """

    def __init__(self, total: int, finished: int, watched: str, log: Log):
        self.watched, self._log = watched, Log(log.path, quiet=True)
        self._bar: Any = None
        self._tracebacks: set[str] = set()
        if not log.quiet:
            self._bar = progress_bar(total=total, initial=finished, unit="point", dynamic_ncols=True, leave=False)

    def started(self, name: str) -> None:
        """A point begins."""
        if self._bar is not None:
            self._bar.set_description(name)

    def ended(self, name: str, outcome: Mapping[str, Any]) -> None:
        """A point is done, has diverged, or has failed, as :func:`~dlcourse.sweeps.point.execute` says."""
        status, traceback = outcome["status"], outcome.get("traceback")
        if status in ("failed", "diverged"):
            # The same fault of ours in a hundred points needs to be read once.
            if traceback and traceback not in self._tracebacks:
                self._tracebacks.add(traceback)
                self._say(traceback.rstrip())
            self._say(f"point {name} {status}: {outcome['error']}")
        if self._bar is not None:
            value = outcome.get("metrics", {}).get(self.watched)
            shown = status if value is None else f"{self.watched} {value:.4g}"
            self._bar.set_postfix_str(shown, refresh=False)
            self._bar.update()

    def note(self, text: str) -> None:
        """Something that the user should know, and that stops nothing."""
        self._say(f"dlcourse: note: {text}")

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()

    def _say(self, text: str) -> None:
        self._log(text)
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            show(text, sys.stderr)
