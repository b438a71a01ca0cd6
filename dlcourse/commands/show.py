"""``dlcourse show CONFIG``: the config with every default, and what the model is made of."""

import argparse

HELP = "print a config with every default filled in, and the model's layers, shapes, parameters, FLOPs and memory"
EXAMPLES = """\
examples:
  dlcourse show experiment.yaml
  dlcourse show experiment.yaml model.hidden=[64,64] > bigger.yaml     the output is itself a config
  dlcourse show runs/experiment/20260102T030405Z-1f2e3d                that of a run
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG", help="the file, or the folder of a run or sweep")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="other values, such as train.epochs=2")
    parser.add_argument("--config-only", action="store_true", help="without the model, for which the data are loaded")


def main(args: argparse.Namespace) -> int:
    from dlcourse import config

    resolved = config.load(_own_config(args.config), args.overrides)
    print(resolved.dump(), end="", flush=True)
    if not args.config_only:
        table = _model(resolved.data)
        print("\n" + "\n".join(f"# {line}".rstrip() for line in table.splitlines()))
    return 0


def _own_config(path: str) -> str:
    """The config of a run or a sweep, where the path is its folder; else the path."""
    import os

    if not os.path.isdir(path):
        return path
    from pathlib import Path

    from dlcourse.training.folder import one_inside

    own = one_inside(Path(path)) / "config.yaml"
    return str(own) if own.is_file() else path


def _model(config: dict) -> str:
    """The table of the config's model, on the CPU; one sample of the data goes through it."""
    from dlcourse import backend
    from dlcourse.backend import precision, random
    from dlcourse.data import prepare
    from dlcourse.errors import UserError
    from dlcourse.experiment.building import build_model
    from dlcourse.experiment.experiment import Experiment
    from dlcourse.experiment.initial_weights import freeze
    from dlcourse.experiment.optimizer import described
    from dlcourse.nn.summary import summarize

    with backend.use("cpu") as cpu:
        random.manual_seed(config["seed"])
        data = prepare(config["data"], config["seed"])
        model = build_model(config["model"], data)
        model.to(dtype=precision.dtype(config["precision"]))
        freeze(model, config["train"]["freeze"])
        samples, batch_size = len(data.splits["train"]), config["train"]["batch_size"]
        batch_size = samples if batch_size == "full" else min(batch_size, samples)
        experiment = Experiment(config, cpu, data, model, None, {})
        sample = experiment.one_sample()
        drawing, shape = model.exported()
        groups = "".join(f"\n{line}" for line in described(config["optimizer"], dict(model.named_parameters())))
        try:
            table = summarize(model, sample).table(batch_size) + groups
            if drawing is not model:
                noise = cpu.xp.zeros((1, *shape), dtype=sample.dtype)
                table += f"\n\nwhat it draws with\n{summarize(drawing, noise).table(batch_size)}"
            return table
        except UserError:
            # A model that keeps its training samples, such as nearest neighbors, computes nothing before it has them.
            experiment.train_step()(*experiment.loader.batch(0))
            return summarize(model, sample).table(batch_size)
