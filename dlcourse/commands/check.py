"""``dlcourse check CONFIG``: numeric against analytic gradients of that very model."""

import argparse

HELP = "compare a model's gradients with numeric ones"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG", help="the experiment's YAML file")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="instead of what the config says")
    parser.add_argument("--samples", type=int, default=8, metavar="N", help="samples in the loss (default: 8)")
    parser.add_argument("--entries", type=int, default=30, metavar="N", help="elements of each parameter (default: 30)")
    parser.add_argument("--tolerance", type=float, default=1e-5, help="largest relative error allowed (default: 1e-5)")
    parser.add_argument("--device", help="auto, cpu, cuda or cuda:N, instead of the config's")


def main(args: argparse.Namespace) -> int:
    from dlcourse import backend
    from dlcourse.config import resolve
    from dlcourse.experiment.gradients import check_gradients
    from dlcourse.text import table

    config = resolve(args.config, args.overrides)
    model = config.data["model"]["name"]
    if config.data["loss"] is None:
        print(f"{model} is solved in closed form and the config names no loss: there is no gradient to check")
        return 0
    with backend.use(backend.get(args.device or config.data["device"])) as device:
        checks = check_gradients(config, device, args.samples, args.entries, args.tolerance)
    if not checks:
        print(f"{model} has no parameters that gradient descent could train: there is no gradient to check")
        return 0
    rows = [["parameter", "shape", "checked", "max relative error"]]
    rows += [[each.name, str(each.shape), str(each.entries), f"{each.error:.1e}"] for each in checks]
    print(table(rows))
    wrong = [each for each in checks if not each.error <= args.tolerance]
    for each in wrong:
        index, numeric, analytic = each.worst
        print(f"{each.name}{list(index)}: numeric {numeric:.9g}, analytic {analytic:.9g}")
    loss = config.data["loss"]["name"]
    verdict = f"{len(wrong)} of {len(checks)} gradients are wrong" if wrong else "all gradients agree"
    print(f"{verdict}: {model} with {loss}, tolerance {args.tolerance:g}")
    return 1 if wrong else 0
