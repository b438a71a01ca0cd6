"""Find cuDNN and load all of its parts, in a process of its own: ``backend/cuda/cudnn.py`` runs this file by its path.

With its graph part missing, cuDNN 9 ends the process at the first call instead of giving a status, and a part that is
not there is looked for only when a convolution needs it. So all parts that convolutions need are loaded here, where
nothing is lost. Prints the version and the path of the library; ends with another exit code and a reason where that
cannot be used. Standard library only, but for CUDA's own path finder where that is installed.
"""

import ctypes

NAME = "libcudnn.so.9"
PARTS = ("graph", "ops", "cnn", "heuristic", "engines_precompiled", "engines_runtime_compiled")
MIN_VERSION, BELOW_VERSION = 90000, 100000
"""The versions whose C API is spoken: all of cuDNN 9."""


def find() -> tuple[int, str]:
    """The version and the path, or the plain name, of a cuDNN that is whole.

    Raises:
        OSError: it, or a part of it, is not there.
        RuntimeError: it is another version, or its parts are of several.
    """
    path = _path()
    library = ctypes.CDLL(path)
    for part in PARTS:
        ctypes.CDLL(path.replace(NAME, NAME.replace("cudnn", f"cudnn_{part}")))
    library.cudnnGetVersion.restype = ctypes.c_size_t
    version = library.cudnnGetVersion()
    if not MIN_VERSION <= version < BELOW_VERSION:
        raise RuntimeError(f"cuDNN's version is {version}, and 9 is needed")
    for check in (library.cudnnOpsVersionCheck, library.cudnnCnnVersionCheck):
        if check():
            raise RuntimeError("the parts of cuDNN are of several versions")
    return version, path


def _path() -> str:
    """Where the wheels put it, else whatever the system's loader finds under its name."""
    try:
        from cuda.pathfinder import load_nvidia_dynamic_lib

        return str(load_nvidia_dynamic_lib("cudnn").abs_path)
    except (ImportError, RuntimeError):
        return NAME


if __name__ == "__main__":
    print(*find())
