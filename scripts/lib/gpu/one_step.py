"""Configs for one step and one batch of each split: `python -m gpu.one_step DEVICE CONFIG ...`, for `in_turn`.

Answers with the ``metrics`` as ``{"val.mse": value}``, or with ``left_out`` where a file that the config names is not
here.
"""

import sys

from processes import answer

import dlcourse
from dlcourse.config import resolve
from dlcourse.data.files import MissingDataError
from dlcourse.errors import DownloadError


def main() -> int:
    device, *paths = sys.argv[1:]
    for path in paths:
        try:
            whole = resolve(path)
            config = whole.without_sweep()
            if folds := (whole.data["sweep"] or {}).get("kfold"):  # without them there is no val split
                config = config.apply_overrides({"data.kfold": {"folds": folds, "fold": 0}})
            if attacks := config.data["attacks"]:  # another run's gradients are not here
                config = config.apply_overrides({"attacks": [each for each in attacks if each["source"] is None]})
            result = dlcourse.run(config, device=device, quiet=True, plots=False, fast_dev_run=True)
        except (MissingDataError, DownloadError) as error:
            answer(left_out=str(error).splitlines()[0])
            continue
        metrics = {f"{split}.{name}": value for split, named in result.metrics.items() for name, value in named.items()}
        answer(metrics=metrics)
    return 0


if __name__ == "__main__":
    sys.exit(main())
