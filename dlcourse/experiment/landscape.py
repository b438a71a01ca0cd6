"""The loss around a trained net, over a plane through its weights (Li et al. 2018)."""

import time

import numpy as np

from dlcourse import backend
from dlcourse.backend.random import generator
from dlcourse.data import Split
from dlcourse.errors import UserError
from dlcourse.experiment.building import build_loss
from dlcourse.experiment.components import code_of
from dlcourse.experiment.ensemble import TrainedEnsemble
from dlcourse.experiment.trained import TrainedModel, own_data
from dlcourse.tensorfile import npz
from dlcourse.training.atomic import write_bytes
from dlcourse.training.evaluation import LossMetric, ObjectiveMetric, evaluate

__all__ = ["FILE", "filter_normalized", "measure_landscape"]

FILE = "landscape.npz"


def filter_normalized(weight: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """The direction with each filter as long as the weight's own; 0 for biases, gains and other vectors.

    A filter is what makes one output: a row of (K, D), and of a convolution's (K, H, W, C) the slice of one k. Without
    this, a net whose layers could be scaled against each other would look flat or steep at will.
    """
    if weight.ndim < 2:
        return np.zeros_like(weight)
    axes = tuple(range(1, weight.ndim))
    norms = [np.sqrt((each.astype(np.float64) ** 2).sum(axis=axes, keepdims=True)) for each in (weight, direction)]
    return direction * (norms[0] / np.maximum(norms[1], np.finfo(np.float64).tiny))


def measure_landscape(trained: TrainedModel, points: int, samples: int, span: float, seed: int = 0) -> float:
    """Write ``landscape.npz`` into the run's folder: the training loss at w + a d + b e, for a and b in -span .. span.

    d and e are random directions, :func:`filter_normalized`. The loss is that of the first training samples, in
    evaluation mode, without penalties; buffers such as batch norm's statistics stay. It takes points^2 evaluations.

    Args:
        points: along each side, odd, so that the net itself is in the middle.
        samples: at most so many.
        span: of a and b; 1 is as far as the filters are long.
        seed: draws the directions.
    Returns:
        How many seconds it took.
    Raises:
        UserError: the arguments are out of range, the run has no loss, or is an ensemble.
        ChangedDataError: the data are not those of the run.
    """
    if isinstance(trained, TrainedEnsemble):
        raise UserError("landscape takes the run of one model; name that of a member of the ensemble")
    config = trained.config.data
    if points < 3 or points % 2 == 0 or samples < 1 or not 0 < span < np.inf:
        raise UserError("landscape: points is odd and at least 3, samples at least 1, span above 0")
    own = getattr(trained.model, "objective_units", None)
    if config["loss"] is None and not own:
        raise UserError(f"{trained.folder.path}: a run without a loss, as a closed form's, has no loss landscape")
    if trained.model.players:
        raise UserError(f"{trained.folder.path}: the players of its model move on landscapes that the others change")
    began = time.perf_counter()
    subset = own_data(trained).splits["train"]
    with code_of(trained.folder, lambda text: None):
        loss = build_loss(config["loss"], trained.inputs.class_names, trained.inputs.class_counts)
    loader = trained.loader(Split(subset.x[:samples], subset.y[:samples], subset.index[:samples]))
    metric = {"loss": ObjectiveMetric("loss", "") if own else LossMetric(loss, trained.inputs.target_normalizer)}
    model = trained.model
    state = {name: backend.to_host(array).copy() for name, array in model.state_dict().items()}
    names = [name for name, _ in model.named_parameters()]
    draws = [generator(seed, f"landscape.{which}") for which in "de"]
    ways = [{name: filter_normalized(state[name], draw.standard_normal(state[name].shape)) for name in names}
            for draw in draws]  # fmt: skip
    along = np.linspace(-span, span, points)
    values = np.empty((points, points))
    with backend.use(trained.backend), np.errstate(all="ignore"):
        for row, b in enumerate(along):
            for column, a in enumerate(along):
                moved = {name: state[name] + a * ways[0][name] + b * ways[1][name] for name in names}
                model.load_state_dict(state | moved)
                values[row, column] = evaluate(model, loader, metric)["loss"]
        model.load_state_dict(state)
    arrays = {"along": along, "values": values, "samples": np.array(len(subset.index[:samples]))}
    write_bytes(trained.folder.path / FILE, npz(arrays), durable=False)
    return time.perf_counter() - began
