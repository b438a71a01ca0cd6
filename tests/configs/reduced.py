"""A config of the course in a reduced setting: its own file, on small made-up data where it asks for a download."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dlcourse as dl
from dlcourse.experiment import Result
from dlcourse.plots.gallery import open_view, plots
from dlcourse.records.sweep import PointState
from dlcourse.resources import configs_folder
from dlcourse.sweeps import SweepResult, run_sweep

CLOUDS = {"name": "gaussian_classes", "samples": 600, "split": {"val": 0.2, "test": 0.2}, "normalize": "standardize"}
"""Three clouds of points that a net with batches of tens learns in a few epochs."""


def images(train: int, noise: float = 40.0, **more: Any) -> dict[str, Any]:
    """Ten classes of 8 x 8 images in color, 200 of them to validate; more noise makes them harder."""
    drawn = {"name": "synthetic_images", "samples": train + 200, "image_size": 8, "shift": 1, "noise": noise}
    return {**drawn, "split": {"val": 200}, "normalize": "standardize", **more}


def sections(path: str) -> Mapping[str, Any]:
    """What a config says, with all defaults."""
    return dl.config.load(_file(path)).data


def run(path: str, out: Path, **changes: Any) -> Result:
    """Run a config by its path; ``train__epochs=2`` changes ``train.epochs``."""
    return dl.run(_file(path), overrides=_dotted(changes), out=out, device="cpu", quiet=True, plots=False)


def sweep(path: str, out: Path, **changes: Any) -> SweepResult:
    """Run all points of a config's sweep; one may diverge, none may fail."""
    result = run_sweep(_file(path), overrides=_dotted(changes), out=out, device="cpu", quiet=True, plots=False)
    assert result.status == "done"
    return result


def _file(path: str) -> Path:
    return configs_folder() / f"{path}.yaml"


def _dotted(changes: Mapping[str, Any]) -> dict[str, Any]:
    return {key.replace("__", "."): value for key, value in changes.items()}


def pictures(folder: Path | None) -> set[str]:
    """The plots that a report of the folder has."""
    assert folder is not None
    view = open_view(folder)
    return {plot.name for plot in plots() if plot.kind == view.kind and plot.applies(view)}


def measured(result: SweepResult, key: str) -> dict[Any, float]:
    """A metric by what the points vary: one value, or a tuple; of a component its name."""
    return {_varied(point): point.metrics[key] for point in result.points}


def _varied(point: PointState) -> Any:
    values = [value["name"] if isinstance(value, dict) else value for value in point.overrides.values()]
    values = [tuple(value) if isinstance(value, list) else value for value in values]
    return values[0] if len(values) == 1 else tuple(values)
