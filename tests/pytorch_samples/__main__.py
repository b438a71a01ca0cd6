"""Prints what comes of each name, or of those that contain a word: ``python -m tests.pytorch_samples [WORD ...]``."""

import sys

from tests.pytorch_samples import modules, operators, optimizers
from tests.pytorch_samples.mapping import MODULES, OPERATORS, OPTIMIZERS

for names, tally in ((OPERATORS, operators.tally), (MODULES, modules.tally), (OPTIMIZERS, optimizers.tally)):
    for name in names:
        if sys.argv[1:] and not any(word in name for word in sys.argv[1:]):
            continue
        counted = tally(name)
        print(f"{name}: {counted.line()}")
        for kind in ("refused", "not_offered"):
            for message, times in getattr(counted, kind).most_common(5):
                print(f"    {kind.replace('_', ' ')} {times}: {message[:150]}")
        for line in counted.wrong[:6]:
            print(f"    WRONG {line[:420]}")
