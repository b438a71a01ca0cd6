"""Whole architectures that a config names.

A config finds a model of a new file by its registered name; Python finds it here, by a line of its own.
"""

from dlcourse.models.base import FeatureModel, Model
from dlcourse.models.char_rnn import CharRNN
from dlcourse.models.cnn import CNN
from dlcourse.models.gaussian_classifier import GaussianClassifier
from dlcourse.models.gaussian_estimators import GaussianEstimators
from dlcourse.models.gaussian_regression import GaussianRegression
from dlcourse.models.gpt import GPT
from dlcourse.models.knn import KNN
from dlcourse.models.linear import LinearModel
from dlcourse.models.mlp import MLP
from dlcourse.models.polynomial import PolynomialModel, basis_terms
from dlcourse.models.resnet import ResNet
from dlcourse.models.softmax import SoftmaxModel
from dlcourse.models.svm import LinearSVM
from dlcourse.models.vgg import VGG

__all__ = [
    "CNN",
    "CharRNN",
    "FeatureModel",
    "GPT",
    "GaussianClassifier",
    "GaussianEstimators",
    "GaussianRegression",
    "KNN",
    "LinearModel",
    "LinearSVM",
    "MLP",
    "Model",
    "PolynomialModel",
    "ResNet",
    "SoftmaxModel",
    "VGG",
    "basis_terms",
]
