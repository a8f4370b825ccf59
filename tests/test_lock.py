import subprocess
import sys

import pytest
from conftest import ROOT

from lyricbert.errors import UserError
from lyricbert.lock import exclusive

HOLD = "import sys, time; from pathlib import Path; from lyricbert.lock import exclusive\n"
HOLD += "with exclusive(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"


def test_a_second_run_in_a_directory_is_refused_until_the_first_is_gone(tmp_path):
    run = tmp_path / "run"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, run], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(UserError, match=rf"in use by another run \(process {holder.pid} on "), exclusive(run):
        pass
    holder.kill()
    holder.wait()
    with exclusive(run):
        pass


def test_a_directory_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written to"), exclusive(tmp_path / "file" / "run"):
        pass
