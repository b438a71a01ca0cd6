"""Published data sets: found or downloaded, verified, read as hostile input, and kept as plain arrays.

:class:`~dlcourse.data.sources.collection.Collection` says it all in one place; the other files are its parts.
"""
