import io
import sys

import pytest

from lyricbert import errors
from lyricbert.errors import FailedElsewhere, UserError, run_command


def fail(error: UserError):
    raise error


@pytest.mark.parametrize(
    ("local_rank", "error", "turn", "said"),
    [
        (None, UserError("no such file"), 0, "error: no such file\n"),
        ("0", UserError("no such file"), 0, "error: no such file\n"),
        ("1", UserError("no GPU"), 1, "error: no GPU\n"),
        ("0", FailedElsewhere("no disk"), 2, ""),
        ("1", FailedElsewhere("no disk"), 2, ""),
    ],
)
def test_a_process_with_its_own_error_ends_first(monkeypatch, capfd, local_rank, error, turn, said):
    """torchrun ends the others as soon as one has ended."""
    waited = []
    monkeypatch.setattr(errors.time, "sleep", waited.append)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if local_rank is not None:
        monkeypatch.setenv("LOCAL_RANK", local_rank)
    with pytest.raises(SystemExit) as caught:
        run_command(lambda: fail(error))
    assert caught.value.code == 2
    assert capfd.readouterr().err == said
    assert waited == [turn * errors._SECONDS_A_TURN]


def test_characters_that_the_terminal_lacks_are_printed_as_escapes(monkeypatch):
    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, encoding="latin-1"))
    run_command(lambda: print("caf\u00e9 \u65e5", flush=True))
    assert printed.getvalue() == "caf\u00e9 \\u65e5\n".encode("latin-1")


def test_a_reader_of_the_output_may_end_early(monkeypatch, capfd):
    def write():
        raise BrokenPipeError

    redirected = []
    monkeypatch.setattr(errors.os, "dup2", lambda _, number: redirected.append(number))
    with pytest.raises(SystemExit) as caught:
        run_command(write)
    assert (caught.value.code, redirected) == (141, [1])
    assert capfd.readouterr().err == ""
