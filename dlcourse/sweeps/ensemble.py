"""Average the models of each setting of a sweep that ``ensemble`` made."""

from dlcourse.experiment.ensemble import join, measure_growing
from dlcourse.records.sweep import EnsembleState, SweepState
from dlcourse.sweeps.conclusions import candidates
from dlcourse.sweeps.folder import SweepFolder


def measured(folder: SweepFolder, state: SweepState, device: str | None) -> list[EnsembleState]:
    """The ensemble of each setting of which at least two models came to their end, measured."""
    found: list[EnsembleState] = []
    for setting in candidates(state.points):
        done = [point for point in setting.points if point.status == "done"]
        if len(done) < 2:
            continue
        growing = measure_growing(join(folder.path, [folder.path / (point.folder or "") for point in done], device))
        ids = [point.id for point in done]
        found.append({"overrides": setting.overrides, "points": ids, "metrics": growing[-1], "growing": growing})
    return found
