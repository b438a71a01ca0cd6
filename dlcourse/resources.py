"""Where the files that come with the program lie, in a clone and in an installed wheel alike."""

from pathlib import Path


def configs_folder() -> Path:
    """The folder of the course's configs.

    A wheel carries it inside the package (``dlcourse/configs``); in a clone, used directly or through an editable
    install, it stands beside the package, where it is edited.
    """
    package = Path(__file__).resolve().parent
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"
