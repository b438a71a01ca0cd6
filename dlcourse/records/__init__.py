"""The JSON files of a run's and a sweep's folder: the shape of each, and the one way to read it.

    result = read(folder / "result.json", RunState)      # or DamagedFileError: the file, the field, what was expected

A shape is a ``TypedDict`` or a dataclass whose annotations are the schema. A key that the schema does not know is kept:
a later version of the program may have written it.
"""

from dlcourse.records.check import Wrong, check, sound
from dlcourse.records.reading import content_of, parse_events, parse_json, read
from dlcourse.records.run import (
    CheckpointState,
    EncoderState,
    Environment,
    Event,
    Manifest,
    Plugin,
    PredictionFacts,
    RunState,
)
from dlcourse.records.sweep import (
    AxisState,
    Choice,
    GroupState,
    PointState,
    ResampleState,
    SelectState,
    SweepFile,
    SweepState,
)

__all__ = [
    "AxisState",
    "CheckpointState",
    "Choice",
    "EncoderState",
    "Environment",
    "Event",
    "GroupState",
    "Manifest",
    "Plugin",
    "PointState",
    "PredictionFacts",
    "ResampleState",
    "RunState",
    "SelectState",
    "SweepFile",
    "SweepState",
    "Wrong",
    "check",
    "content_of",
    "parse_events",
    "parse_json",
    "read",
    "sound",
]
