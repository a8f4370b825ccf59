"""Start scripts, also under torchrun, as forks of a process that has already imported torch and transformers.

This saves several seconds per process. torchrun is the real one, with its rendezvous, signals, restarts and exit
statuses, but it forks its ranks. Start `sys.executable` in tests that need a new interpreter.
"""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).parent.parent
# Seconds. It guards against hanging; on a busy machine everything may take long.
PATIENCE = 600.0


class ForkedCommand:
    """A started command, with what the tests use of `subprocess.Popen`. It leads a session of its own."""

    def __init__(self, main: Callable[[list[str]], None], words: list[str]):
        """Call `main(words)` in a new process, in the environment and the working directory of this one."""
        self._errors = tempfile.NamedTemporaryFile("r", encoding="utf-8")  # noqa: SIM115 (lives as long as this)
        arguments = (main, words, dict(os.environ), os.getcwd(), self._errors.name)
        self._process = _context().Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        self.pid: int = self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit status, or minus the signal that ended the command. None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    @property
    def errors(self) -> str:
        """Its standard error so far."""
        self._errors.seek(0)
        return self._errors.read()

    def communicate(self, timeout: float = PATIENCE) -> tuple[None, str]:
        """Wait for the end of the command. Returns (None, its standard error)."""
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("the command", timeout, stderr=self.errors)
        return None, self.errors

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill all processes in its session. The ranks of torchrun have their own sessions."""
        os.killpg(self.pid, signal.SIGKILL)


def start(script: str, *arguments: object) -> ForkedCommand:
    """Start a script of the repository."""
    return ForkedCommand(run_script, [str(word) for word in (ROOT / script, *arguments)])


def torchrun(processes: int, script: str, *arguments: object, restarts: int = 0) -> ForkedCommand:
    """Start a script of the repository under torchrun."""
    words = ("--standalone", "--nproc-per-node", processes, "--max-restarts", restarts, ROOT / script, *arguments)
    return ForkedCommand(run_torchrun, [str(word) for word in words])


def run_script(words: list[str]) -> None:
    """Do what `python SCRIPT ARGUMENT...` does."""
    sys.argv = words
    runpy.run_path(words[0], run_name="__main__")


def run_torchrun(words: list[str]) -> None:
    """Do what `torchrun WORD...` does, but fork the ranks."""
    from torch.distributed.elastic.multiprocessing.subprocess_handler import subprocess_handler
    from torch.distributed.run import main

    subprocess_handler.Popen = _ForkingPopen
    main(words)


class _ForkingPopen(subprocess.Popen):
    """A `Popen` of [interpreter, "-u", script, argument...] that forks this interpreter instead of starting another."""

    def _execute_child(self, args, executable, preexec_fn, close_fds, pass_fds, cwd, env, *others: object) -> None:
        self.pid = os.fork()
        if self.pid == 0:
            _become(run_script, list(args[2:]), env)
        self._child_created = True


def _context() -> multiprocessing.context.BaseContext:
    """Start the process to fork from, unless it runs already. It ends with this process."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["preloaded"])
    before = dict(os.environ)
    os.environ["PYTHONPATH"] = f"{ROOT}:{ROOT / 'tests'}"
    try:
        multiprocessing.forkserver.ensure_running()
    finally:
        os.environ.clear()
        os.environ.update(before)
    return context


def _serve(
    main: Callable[[list[str]], None], words: list[str], environment: dict[str, str], folder: str, errors: str
) -> NoReturn:
    assert "preloaded" in sys.modules  # multiprocessing is silent where it cannot import it
    os.chdir(folder)
    for descriptor, path in ((1, os.devnull), (2, errors)):
        file = os.open(path, os.O_WRONLY | os.O_APPEND)
        os.dup2(file, descriptor)
        os.close(file)
    _become(main, words, environment)


def _become(main: Callable[[list[str]], None], words: list[str], environment: Mapping[str, str]) -> NoReturn:
    """Run `main` as a new process would, and exit with its status.

    Exits without the usual clean-up, which would miss the threads that a fork does not copy.
    """
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR2):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(environment)
    status = 1
    try:
        main(words)
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
