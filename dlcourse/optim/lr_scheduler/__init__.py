"""PyTorch's learning-rate schedulers for a loop of one's own: ``scheduler.step()`` after each epoch or update.

Each takes the shape f(t) of the schedule that a config has by its name (``optim/schedules.py``) and applies it to the
rate of every parameter group; t counts the calls of :meth:`LRScheduler.step`.

    scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=30, gamma=0.1)
    for epoch in range(90):
        ...
        scheduler.step()
"""

import inspect

from dlcourse.optim.lr_scheduler.by_step import *
from dlcourse.optim.lr_scheduler.combined import *
from dlcourse.optim.lr_scheduler.cyclic import *
from dlcourse.optim.lr_scheduler.on_plateau import *
from dlcourse.optim.lr_scheduler.scheduler import *

__all__ = [name for name, value in dict(globals()).items() if name[0] != "_" and not inspect.ismodule(value)]
