"""The JSON files of a run's and a sweep's folder: the shape of each, and the one way to read it.

    result = read(folder / "result.json", RunState)      # or DamagedFileError: the file, the field, what was expected

``read`` is in ``reading``, shapes in ``run`` and ``sweep``: a ``TypedDict`` or a dataclass whose annotations are the
schema. A key that the schema does not know is kept: a later version of the program may have written it.
"""
