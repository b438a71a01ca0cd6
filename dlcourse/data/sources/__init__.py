"""Published data sets: found or downloaded, verified, read as hostile input, and stored as plain arrays.

:class:`~dlcourse.data.sources.collection.Collection` is the whole in one place; the other files are used by it.
"""
