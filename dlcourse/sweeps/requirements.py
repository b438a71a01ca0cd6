"""What another machine needs to run a sweep's points: the same program, the shared folder, plugins, device and data."""

import functools
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import dlcourse
from dlcourse import plugins, registry
from dlcourse.config import Config, from_mapping
from dlcourse.data import prepare
from dlcourse.data.fingerprint import differences, fingerprint
from dlcourse.data.preparation import COMMON
from dlcourse.data.synthetic import Synthetic
from dlcourse.errors import DlcourseError, named
from dlcourse.experiment import Options
from dlcourse.text import canonical
from dlcourse.training.environment import source_hash
from dlcourse.training.log import Log

_MAX_DATA = 5
"""Data sets that are looked at."""


@dataclass(frozen=True)
class Requirements:
    """What a machine must have.

    Attributes:
        program: the version of dlcourse and the hash of its source.
        folder: the sweep's, which all machines share.
        plugins: their files, and the hash of each.
        device: instead of the config's.
        data: configs, each with the fingerprint of its data.
    """

    program: tuple[str, str]
    folder: str
    plugins: dict[str, str]
    device: str | None
    data: list[dict[str, Any]]

    def to_json(self) -> dict[str, Any]:
        """For another machine."""
        return asdict(self)


def requirements(configs: Iterable[Config], device: str | None, folder: Path) -> Requirements:
    """What points of these configs need. Data that cannot be loaded here are not asked for: their points say what is
    wrong. Neither are data that are drawn, unless a GPU is asked for: each machine draws the same.
    """
    found: dict[str, dict[str, Any] | None] = {}
    for config in configs:
        section, seed = config.data["data"], config.data["seed"]
        drawn = issubclass(registry.lookup("data", section["name"]), Synthetic)
        if drawn and (device or config.data["device"]) in ("auto", "cpu"):
            continue
        source = canonical({key: value for key, value in section.items() if key not in COMMON})
        if source in found or len(found) == _MAX_DATA:
            continue
        try:
            found[source] = {"config": config.given, "fingerprint": fingerprint(prepare(section, seed))}
        except DlcourseError:
            found[source] = None
    files = {str(path): source_hash(content) for path, content in plugins.sources().items()}
    return Requirements(program(), str(folder.absolute()), files, device, [each for each in found.values() if each])


@functools.cache
def program() -> tuple[str, str]:
    """The version of dlcourse, and the hash of its source: a version under development keeps its number."""
    root = Path(dlcourse.__file__).parent
    whole = hashlib.sha256()
    for path in sorted([*root.rglob("*.py"), *root.rglob("*.cu*")]):
        whole.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return dlcourse.__version__, whole.hexdigest()[:12]


def lacking(needs: Mapping[str, Any]) -> str | None:
    """What this machine lacks before a point's process can be started; None where that is nothing."""
    (version, source), wanted = program(), tuple(needs["program"])
    if version != wanted[0]:
        return f"it has dlcourse {version}, the sweep {wanted[0]}; install the same there and start it anew"
    if source != wanted[1]:
        found = f"its dlcourse {version} has another source ({source}, the sweep's {wanted[1]})"
        return f"{found}; install the same there and start it anew"
    if not (Path(needs["folder"]) / "sweep.json").is_file():
        return f"it does not see the sweep's folder {needs['folder']}; put it into a folder that all machines share"
    for name, expected in needs["plugins"].items():
        try:
            content = Path(name).read_bytes()
        except OSError as error:
            return f"it cannot read the plugin {name} ({error.strerror}); put it into a folder that all machines share"
        if source_hash(content) != expected:
            return f"its plugin {name} is another than the sweep's"
    return None


def lacking_data(device: str | None, data: Sequence[Mapping[str, Any]]) -> str | None:
    """What the process of a point lacks: its device, or the data that the sweep has; None where that is nothing."""
    try:
        for each in data:
            config = from_mapping(each["config"])
            with Options(device).computing(config, Log(None, quiet=True)):
                found = differences(each["fingerprint"], fingerprint(prepare(config.data["data"], config.data["seed"])))
            if found:
                return f"it has other data than the sweep: {'; '.join(found)}"
    except Exception as error:  # whatever it is, no point can run there
        return named(error).replace("\n", "; ")
    return None
