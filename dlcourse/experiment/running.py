"""``run``: what ``dlcourse run`` does, from Python."""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dlcourse import backend
from dlcourse.backend.diagnostics import probe
from dlcourse.config import Config, resolve
from dlcourse.config.overrides import Overrides
from dlcourse.data.files import MissingDataError, looking_in
from dlcourse.errors import ConfigError, DamagedFileError, UserError, named
from dlcourse.experiment.components import code_of
from dlcourse.experiment.identity import extend, same_experiment
from dlcourse.experiment.pieces import assemble
from dlcourse.experiment.sanity_checks import one_batch, overfit
from dlcourse.experiment.session import Session, first_result
from dlcourse.experiment.trained import load_run
from dlcourse.records import RunState
from dlcourse.signals import handle_termination
from dlcourse.training.atomic import reporting_write_errors, write_bytes
from dlcourse.training.checkpoints import file_format
from dlcourse.training.checkpoints.file_format import Checkpoint
from dlcourse.training.checkpoints.store import SUFFIX, CheckpointStore
from dlcourse.training.environment import describe, started_in
from dlcourse.training.folder import RunFolder
from dlcourse.training.log import Log

ConfigSource = Config | Mapping[str, Any] | str | os.PathLike


@dataclass(frozen=True)
class Result:
    """What a run came to.

    Attributes:
        metrics: by split and label: ``result.metrics["test"]["half_sse"]``.
        model: in evaluation mode, with the weights that the metrics are of.
        folder: the run's folder; None where nothing was kept.
        history: the events of ``metrics.jsonl``.
        estimates: the model's fitted numbers.
        status: ``done``.
    """

    metrics: dict[str, dict[str, float]]
    model: Any
    folder: Path | None
    history: list[dict[str, Any]]
    estimates: dict[str, float]
    status: str = "done"


def run(
    config: ConfigSource | None = None,
    *,
    device: str | None = None,
    overrides: Overrides = (),
    out: str | os.PathLike = "runs",
    name: str | None = None,
    folder: str | os.PathLike | None = None,
    resume: str | os.PathLike | None = None,
    quiet: bool = False,
    plots: bool = True,
    overfit_batch: bool = False,
    fast_dev_run: bool = False,
    profile: bool = False,
) -> Result:
    """Train what a config says, evaluate it on every split, and write it all to a new folder.

    Args:
        config: a file, a mapping, or a loaded config; with ``resume`` it may be left out.
        device: instead of the config's: ``auto``, ``cpu``, ``cuda``, ``cuda:N``.
        overrides: ``{"train.epochs": 2}`` or ``["train.epochs=2"]``.
        out: the run's folder is ``out/<name>/<UTC time>-<id>/``.
        name: instead of the config's.
        folder: that very folder instead; it must not be there, or be empty.
        resume: a run folder (or a checkpoint in one) to go on from, as if it had never stopped; ``overrides`` may only
            make the run longer.
        quiet: say nothing but errors.
        plots: draw the images and the report.
        overfit_batch: learn the first training batch by heart, to see whether the model can learn; nothing is kept.
        fast_dev_run: one step and one batch of each split, all files written and removed, to see whether all works.
        profile: time the parts of a step; the table comes at the end, ``trace.json`` into the folder.
    Raises:
        UserError: the config, or a file it names, is wrong.
        DeviceError: the device is not there.
        DivergenceError: the loss became infinite or NaN; the last good checkpoint stays.
        Interrupted: SIGINT or SIGTERM; a checkpoint was written.
    """
    if resume is not None:
        if name is not None or folder is not None or overfit_batch or fast_dev_run:
            raise UserError("resume goes on with a run as it is: no other name, no other folder, no trial mode")
        beside = None if config is None else resolve(config)
        return _resume(Path(resume), beside, device, overrides, quiet, plots, profile)
    if config is None:
        raise UserError("run needs a config, or a run to resume")
    resolved = resolve(config, overrides).named(name)
    if resolved.data["sweep"] is not None:
        raise UserError("this config has a sweep: run it with dlcourse.sweeps.run_sweep, or `dlcourse sweep`")
    if overfit_batch and profile:
        raise UserError("overfit_batch asks whether a model can learn, and keeps nothing: profile a run")
    if fast_dev_run:
        with tempfile.TemporaryDirectory(prefix="dlcourse-") as place:
            kept = _start(one_batch(resolved), device, Path(place) / "run", quiet, plots, profile, first_batches=True)
        Log(None, quiet)("fast dev run: everything worked, nothing was kept")
        return Result(kept.metrics, kept.model, None, kept.history, kept.estimates)
    if overfit_batch:
        log = Log(None, quiet)
        with on_device(device or resolved.data["device"], log) as chosen, _located(resolved), handle_termination():
            found = overfit(resolved, chosen, log)
        return Result(found.metrics, found.model, None, found.history, {})
    place = folder if folder is not None else (out, resolved.data["name"])
    return _start(resolved, device, place, quiet, plots, profile)


def _start(
    config: Config,
    device: str | None,
    place: str | os.PathLike | tuple[str | os.PathLike, str],
    quiet: bool,
    plots: bool,
    profile: bool,
    first_batches: bool = False,
) -> Result:
    """A new run, at a path or in a new folder under (out, name)."""
    greeting = Log(None, quiet)
    with on_device(device or config.data["device"], greeting) as chosen, _located(config):
        pieces = assemble(config.data, chosen, first_batches)
        environment, files = describe(chosen.name)
        content = config.dump(), environment, first_result(pieces, config), files
        make = RunFolder.create if isinstance(place, tuple) else RunFolder.create_at
        folder = make(*(place if isinstance(place, tuple) else (place,)), *content)
        with folder.lock(), handle_termination():
            log = Log(folder.log, quiet)
            if not first_batches:  # else nothing is kept
                log(f"run folder: {folder.path}")
            session = Session(pieces, folder, log, config.data, config.overrides, profile)
            return _finish(session, plots, kept=not first_batches)


def _resume(
    path: Path,
    beside: Config | None,
    device: str | None,
    overrides: Overrides,
    quiet: bool,
    plots: bool,
    profile: bool,
) -> Result:
    """Go on in the folder of a run, from its last checkpoint or a given one; ``beside`` is a config given with it."""
    given = path if path.suffix == SUFFIX else None
    if (path / "sweep.json").is_file():
        raise UserError(f"{path}: is a sweep; `dlcourse sweep --resume {path}` goes on with it")
    folder = RunFolder.open(path.parent.parent if given else path)
    log = Log(None, quiet)  # a refusal changes nothing in the folder
    with code_of(folder, log):
        return _go_on(folder, given, log, beside, device, overrides, plots, profile)


def _go_on(
    folder: RunFolder,
    given: Path | None,
    log: Log,
    beside: Config | None,
    device: str | None,
    overrides: Overrides,
    plots: bool,
    profile: bool,
) -> Result:
    config = resolve(folder.config)
    if config.data["sweep"] is not None:
        raise UserError(f"{folder.path}: no run: its config has a sweep; `dlcourse sweep {folder.config}` runs it anew")
    longer = extend(config, overrides)
    if beside is not None:
        longer = longer.apply_overrides(same_experiment(longer, beside))
    with folder.lock():
        with reporting_write_errors(folder.checkpoints):
            folder.checkpoints.mkdir(exist_ok=True)  # where it was deleted, the run begins anew
        found = _where_to_go_on(folder, given, log)
        result = _read_result(folder, log)
        earlier = result.get("config_overrides", {})
        ended = found is not None and found.state["step"] == result.get("step")  # not so where `last` is damaged
        if result.get("status") == "done" and ended and given is None and longer is config:
            log(f"{folder.path} is finished (step {result['step']}); train.epochs=... or train.steps=... lengthens it")
            return _finished(folder, result, device)
        with on_device(device or config.data["device"], log) as chosen, handle_termination():
            with looking_in(started_in(folder)):
                pieces = assemble(longer.data, chosen)
            # Of what the file says, not of what it resolves to: a later version of the program may know more keys.
            session = Session(pieces, folder, log, longer.given, {**earlier, **longer.overrides}, profile)
            if found is not None:
                session.restore(found)
            if longer is not config:
                write_bytes(folder.config, replace(longer, data=longer.given).dump().encode())
            log.write_to(folder.log)
            log(f"run folder: {folder.path}, going on from step {found.state['step'] if found else 0}")
            return _finish(session, plots)


def _read_result(folder: RunFolder, log: Log) -> RunState:
    """What ``result.json`` says; where it is damaged, that is said: the run writes a new one."""
    try:
        return folder.read_result()
    except DamagedFileError as error:
        log(f"{error}; it is written anew, without the overrides that the run was started with")
        return {}


def _where_to_go_on(folder: RunFolder, given: Path | None, log: Log) -> Checkpoint | None:
    return file_format.read(given) if given else CheckpointStore(folder.checkpoints).newest(log)


def _finish(session: Session, plots: bool, kept: bool = True) -> Result:
    session.run()
    if plots:
        _draw(session.folder, session.log, kept)
    path, history = session.folder.path, session.history.events
    return Result(session.metrics, session.pieces.model, path, history, session.estimates)


def _finished(folder: RunFolder, result: Mapping[str, Any], device: str | None) -> Result:
    model = load_run(folder.path, device).model
    metrics, estimates = result.get("metrics", {}), result.get("estimates", {})
    return Result(metrics, model, folder.path, folder.read_history(), estimates)


def _draw(folder: RunFolder, log: Log, kept: bool) -> None:
    """Images and report, whose place is said where they are kept; a run is done without them."""
    try:
        from dlcourse import plots

        plots.draw(folder.path)
        report = plots.report(folder.path)
        if kept:
            log(f"report: {report}")
    except Exception as error:  # whatever goes wrong in drawing, the run's results are there
        log(f"the images could not be drawn: {named(error)} (`dlcourse report` tries again)")


@contextlib.contextmanager
def on_device(name: str, log: Log) -> Iterator[backend.Backend]:
    """Compute on this device inside the ``with`` block; says what ``auto`` chose, and why.

    Raises:
        DeviceError: it is not there.
    """
    chosen = backend.get(name)
    if name == "auto":
        status = probe.cuda_status()
        why = "a GPU is there" if chosen.kind != "cpu" else f"no usable GPU: {status.reason}"
        log(f"device: {chosen.name} (auto: {why})")
    else:
        log(f"device: {chosen.name}")
    with backend.use(chosen):
        yield chosen


@contextlib.contextmanager
def _located(config: Config) -> Iterator[None]:
    """Config errors that only the data could show get their file and line too; of files that are missing it is said
    that they do not lie beside the config either."""
    try:
        yield
    except MissingDataError as error:
        beside = None if config.path is None else config.path.absolute().parent
        raise error if beside in (None, Path.cwd()) else MissingDataError(f"{error}; nor is it in {beside}") from None
    except ConfigError as error:
        raise config.locate(error) from error
