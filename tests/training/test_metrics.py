import os

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lyricbert.errors import UserError
from lyricbert.files import write_errors_as_user_error
from lyricbert.training.metrics import MetricsWriter, read_metrics


class Full:
    """A file on a disk with five free bytes."""

    def __init__(self, file):
        self._file = file

    def write(self, data: bytes) -> int:
        return self._file.write(data[:5])

    def __getattr__(self, name: str):
        return getattr(self._file, name)


def test_a_full_disk_leaves_no_partial_line_and_later_writes_work(tmp_path):
    writer = MetricsWriter(tmp_path, resumed_step=-1)
    writer.scalars(1, {"loss": 1.0})
    whole, writer._file = writer._file, Full(writer._file)
    with pytest.raises(UserError, match=r"cannot be written \(No space left on device\)"):
        writer.scalars(2, {"loss": 2.0})
    writer._file = whole
    writer.scalars(3, {"loss": 3.0})
    writer.close()
    assert read_metrics(tmp_path / "metrics.jsonl") == [{"step": 1, "loss": 1.0}, {"step": 3, "loss": 3.0}]
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in board.Scalars("loss")] == [1, 3]


def test_a_write_error_with_a_file_name_in_bytes_is_a_user_error(tmp_path):
    """TensorBoard opens its files with such names."""
    with (
        pytest.raises(UserError, match=r"run: cannot be written \(No such file or directory\); look$"),
        write_errors_as_user_error(tmp_path / "run", "look"),
    ):
        os.open(os.fsencode(tmp_path / "run/tensorboard/events"), os.O_WRONLY)


@pytest.mark.parametrize("tail", [b'{"step": 2, "lo', b"\xff\xfe", b"[]\n", b"5\n", b'{"loss": 1}\n', b"null\n"])
def test_invalid_records_are_skipped(tmp_path, tail):
    (tmp_path / "metrics.jsonl").write_bytes(b'{"step": 1, "loss": 1.0}\n' + tail)
    assert read_metrics(tmp_path / "metrics.jsonl") == [{"step": 1, "loss": 1.0}]
