"""``dlcourse check CONFIG|FILE.py``: numeric against analytic gradients of that very model; or every property that the
components of a file must have."""

import argparse

HELP = "compare a model's gradients with numeric ones, or check all components of a Python file"
EXAMPLES = """\
examples:
  dlcourse check configs/02_machine_learning/spirals.yaml     the gradients of that very model
  dlcourse check my_parts.py                                  all that the file registers: gradients, shapes, dtype,
                                                              unmodified inputs, state dict, same seed same result, ...
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    about = "the experiment's YAML file, or a Python file with components of your own, which is run"
    parser.add_argument("config", metavar="CONFIG|FILE.py", help=about)
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="instead of what the config says")
    parser.add_argument("--samples", type=int, metavar="N", help="samples in the loss of a config (default: 8)")
    parser.add_argument("--entries", type=int, metavar="N", help="elements of each parameter of a config (default: 30)")
    parser.add_argument("--tolerance", type=float, default=1e-5, help="largest relative error allowed (default: 1e-5)")
    parser.add_argument("--device", help="auto, cpu, cuda or cuda:N, instead of the config's")


def main(args: argparse.Namespace) -> int:
    if args.config.endswith(".py"):
        return _check_file(args)
    from dlcourse import backend, registry
    from dlcourse.config import resolve
    from dlcourse.experiment.gradients import check_gradients
    from dlcourse.text import table

    config = resolve(args.config, args.overrides)
    model = config.data["model"]["name"]
    if config.data["loss"] is None and not getattr(registry.lookup("model", model), "objective_units", None):
        print(f"{model} is solved in closed form and the config names no loss: there is no gradient to check")
        return 0
    with backend.use(backend.get(args.device or config.data["device"])) as device:
        samples, entries = (8 if args.samples is None else args.samples), (30 if args.entries is None else args.entries)
        checks = check_gradients(config, device, samples, entries, args.tolerance)
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
    loss = "its own objective" if config.data["loss"] is None else config.data["loss"]["name"]
    kinks = sum(each.kinks for each in checks)
    if kinks:
        print(f"{kinks} of the elements lie at a kink, as of ReLU at 0, where any slope between both sides is right")
    verdict = f"{len(wrong)} of {len(checks)} gradients are wrong" if wrong else "all gradients agree"
    print(f"{verdict}: {model} with {loss}, tolerance {args.tolerance:g}")
    return 1 if wrong else 0


def _check_file(args: argparse.Namespace) -> int:
    from dlcourse import backend
    from dlcourse.checks import check_file
    from dlcourse.errors import UserError
    from dlcourse.text import table

    if args.overrides:
        raise UserError(f"{args.overrides[0]!r}: a file of components takes no key=value, a config does")
    if args.samples is not None or args.entries is not None:
        raise UserError("--samples and --entries are for a config; a file of components is checked on small arrays")
    with backend.use(backend.get(args.device or "auto")):
        outcomes = check_file(args.config, args.tolerance)
    marks = {True: "ok", False: "WRONG", None: "-"}
    rows = [["component", "property", "", "figures"]]
    rows += [[each.component, each.what, marks[each.passed], each.figure] for each in outcomes]
    print(table(rows, left=4))
    wrong = [each for each in outcomes if each.passed is False]
    components = len({each.component for each in outcomes})
    held = f"{len(outcomes) - len(wrong)} of {len(outcomes)} properties hold"
    print(f"{held}, {components} component{'s' * (components != 1)}: {args.config}")
    return 1 if wrong else 0
