"""``run``: what ``dlcourse run`` does, from Python."""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from dlcourse import backend, plugins
from dlcourse.backend import collectives, determinism
from dlcourse.config import Config, resolve
from dlcourse.config.data_sections import DataOptions
from dlcourse.config.overrides import Overrides
from dlcourse.config.sections import ExperimentOptions, TrainOptions
from dlcourse.data.files import looking_in
from dlcourse.data.text import beginning
from dlcourse.distributed.world import world
from dlcourse.errors import (
    ArgumentTypeError,
    DamagedFileError,
    DivergenceError,
    DlcourseError,
    Interrupted,
    UserError,
    named,
)
from dlcourse.experiment import generation, sanity_checks
from dlcourse.experiment.components import code_of, run_copies
from dlcourse.experiment.experiment import Experiment
from dlcourse.experiment.identity import check_config, extend, lengthens, same_experiment
from dlcourse.experiment.loading import load_run
from dlcourse.experiment.ranks import Plan, announce, follow, leading, on_this_rank
from dlcourse.experiment.result import Result
from dlcourse.experiment.training_run import Run, first_result
from dlcourse.records.run import RunState
from dlcourse.signals import handle_termination
from dlcourse.training.atomic import reporting_write_errors, write_bytes
from dlcourse.training.checkpoints import file_format
from dlcourse.training.checkpoints.file_format import Checkpoint
from dlcourse.training.checkpoints.store import SUFFIX, CheckpointStore
from dlcourse.training.environment import began_deterministic, describe, started_in
from dlcourse.training.folder import RunFolder, fresh_path
from dlcourse.training.log import Log
from dlcourse.training.monitor import Judge
from dlcourse.training.run_history import RunHistory
from dlcourse.training.samples import writes_text

ConfigSource = Config | Mapping[str, Any] | str | os.PathLike


@dataclass(frozen=True)
class Options:
    """How a run is made, whatever its config.

    Attributes:
        device: instead of the config's: ``auto``, ``cpu``, ``cuda``, ``cuda:N``.
        quiet: say nothing but errors.
        plots: draw the plots and write the report.
        profile: time the parts of a step; the table comes at the end, ``trace.json`` into the folder.
        judge: of a search that may end the run.
    """

    device: str | None = None
    quiet: bool = False
    plots: bool = True
    profile: bool = False
    judge: Judge | None = None

    @contextlib.contextmanager
    def computing(self, config: Config, log: Log) -> Iterator[backend.Backend]:
        """Compute on the device, by default the config's, and end in order at a signal; says what ``auto`` chose.

        Raises:
            DeviceError: it is not there.
        """
        name = on_this_rank(self.device or config.data["device"])
        chosen = backend.get(name)
        why = f" (auto: {backend.auto_reason()})" if name == "auto" else ""
        log(f"device: {chosen.name}{why}")
        with backend.use(chosen), handle_termination():
            yield chosen


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
    allow_code: bool = False,
    **more: Any,
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
            make the run longer, or change ``train.checkpoint_every``.
        quiet: say nothing but errors.
        plots: draw the plots and write the report.
        overfit_batch: learn the first training batch by heart, to see whether the model can learn; nothing is kept.
        fast_dev_run: one step and one batch of each split, all files written and removed, to see whether all works.
        profile: time the parts of a step; the table comes at the end, ``trace.json`` into the folder.
        allow_code: import the files that the config's ``plugins`` names; those that changed since are imported anew.
    Raises:
        UserError: the config, or a file it names, is wrong.
        ArgumentTypeError: a setting of the config was given by name; it belongs into ``overrides``.
        DeviceError: the device is not there.
        DivergenceError: the loss became infinite or NaN; the last good checkpoint stays.
        Interrupted: SIGINT or SIGTERM; a checkpoint was written.
    Example:
        >>> config = {
        ...     "data": {"name": "spirals"},
        ...     "model": {"name": "mlp", "hidden": [16]},
        ...     "loss": "cross_entropy",
        ...     "optimizer": {"name": "adam", "lr": 0.01},
        ...     "metrics": ["accuracy"],
        ... }
        >>> result = dl.run(config, device="cpu", overrides={"train.epochs": 1}, quiet=True, plots=False)
        >>> 0 <= result.metrics["train"]["accuracy"] <= 1
        True
    """
    for setting, value in more.items():
        raise ArgumentTypeError(f"run takes no {setting!r}; {_as_override(setting, value)}")
    options = Options(device, quiet, plots, profile)
    world()
    if collectives.group().rank:
        return follow(device)
    if allow_code:
        plugins.reload_changed()
    with leading(), plugins.allowing_code(allow_code):
        if resume is not None:
            if name is not None or folder is not None or overfit_batch or fast_dev_run:
                raise UserError("resume goes on with a run as it is: no other name, no other folder, no trial mode")
            return resume_run(resume, None if config is None else resolve(config), overrides, options)
        if config is None:
            raise UserError("run needs a config, or a run to resume")
        resolved = resolve(config, overrides).named(name)
        if resolved.data["sweep"] is not None:
            raise UserError("this config has a sweep: run it with dlcourse.sweeps.run_sweep, or `dlcourse sweep`")
        if overfit_batch:
            if options.profile:
                raise UserError("overfit_batch asks whether a model can learn, and keeps nothing: profile a run")
            log = Log(None, options.quiet)
            with options.computing(resolved, log) as chosen:
                return sanity_checks.overfit_batch(resolved, chosen, log)
        if fast_dev_run:
            return smoke_test(resolved, options)
        return new_run(resolved, fresh_path(out, resolved.data["name"]) if folder is None else folder, options)


def _as_override(name: str, value: Any) -> str:
    """How to write a setting of a config that was given as a keyword."""
    sections = {"": ExperimentOptions, "train.": TrainOptions, "data.": DataOptions}
    homes = (section for section, cls in sections.items() if name in {each.name for each in fields(cls)})
    home = next(homes, "optimizer." if name == "lr" else None)
    if home is None:
        return "settings of the config are given by their paths, as in overrides={'train.epochs': 3}"
    return f"write overrides={{'{home}{name}': {value!r}}}"


def new_run(config: Config, path: str | os.PathLike, options: Options, first_batches: bool = False) -> Result:
    """Train what a config says in a new folder.

    Args:
        config: resolved, without a sweep.
        path: of the folder; it must not be there, or be empty.
        first_batches: train and evaluate on one batch of each split only; the folder is not named, as it is temporary.
    Raises:
        as :func:`run`.
    """
    with options.computing(config, Log(None, options.quiet)) as chosen:
        experiment = Experiment.from_config(config, chosen, first_batches)
        with new_training(experiment, config, path, options, temporary=first_batches) as training:
            result = _finish(training, options, temporary=first_batches)
            if first_batches and training.log.went_without:  # a run would go on; a trial is there to find it
                raise UserError(f"fast dev run: not everything worked: {training.log.went_without[0]}")
            return result


@contextlib.contextmanager
def new_training(
    experiment: Experiment,
    config: Config,
    path: str | os.PathLike,
    options: Options,
    temporary: bool = False,
    alone: bool = True,
) -> Iterator[Run]:
    """A run in a new folder, whose lock is held inside the ``with`` block.

    Args:
        experiment: what the config stands for.
        alone: as of :class:`Run`.
    Raises:
        as :func:`run`.
    """
    experiment.check_loggers()
    environment, files = describe(experiment.backend.name)
    identity = experiment.identity(config.data)
    result = first_result(experiment, identity, config.overrides)
    recorded = config.with_plugins(run_copies(config.data["plugins"], environment["plugins"]))
    with RunFolder.making(path) as made:
        write_bytes(made.config, recorded.dump().encode())
        made.write_environment(environment)
        made.write_result(result)
        for name, content in files.items():
            (made.path / name).parent.mkdir(exist_ok=True)
            write_bytes(made.path / name, content, durable=False)
    folder = RunFolder(path)
    with folder.lock():
        log = Log(folder.log, options.quiet)
        if not temporary:
            log(f"run folder: {folder.path}")
        with _failure_recorded(folder, result):
            training = Run(experiment, folder, log, identity, config.overrides, options.profile, alone, options.judge)
        yield training


@contextlib.contextmanager
def _failure_recorded(folder: RunFolder, result: RunState) -> Iterator[None]:
    """Inside the ``with`` block an error leaves the status ``failed`` in a new folder, where it was ``running``."""
    try:
        yield
    except Exception as error:
        with contextlib.suppress(DlcourseError):
            folder.write_result({**result, "status": "failed", "error": named(error)})
        raise


def smoke_test(config: Config, options: Options) -> Result:
    """Take one step and evaluate one batch of each split; all files are written, and removed: does everything work?"""
    with tempfile.TemporaryDirectory(prefix="dlcourse-") as place:
        found = new_run(sanity_checks.one_step(config), Path(place) / "run", options, first_batches=True)
    Log(None, options.quiet)("fast dev run: everything worked, nothing was kept")
    return replace(found, folder=None)


def resume_run(
    path: str | os.PathLike, config: Config | None = None, overrides: Overrides = (), options: Options = Options()
) -> Result:
    """Go on in the folder of a run as if it had never stopped.

    Args:
        path: the folder, or a checkpoint in it; by default the last one counts.
        config: must be the run's own; it may only ask for a longer run.
        overrides: may only make the run longer, or change ``train.checkpoint_every``.
    Raises:
        as :func:`run`.
    """
    path = Path(path)
    given = path if path.suffix == SUFFIX else None
    if (path / "sweep.json").is_file():
        raise UserError(f"{path}: is a sweep; `dlcourse sweep --resume {path}` goes on with it")
    folder = RunFolder.open(path.parent.parent if given else path)
    log = Log(None, options.quiet)  # a refusal changes nothing in the folder
    if began_deterministic(folder):
        determinism.demand()
    with code_of(folder, log):
        own = resolve(folder.config)
        if own.data["sweep"] is not None:
            raise UserError(
                f"{folder.path}: no run: its config has a sweep; `dlcourse sweep {folder.config}` runs it anew"
            )
        longer = extend(own, overrides)
        if config is not None:
            longer = longer.apply_overrides(same_experiment(longer, config))
        with folder.lock():
            return _go_on(folder, given, own, longer, log, options)


def _go_on(folder: RunFolder, given: Path | None, own: Config, config: Config, log: Log, options: Options) -> Result:
    """Go on from a given checkpoint or the last, with the run's own config or a longer one."""
    with reporting_write_errors(folder.checkpoints):
        folder.checkpoints.mkdir(exist_ok=True)  # where it was deleted, the run begins anew
    found = file_format.read(given) if given else CheckpointStore(folder.checkpoints).newest(log)
    result = _read_result(folder, log)
    ended = found is not None and found.state["step"] == result.get("step")  # not so where `last` is damaged
    if result.get("status") == "done" and ended and given is None and not lengthens(own, config):
        log(f"{folder.path} is finished (step {result['step']}); train.epochs=... or train.steps=... lengthens it")
        return _finished(folder, result, options.device)
    if found is not None:
        check_config(config.given, found.state, folder.path)
    with options.computing(config, log) as chosen:
        with looking_in(started_in(folder)):
            experiment = Experiment.from_config(config, chosen, goes_on=found is not None)
        training = _restored(experiment, folder, found, config, result, log, options)
        if config is not own:
            copies = run_copies(config.given.get("plugins", ()), (), folder.path)
            recorded = replace(config, data=config.given).with_plugins(copies)
            write_bytes(folder.config, recorded.dump().encode())
        log.write_to(folder.log)
        log(f"run folder: {folder.path}, going on from step {found.state['step'] if found else 0}")
        return _finish(training, options)


def _restored(
    experiment: Experiment,
    folder: RunFolder,
    found: Checkpoint | None,
    config: Config,
    result: Mapping[str, Any],
    log: Log,
    options: Options,
    alone: bool = True,
) -> Run:
    """A run that stands where a checkpoint says, at the start without one."""
    experiment.check_loggers()
    # Of what the file says, not of what it resolves to: a later version of the program may know more keys.
    identity = experiment.identity(config.given)
    overrides = {**result.get("config_overrides", {}), **config.overrides}
    training = Run(experiment, folder, log, identity, overrides, options.profile, alone, options.judge)
    if found is not None:
        training.restore(found)
    return training


@contextlib.contextmanager
def resumed_training(
    path: str | os.PathLike, options: Options, build: Callable[[Config, bool], Experiment]
) -> Iterator[Run]:
    """One of several runs in lockstep that goes on from its last checkpoint, its folder's lock held inside the ``with``
    block.

    Args:
        path: of a run that has not ended.
        build: makes the experiment of a config; True where its weights will come from a checkpoint.
    Raises:
        as :func:`resume_run`.
    """
    folder, log = RunFolder.open(path), Log(None, options.quiet)
    if began_deterministic(folder):
        determinism.demand()
    own = resolve(folder.config)
    with folder.lock():
        with reporting_write_errors(folder.checkpoints):
            folder.checkpoints.mkdir(exist_ok=True)
        found = CheckpointStore(folder.checkpoints).newest(log)
        if found is not None:
            check_config(own.given, found.state, folder.path)
        with looking_in(started_in(folder)):
            experiment = build(own, found is not None)
        training = _restored(experiment, folder, found, own, _read_result(folder, log), log, options, alone=False)
        log.write_to(folder.log)
        log(f"run folder: {folder.path}, going on from step {found.state['step'] if found else 0}")
        yield training


def _read_result(folder: RunFolder, log: Log) -> Mapping[str, Any]:
    """What ``result.json`` says; where it is damaged, a note says so: the run writes a new one."""
    try:
        return folder.read_result()
    except DamagedFileError as error:
        log(f"{error}; it is written anew, without the overrides that the run was started with")
        return {}


def _finish(training: Run, options: Options, temporary: bool = False) -> Result:
    with collectives.group().together():
        return _train(training, options, temporary)


def _train(training: Run, options: Options, temporary: bool) -> Result:
    experiment, deterministic = training.experiment, determinism.demanded()
    place = started_in(training.folder)
    announce(
        Plan(
            experiment.config,
            experiment.backend.name,
            training.found,
            training.identity,
            place,
            temporary,
            plugins.loaded(),
            deterministic,
        )
    )
    try:
        training.run()
    except Interrupted as error:
        error.folder = None if temporary else str(training.folder.path)
        raise
    except DivergenceError:
        if options.plots:
            draw(training.folder.path, training.log, temporary)
        raise
    if options.plots:
        if writes_text(experiment.data, experiment.model) and not temporary:
            _write_sample(training.folder, training.log)
        draw(training.folder.path, training.log, temporary)
    return training.result


def _write_sample(folder: RunFolder, log: Log) -> None:
    """Write ``sample.txt``, a text that the model writes by itself, for the report."""
    with log.going_on("no text could be sampled for the report"):
        trained = load_run(folder.path)
        begin = beginning(trained.inputs.class_names, trained.inputs.tokenizer)
        (text,) = generation.continue_text(trained, begin, generation.SAMPLE_LENGTH)
        write_bytes(folder.sample, text.encode("utf-8", "replace"), durable=False)


def _finished(folder: RunFolder, result: Mapping[str, Any], device: str | None) -> Result:
    model = load_run(folder.path, device).model
    metrics, estimates = result.get("metrics", {}), result.get("estimates", {})
    advice = [each["text"] for each in result.get("advice", [])]
    beside = {**((result.get("baseline") or {}).get("metrics") or {})}
    history = RunHistory(folder.read_history())
    return Result(metrics, model, folder.path, history, estimates, advice=advice, baseline=beside)


def draw(path: Path, log: Log, temporary: bool = False) -> None:
    """Plots and report of a run or a sweep; says where the report is, if not temporary. It is done without them."""
    try:
        from dlcourse import plots

        plots.draw(path)
        report = plots.report(path)
        if not temporary:
            log(f"report: {report}")
    except Exception as error:  # whatever goes wrong in drawing, the results are there
        log(f"the plots could not be drawn: {named(error)} (`dlcourse report {path}` tries again)")
