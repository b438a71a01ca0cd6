"""A search as the points of a sweep: each trial is a point, made when it is its turn.

The study is in this process; points run here or in processes, which send their evaluations. What the study has to know
is in ``sweep.json``, so that a search that was killed goes on where it stood.
"""

import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dlcourse.config import Config
from dlcourse.errors import ConfigError, DlcourseError, named
from dlcourse.records.sweep import PointState, SweepState, TrialState
from dlcourse.sweeps.conclusions import Selection
from dlcourse.sweeps.expansion import layered, located, name_point, trial_base
from dlcourse.sweeps.folder import FINISHED, SweepFolder
from dlcourse.sweeps.point import Task
from dlcourse.sweeps.states import next_action
from dlcourse.sweeps.study import Study, value_of
from dlcourse.text import short_paths
from dlcourse.training.folder import RunFolder


class Search:
    """The tasks of a search, and what follows them, see :class:`~dlcourse.sweeps.processes.Steering`.

    Args:
        config: resolved, with the search.
        folder: the sweep's.
        state: of the sweep; gets a point for each trial.
        device: instead of the config's.
    Attributes:
        todo: the points that were handed out, each with its task, in the order of the tasks.
    Raises:
        UserError: Optuna is not installed.
    """

    def __init__(self, config: Config, folder: SweepFolder, state: SweepState, device: str | None):
        self.config, self.folder, self.state, self.device = config, folder, state, device
        self.section = config.data["sweep"]["search"]
        self.todo: list[tuple[PointState, Task]] = []
        self._numbers: list[int] = []
        self._base = trial_base(config)
        self._told: set[int] = set()
        self._names = short_paths(list(self.section["space"]))
        self._key = Selection(**state.select).key
        self._lock = threading.RLock()
        seed = config.data["seed"] if self.section["seed"] is None else self.section["seed"]
        self._study = Study(self.section, seed, state.select["higher_is_better"])
        known = state.search or {"trials": [], "told": [], "importance": {}}
        count = min(len(known["trials"]), len(state.points))  # equal, unless the file was changed
        del known["trials"][count:], state.points[count:]
        self.search = state.search = known
        self._replay()

    def __len__(self) -> int:
        """How many trials are left."""
        return self.section["trials"] - sum(point.status in FINISHED for point in self.state.points)

    def __iter__(self) -> Iterator[Task]:
        for number in range(self.section["trials"]):
            with self._lock:
                task = self._task(number)
            if task is not None:
                yield task

    def judge(self, index: int, step: int, value: float | None) -> bool:
        with self._lock:
            return self._judge(self._numbers[index], step, value)

    def ended(self, index: int, outcome: dict[str, Any]) -> None:
        with self._lock:
            number, status = self._numbers[index], outcome["status"]
            if status in FINISHED:
                self._tell(number, status, outcome.get("metrics", {}).get(self._key))
                if number not in self.search["told"]:
                    self.search["told"].append(number)
            elif status == "failed":  # --resume runs it again, so this end is not kept
                self._tell(number, status, None)

    def conclude(self) -> None:
        """Fill in what matters."""
        self.search["importance"] = self._study.importance()

    def _replay(self) -> None:
        """Let the study see all again that this search did, in the same order."""
        told = [number for number in self.search["told"] if number < len(self.search["trials"])]
        ended = 0
        for number, trial in enumerate(self.search["trials"]):
            while ended < min(trial["after"], len(told)):
                self._retell(told[ended], number)
                ended += 1
            self._study.ask(trial["params"])
            for evaluation, (_, value, _) in enumerate(trial["reports"], 1):
                self._study.judge(number, evaluation, math.nan if value is None else value)
        for number in told[ended:]:
            self._retell(number, len(self.search["trials"]))
        self.search["told"] = told

    def _retell(self, number: int, drawn: int) -> None:
        point = self.state.points[number]
        if number < drawn and point.status in FINISHED:
            self._tell(number, point.status, point.metrics.get(self._key))

    def _tell(self, number: int, status: str, value: float | None) -> None:
        if number in self._told:  # such as one whose folder was deleted, and that ran again
            return
        self._told.add(number)
        self._study.tell(number, status, value, len(self.search["trials"][number]["reports"]))

    def _task(self, number: int) -> Task | None:
        """What is left to do for a trial; draws one that is new."""
        if number == len(self.state.points):
            self._draw(number)
        point = self.state.points[number]
        action = next_action(self.folder, self.state, point)
        if action is None:
            return None
        try:
            config = located(self.config, self._base.at(point.overrides), point.overrides)
        except ConfigError as error:  # values that are right by themselves, but not together
            point.status, point.error = "failed", named(error)
            self._tell(number, "failed", None)
            return None
        judged = self.section["pruner"] != "none"
        task = Task(config, str(action[0]), self.device, action[1], judged=judged)
        self.todo.append((point, task))
        self._numbers.append(number)
        if judged and task.start != "run":
            self._judge_earlier(number, action[0])
        return task

    def _draw(self, number: int) -> None:
        space, after = self.section["space"], len(self.search["told"])
        drawn = self._study.ask()
        overrides = layered([(path, value_of(spec, drawn[path])) for path, spec in space.items()])
        trial: TrialState = {"params": drawn, "after": after, "reports": []}
        self.search["trials"].append(trial)
        identity = name_point(number, self.section["trials"], overrides, self._names)
        self.state.points.append(PointState(identity, overrides))

    def _judge_earlier(self, number: int, place: Path) -> None:
        """Judge the evaluations of a run that goes on, or that ended unseen."""
        try:
            events = RunFolder(place).read_history()
        except (DlcourseError, OSError):
            return
        selection = Selection(**self.state.select)
        for event in events:
            value: Any = event.get("metrics", {}).get(selection.split, {}).get(selection.metric)
            if event.get("event") == "eval":
                self._judge(number, event["step"], math.nan if value is None else value)

    def _judge(self, number: int, step: int, value: float | None) -> bool:
        """The answer to an evaluation; that to one which was judged before is the same."""
        reports = self.search["trials"][number]["reports"]
        known = next((ends for at, _, ends in reports if at == step), None)
        if known is not None or value is None:
            return bool(known)
        ends = self._study.judge(number, len(reports) + 1, value)
        reports.append([step, value if math.isfinite(value) else None, ends])
        return ends
