"""Many runs of one config: expanded, run, resumed, averaged over folds, resampled, compared.

result = run_sweep("configs/02_machine_learning/polynomial_overfitting.yaml", jobs=2)
result.best["overrides"]                    # {"model.degree": 3}
points = expand(config.load(path))          # what it would run
"""

from dlcourse.sweeps.expansion import Point, expand
from dlcourse.sweeps.runner import SweepResult, run_sweep

__all__ = ["Point", "SweepResult", "expand", "run_sweep"]
