"""Where the numbers of a run go beside its ``metrics.jsonl``: components of the config's ``logging``.

A logger is a :class:`~dlcourse.training.callback.Callback` in a file of its own, with ``@register("logging", name)``.
The program gives its constructor ``path``, the run's folder, and ``history``, whose
:attr:`~dlcourse.training.history.History.listeners` hear each line of the file as it is written.
"""
