"""``dlcourse.nn.functional``, that very module, by a shorter way: ``from dlcourse import functional as F``."""

import sys

from dlcourse.nn import functional
from dlcourse.nn.functional import *

sys.modules[__name__] = functional
