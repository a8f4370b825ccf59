"""Training curves, as TensorBoard events and as JSON lines. A resumed run continues its curves."""

import errno
import json
import os
import tempfile
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from lyricbert.files import write_errors_as_user_error


def check_board_directory(run: Path) -> None:
    """Raise `UserError` if `run/tensorboard` exists and files cannot be created in it.

    Without this check, TensorBoard's thread prints a traceback at the first write.
    """
    directory = run / "tensorboard"
    if directory.exists():
        with (
            write_errors_as_user_error(directory, "remove it, fix its permissions or give another --out"),
            tempfile.TemporaryFile(dir=directory),
        ):
            pass


class MetricsWriter:
    """Writes `run/tensorboard` and `run/metrics.jsonl`.

    `resumed_step`: the step that the run resumes from; -1 for a new run. Records of later steps, which an earlier
    process of the run wrote, are removed.
    """

    def __init__(self, run: Path, resumed_step: int):
        self._run = run
        self._path = run / "metrics.jsonl"
        _keep_until(self._path, resumed_step)
        self._file = self._path.open("ab", buffering=0)
        self._board: SummaryWriter | None = SummaryWriter(str(run / "tensorboard"), purge_step=resumed_step + 1)

    def recorded(self, step: int, name: str) -> float | None:
        """The value of the curve `name` at `step` in `metrics.jsonl`, or None."""
        found = (record[name] for record in read_metrics(self._path) if record["step"] == step and name in record)
        return next(found, None)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Write one JSON line with `values` and their `step`, and add each value to its TensorBoard curve.

        Raises `UserError` on a write error. Then no partial line is left, and later calls try again.
        """
        advice = f"the curves end before step {step}; free some space and run the same command to resume"
        with write_errors_as_user_error(self._run, advice):
            end = self._file.seek(0, os.SEEK_END)
            try:
                self._write(step, values)
            except OSError:
                self._file.truncate(end)
                self._board = None  # TensorBoard's writer does not recover
                raise

    def _write(self, step: int, values: dict[str, float]) -> None:
        line = (json.dumps({"step": step, **values}) + "\n").encode()
        if self._file.write(line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        board = self._open_board()
        for name, value in values.items():
            board.add_scalar(name, value, step)
        board.flush()

    def _open_board(self) -> SummaryWriter:
        """The TensorBoard writer; a new one after an error."""
        if self._board is None:
            self._board = SummaryWriter(str(self._run / "tensorboard"))
        return self._board

    def text(self, step: int, name: str, markdown: str) -> None:
        """Add a text to TensorBoard's text tab."""
        self._open_board().add_text(name, markdown, step)

    def hyperparameters(self, values: dict[str, object], metrics: list[str]) -> None:
        """Write the run's settings for TensorBoard's hparams tab."""
        plain = {
            name: value if isinstance(value, (int, float, str, bool)) else str(value) for name, value in values.items()
        }
        for summary in hparams(plain, dict.fromkeys(metrics)):
            self._open_board()._get_file_writer().add_summary(summary)

    def close(self) -> None:
        """Flush and close both."""
        self._file.close()
        if self._board is not None:
            self._board.close()


def read_metrics(path: Path) -> list[dict[str, float]]:
    """The records of a `metrics.jsonl`, up to the first invalid line. A kill can leave a partial last line."""
    records = []
    for line in path.read_bytes().splitlines() if path.exists() else []:
        try:
            record = json.loads(line)
            record["step"]
        except (ValueError, TypeError, KeyError):
            break
        records.append(record)
    return records


def _keep_until(path: Path, step: int) -> None:
    kept = [record for record in read_metrics(path) if record["step"] <= step]
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text("".join(json.dumps(record) + "\n" for record in kept), encoding="utf-8")
    temporary.replace(path)
