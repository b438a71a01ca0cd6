"""Files that the points of a sweep have in common, kept once in the ``shared/`` folder of the sweep.

Each point's own file is one more name (a hard link) of the file there. So a point is a run folder by itself, which can
be read, moved and copied, and the content takes its space once.
"""

import contextlib
import hashlib
import os
import stat
from pathlib import Path

from dlcourse.records.writing import real_folder
from dlcourse.training.atomic import link, write_bytes

POINTS = "points"
SHARED = "shared"


def of_a_sweep(run: Path) -> bool:
    """Whether a run's folder is a point of a sweep."""
    points = run.absolute().parent
    return points.name == POINTS and (points.parent / "sweep.json").is_file()


def write_shared(run: Path, name: str, content: bytes) -> None:
    """Replace the file ``name`` in a run's folder; points of a sweep with the same content share one file.

    Where the file system has no hard links, or the file in ``shared/`` was changed, the run keeps a file of its own.

    Raises:
        DlcourseError: it cannot be written.
        UserError: the sweep's ``shared`` is a link: nothing is written through it.
    """
    path = run / name
    write_bytes(path, content, durable=False)
    if not of_a_sweep(run):
        return
    folder = real_folder(run.absolute().parent.parent / SHARED)
    common = folder / f"{path.stem}-{hashlib.sha256(content).hexdigest()[:16]}{path.suffix}"
    with contextlib.suppress(OSError):
        folder.mkdir(exist_ok=True)
        try:
            os.link(path, common)
        except FileExistsError:
            if stat.S_ISREG(os.lstat(common).st_mode) and common.read_bytes() == content:
                link(common, path)
