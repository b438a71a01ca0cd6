"""Whole architectures that a config names.

Each file's ``__all__`` names what it makes public; a new file has its line here. A config needs no line.
"""

import inspect

from dlcourse.models.airbench import *
from dlcourse.models.autoencoder import *
from dlcourse.models.base import *
from dlcourse.models.char_rnn import *
from dlcourse.models.cnn import *
from dlcourse.models.conv1d import *
from dlcourse.models.dcgan import *
from dlcourse.models.denoiser import *
from dlcourse.models.diffusion import *
from dlcourse.models.gan import *
from dlcourse.models.gaussian_classifier import *
from dlcourse.models.gaussian_estimators import *
from dlcourse.models.gaussian_regression import *
from dlcourse.models.googlenet import *
from dlcourse.models.gpt import *
from dlcourse.models.knn import *
from dlcourse.models.lenet import *
from dlcourse.models.linear import *
from dlcourse.models.masked_lm import *
from dlcourse.models.mlp import *
from dlcourse.models.mobilenet import *
from dlcourse.models.noise_schedule import *
from dlcourse.models.polynomial import *
from dlcourse.models.recurrent import *
from dlcourse.models.resnet import *
from dlcourse.models.seq2seq import *
from dlcourse.models.sequence import *
from dlcourse.models.softmax import *
from dlcourse.models.surface import *
from dlcourse.models.svm import *
from dlcourse.models.transformer import *
from dlcourse.models.vgg import *
from dlcourse.models.vit import *
from dlcourse.models.wide_resnet import *

__all__ = [name for name, value in dict(globals()).items() if name[0] != "_" and not inspect.ismodule(value)]
