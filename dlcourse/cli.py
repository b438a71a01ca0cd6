"""The command ``dlcourse``: finds its subcommands, and turns whatever happens into one line and an exit code.

Every file in ``dlcourse/commands`` is a subcommand: its name (``_`` as ``-``), ``HELP``, ``add_arguments(parser)``,
``main(args) -> exit code``, and if it likes ``EXAMPLES``, and ``PLUGIN`` where ``--plugin`` means something of its own:
what stands for its value, and its help. Only the modules that a call needs are imported, and they import what is heavy
inside ``main``, so that ``--help`` comes at once.

Exit codes: 0 done; 2 the config, the command line or a file that they name is wrong; 3 the device is not there;
4 training diverged; 128 + n ended by signal n, such as 130 and 143; 1 anything else.
"""

import argparse
import importlib
import itertools
import os
import pkgutil
import re
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any, NoReturn

from dlcourse import __version__, commands, plugins
from dlcourse.characters import VisibleStream
from dlcourse.distributed.launch import launched
from dlcourse.errors import ConfigError, DlcourseError, Interrupted, UserError
from dlcourse.registry import did_you_mean
from dlcourse.signals import handle_termination
from dlcourse.streams import failed, reason, show, silence

_INTERRUPTED = 130

TOGETHER = "run", "devices"
"""The commands that several processes of ``mpirun`` may run."""

_DEVICES = {"--gpu": "cuda", "--cuda": "cuda", "--cpu": "cpu"}
"""Options of other programs."""

_NUMBERS = re.compile(r"-([^-a-zA-Z]|(inf|nan)[^a-z]*$)", re.IGNORECASE)
"""How an argument begins that is no option, though it begins with a dash: all options here begin with a letter."""

_DESCRIPTION = "Every experiment of a deep-learning course as a YAML file: one trainer, on NumPy or on CuPy."
_EXAMPLES = """\
examples:
  dlcourse init polynomial_overfitting                   copy one of the course's configs here
  dlcourse run polynomial_overfitting.yaml               run it
  dlcourse run polynomial_overfitting.yaml model.degree=5 device=cpu
  dlcourse list optimizer -v                             what a config can say, with defaults
  dlcourse help run                                      all options of a command
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    sys.stdout = sys.stdout or open(os.devnull, "w")  # None where the shell closed it: `dlcourse list >&-`.
    sys.stderr = sys.stderr or open(os.devnull, "w")
    streams = sys.stdout, sys.stderr
    for stream in streams:
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # A terminal that lacks a character gets a "?", not an error.
    sys.stdout, sys.stderr = map(VisibleStream, streams)
    try:
        return _run_safely(argv)
    finally:
        sys.stdout, sys.stderr = streams


def _run_safely(argv: list[str]) -> int:
    """Turn whatever happens into one line and an exit code."""
    show_traceback = "--traceback" in argv
    try:
        with handle_termination(), warnings.catch_warnings():
            warnings.showwarning = _note
            code = _run_together(argv)
        return _flushed(code)
    except SystemExit as done:  # From argparse's --help and --version.
        return int(done.code or 0)
    except BrokenPipeError:
        silence(sys.stdout)  # its reader has seen enough (`| head`)
        return 1
    except KeyboardInterrupt:
        return _fail("interrupted", _INTERRUPTED, show_traceback)
    except ConfigError as error:
        return _fail(_listed(error), error.exit_code, show_traceback)
    except (DlcourseError, Interrupted) as error:
        return _fail(str(error), error.exit_code, show_traceback)
    except OSError as error:
        if error.filename == "standard output":
            silence(sys.stdout)
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}", 1, show_traceback)
    except MemoryError as error:
        return _fail(f"out of memory{f': {error}' if str(error) else ''}", 1, show_traceback)
    except Exception as error:  # the last resort: a plugin's code, and an error of ours, may raise anything
        if _out_of_memory(error):
            return _fail(f"out of memory: {error}", 1, show_traceback)
        location = _in_a_plugin(error)
        if location is not None:
            return _fail(f"{location}: {type(error).__name__}: {error}", UserError.exit_code, show_traceback)
        blame = "this is an error in dlcourse itself; please report it with what stands above"
        if plugins.loaded():
            blame = (
                f"an error in {', '.join(map(os.path.relpath, plugins.loaded()))} or in dlcourse: see what stands above"
            )
        return _fail(blame, 1, True)


def _flushed(code: int) -> int:
    """The exit code, where what was printed has been written: 1 where it has not."""
    error = failed(sys.stdout)
    if error is None:
        return code
    silence(sys.stdout)
    if isinstance(error, BrokenPipeError):
        return 1
    return _fail(f"standard output: {reason(error)}", 1, False)


def command_names() -> list[str]:
    """All subcommands, sorted."""
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(commands.__path__))


def _run_together(argv: list[str]) -> int:
    """Run as one of the processes that ``mpirun`` started, if it did: an error of one ends all."""
    launch = launched()
    if launch.size == 1:
        return _run(argv)
    from dlcourse.distributed.world import world

    with world().together():
        if argv[:1] and argv[0] in command_names() and argv[0] not in TOGETHER:
            raise UserError(
                f"{launch.launcher} started {launch.size} processes, and only `dlcourse run` trains one model on "
                f"several; start `dlcourse {argv[0]}` as one process"
            )
        return _run(argv)


def _run(argv: list[str]) -> int:
    top = _top_parser()
    if argv[:1] == ["help"]:
        argv = argv[:1] if argv[1:] in (["--help"], ["-h"], ["help"]) else argv
        if len(argv) > 2 or argv[1:2] and argv[1] not in command_names():
            raise UserError(_unknown_command(argv[1]) if len(argv) == 2 else "help takes one command's name")
        argv = [*argv[1:], "--help"]
    if not argv:
        top.print_help()
        return 0
    options = top.parse_args(argv)
    name, *rest = options.command
    if name not in command_names():
        raise UserError(_unknown_command(name))
    command = _import(name)
    parser = _Parser(prog=f"dlcourse {name}", description=f"{command.HELP[0].upper()}{command.HELP[1:].rstrip('.')}.")
    parser.epilog = getattr(command, "EXAMPLES", None)
    command.add_arguments(parser)
    own_plugin = getattr(command, "PLUGIN", None)
    _add_global_options(parser, *(own_plugin or ()))
    args = parser.parse_all(rest)
    args.plugin = options.plugin + args.plugin
    for path in args.plugin if own_plugin is None else [each for each in args.plugin if each.endswith(".py")]:
        plugins.load(path)
    with plugins.allowing_code(options.allow_code or args.allow_code):
        return command.main(args)


def _import(name: str) -> ModuleType:
    return importlib.import_module(f"{commands.__name__}.{name.replace('-', '_')}")


def _top_parser() -> "_Parser":
    parser = _Parser(prog="dlcourse", description=_DESCRIPTION, usage="dlcourse COMMAND ...", epilog=_EXAMPLES)
    parser.add_argument("command", nargs=argparse.PARSER, help=argparse.SUPPRESS)
    parser.add_argument("--version", action="version", version=f"dlcourse {__version__}")
    _add_global_options(parser)
    return parser


def _add_global_options(
    parser: argparse.ArgumentParser,
    plugin: str = "FILE.py",
    about_plugin: str = "first import this file, with components of your own (may be repeated)",
) -> None:
    """The options that may stand before the command as well as after it."""
    group = parser.add_argument_group("always")
    group.add_argument("--plugin", action="append", default=[], metavar=plugin, help=about_plugin)
    about_code = "import the files that a config's plugins: names, and those that a run was made with"
    group.add_argument("--allow-code", action="store_true", help=about_code)
    group.add_argument("--traceback", action="store_true", help="show where in the program an error arose")


def _unknown_command(name: str) -> str:
    if name.endswith((".yaml", ".yml")):
        return f"{name!r} is no command; to run that config: dlcourse run {name}"
    meant = did_you_mean(name, command_names())
    return f"no command {name!r}{meant}; there are: {', '.join(command_names())}"


class _Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are ours, with the nearest option, and whose options stand anywhere."""

    def __init__(self, **settings: Any):
        super().__init__(**settings, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter)

        self._negative_number_matcher = _NUMBERS  # argparse itself knows -1 and -0.5, and takes -0.5,0.3 for an option

    def parse_all(self, argv: list[str]) -> argparse.Namespace:
        """Parse all of ``argv``; positional arguments may stand between and behind options."""
        for action in self._actions:
            if action.nargs == "*" and not action.option_strings:
                action.required = False  # Else the message about a missing argument names this one too.
        end = argv.index("--") if "--" in argv else len(argv)
        options, rest = argv[:end], argv[end + 1 :]
        for word in options:
            if self._looks_like_an_option(word) and word.partition("=")[0] not in self._option_string_actions:
                hint = "" if word.startswith("--") else "; behind -- it is no option"
                close = did_you_mean(word.partition("=")[0], self._option_string_actions)
                if word in _DEVICES and "--device" in self._option_string_actions:
                    close = f" (did you mean '--device {_DEVICES[word]}'?)"
                meant = self._as_override(word, options) or close or self._as_override(word, options, nearly=True)
                self.error(f"no option {word!r}{meant}{hint}")
        options = list(self._with_left_out_values(options))
        # What is behind -- gets a character in front that no argument has, as argparse forgets there what it has seen.
        args, unknown = self.parse_known_intermixed_args([*options, *(_SHIELD + word for word in rest)])
        if unknown:
            self.error(f"not understood: {unknown[0].removeprefix(_SHIELD)!r}")
        return argparse.Namespace(**{name: _unshielded(value) for name, value in vars(args).items()})

    def _with_left_out_values(self, words: list[str]) -> Iterator[str]:
        """The words, with ``--tta FILE`` as ``--tta=flip_shift FILE``: of an option that may stand without a value, the
        next word is one only if it is among its choices. argparse takes any word."""
        for word, following in itertools.zip_longest(words, words[1:], fillvalue=""):
            action = self._option_string_actions.get(word)
            lone = action is not None and action.nargs == "?" and following not in (action.choices or [following])
            yield f"{word}={action.const}" if action is not None and lone else word

    def _as_override(self, word: str, words: list[str], nearly: bool = False) -> str:
        """For ``--epochs 3``, an option that a config's key would be: how to say that."""
        if not any("key=value" in f"{action.metavar} {action.help}" for action in self._actions):
            return ""
        from dlcourse.config.paths import path_of  # only here: a word of help loads no config

        name, _, value = word.lstrip("-").partition("=")
        path = path_of(name.replace("-", "_"), nearly)
        behind = words[words.index(word) + 1 :][:1]
        if not value and behind and not self._looks_like_an_option(behind[0]) and "=" not in behind[0]:
            value = behind[0]
        return f" (a config's values go without dashes: {path}={value or '...'})" if path else ""

    def _looks_like_an_option(self, word: str) -> bool:
        return word.startswith("-") and word != "-" and " " not in word and not _NUMBERS.match(word)

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see {self.prog} --help")

    def format_help(self) -> str:
        text = super().format_help()
        if self.prog != "dlcourse":
            return text
        width = max(map(len, command_names()))
        listed = "\n".join(f"  {name:<{width}}  {_import(name).HELP}" for name in command_names())
        return text.replace("\noptions:", f"\ncommands:\n{listed}\n\noptions:")


_SHIELD = "\0"


def _unshielded(value: Any) -> Any:
    if isinstance(value, list):
        return [_unshielded(each) for each in value]
    return value.removeprefix(_SHIELD) if isinstance(value, str) else value


def _out_of_memory(error: Exception) -> bool:
    from dlcourse.backend.memory import out_of_memory  # only here: a word of help loads no NumPy

    return out_of_memory(error)


def _in_a_plugin(error: Exception) -> str | None:
    """``component file PATH, line N`` where a user's own file raised the error, or called what raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename in plugins.loaded()]
    return f"component file {os.path.relpath(own[-1].filename)}, line {own[-1].lineno}" if own else None


def _listed(error: ConfigError) -> str:
    if len(error.problems) == 1:
        return str(error)
    return f"{len(error.problems)} problems:\n{error}"


def _note(message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: Any, **__: Any) -> None:
    """A warning in one line; one that is not for users as Python shows it."""
    if issubclass(category, UserWarning):
        text = f"dlcourse: note: {message}\n"
    else:
        text = warnings.formatwarning(message, category, filename, lineno)
    show(text.removesuffix("\n"), sys.stderr)


def _fail(message: str, code: int, with_traceback: bool) -> int:
    """Say what went wrong on standard error, and return the exit code; of several ranks the first says it."""
    if launched().rank and not with_traceback:
        return code
    try:
        if with_traceback:
            traceback.print_exc()
        print(f"dlcourse: error: {message}", file=sys.stderr, flush=True)
    except (OSError, ValueError):
        silence(sys.stderr)
    return code
