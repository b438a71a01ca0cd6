"""Attacks: inputs that a net gets wrong, though they look as before (lecture 15).

``attack = PGD(epsilon=0.3); attack(model, x, y)`` gives such inputs. Each is a component: ``train: {attack: {name: pgd,
epsilon: 0.3}}`` trains against it, ``dlcourse attack RUN --attack pgd`` measures a trained net under it.
"""

from dlcourse.attacks.base import Attack, Box
from dlcourse.attacks.gradient import FGSM, PGD, RandomNoise
from dlcourse.attacks.minimal import CarliniWagner, DeepFool
from dlcourse.attacks.universal import Universal

__all__ = ["FGSM", "PGD", "Attack", "Box", "CarliniWagner", "DeepFool", "RandomNoise", "Universal"]
