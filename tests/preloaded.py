"""What the commands of this repository import, for `forked.py` to fork from."""

import pytest  # noqa: F401  (multiprocessing imports the main module of the tests in each new process)
import transformers.models.bert  # noqa: F401
