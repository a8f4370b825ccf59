"""What the commands of this repository import, for `forked.py` to fork from."""

from importlib import import_module

MODULES = (
    "pytest",  # multiprocessing imports the main module of its parent
    "tensorboard",
    "torch.distributed.run",
    "lyricbert.models.loading",
    "lyricbert.tasks.mlm",
    "lyricbert.tasks.triplet",
    "lyricbert.training.run",
    "train_mlm",
    "train_triplet",
)

for module in MODULES:
    import_module(module)
