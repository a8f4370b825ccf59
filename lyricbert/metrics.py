"""One curve per run, however often it was resumed: TensorBoard events and the same scalars as JSON lines."""

import json
import os
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams


class MetricsWriter:
    """Writes `run/tensorboard` and `run/metrics.jsonl`, going on after step `resumed_step` (-1: from the start).

    What an earlier process of the run wrote for later steps is taken back: its lines are removed, its events purged.
    """

    def __init__(self, run: Path, resumed_step: int):
        self._path = run / "metrics.jsonl"
        _keep_until(self._path, resumed_step)
        self._file = self._path.open("a", encoding="utf-8")
        self._board = SummaryWriter(str(run / "tensorboard"), purge_step=resumed_step + 1)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """One line of `values` with their `step`, and a point on each one's curve."""
        for name, value in values.items():
            self._board.add_scalar(name, value, step)
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self.flush()

    def text(self, step: int, name: str, markdown: str) -> None:
        """A text for TensorBoard's text tab."""
        self._board.add_text(name, markdown, step)

    def hyperparameters(self, values: dict[str, object], metrics: list[str]) -> None:
        """The run's settings for TensorBoard's hparams tab, in the run's own directory."""
        plain = {
            name: value if isinstance(value, (int, float, str, bool)) else str(value) for name, value in values.items()
        }
        for summary in hparams(plain, dict.fromkeys(metrics)):
            self._board._get_file_writer().add_summary(summary)

    def flush(self) -> None:
        """Hand everything written so far to the operating system."""
        self._file.flush()
        self._board.flush()

    def close(self) -> None:
        """Flush and close both."""
        self._file.close()
        self._board.close()


def read_metrics(path: Path) -> list[dict[str, float]]:
    """The records of a `metrics.jsonl`; a last line that was cut short by a kill is left out."""
    records = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records


def _keep_until(path: Path, step: int) -> None:
    kept = [record for record in read_metrics(path) if record["step"] <= step]
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    temporary.write_text("".join(json.dumps(record) + "\n" for record in kept), encoding="utf-8")
    temporary.replace(path)
