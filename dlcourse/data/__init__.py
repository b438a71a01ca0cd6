"""Data sets, one file each; how they are split, normalized, and brought to the device batch by batch.

A data set is one class in one file of this package, registered under the name that a config's ``data`` section gives:
its constructor's parameters are the section's keys, and ``load(seed)`` returns a :class:`Dataset`. One that is a
sequence, to be cut by position, has ``splits(sizes, limits)`` instead, see :class:`dlcourse.data.text.Text`.
"""

from dlcourse.data.data_loader import DataLoader
from dlcourse.data.dataset import Data, Dataset, Split
from dlcourse.data.loader import Loader
from dlcourse.data.loading import load_data
from dlcourse.data.normalizer import Normalizer
from dlcourse.data.preparation import prepare
from dlcourse.data.samples import Samples

__all__ = ["Data", "DataLoader", "Dataset", "Loader", "Normalizer", "Samples", "Split", "load_data", "prepare"]
