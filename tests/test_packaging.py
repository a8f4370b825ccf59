"""What `pip install` installs: the wheel is built and installed, and its commands run from another directory."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest
from conftest import ROOT
from forked import PATIENCE
from packaging.requirements import Requirement

import lyricbert

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DECLARED = {requirement.name: requirement for requirement in map(Requirement, PROJECT["dependencies"])}
OPTIONAL = {Requirement(requirement).name for requirement in PROJECT["optional-dependencies"]["formats"]}


def pip(*arguments: object) -> None:
    """Run pip without an index, so that it uses what is installed."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", *map(str, arguments)]
    done = subprocess.run([*command, "--no-index", "--no-deps"], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy, so that nothing is written into the repository."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for name in ("lyricbert", "tests", "benchmarks", "docs"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "train_mlm.py", "train_triplet.py"):
        shutil.copy(ROOT / name, source)
    pip("wheel", "--no-build-isolation", "--wheel-dir", built, source)
    (path,) = built.glob("*.whl")
    return path


def test_the_wheel_holds_the_package_with_its_songs_and_nothing_else(wheel):
    assert wheel.name.startswith(f"lyricbert-{lyricbert.__version__}-")
    files = {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}
    package = [path for path in (ROOT / "lyricbert").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert files == {path.relative_to(ROOT).as_posix() for path in package}
    assert "lyricbert/py.typed" in files and "lyricbert/training/hooks/log.py" in files
    assert sum(name.startswith("lyricbert/demo/songs/") for name in files) == 125


def test_installed_the_commands_work_from_any_directory(wheel, model_dir, tmp_path):
    site = tmp_path / "site"
    pip("install", "--target", site, wheel)
    environment = {**os.environ, "PYTHONPATH": str(site)}

    def run(*command: object) -> str:
        done = subprocess.run(
            list(map(str, command)), cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=PATIENCE
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    command = site / "bin/lyricbert"
    songs = site / "lyricbert/demo/songs"
    said = run(sys.executable, command, "prepare", songs, "--out", "store", "--tokenizer", model_dir)
    assert "token store store" in said and (tmp_path / "store/meta.json").is_file()
    usage = run(sys.executable, "-m", "lyricbert.prepare", "--help")
    assert usage.startswith("usage: python -m lyricbert.prepare ")


def test_the_pins_satisfy_the_declared_ranges():
    pins = dict(line.split("==") for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").split())
    assert pins.keys() <= DECLARED.keys()
    for name, version in pins.items():
        assert DECLARED[name].specifier.contains(version), name


def test_every_library_that_the_package_imports_is_declared():
    imported = set()
    for path in (ROOT / "lyricbert").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module)
    roots = {re.match(r"\w+", name)[0] for name in imported} - sys.stdlib_module_names - {"lyricbert", "_typeshed"}
    # torch.utils.tensorboard imports tensorboard.
    assert roots | {"tensorboard"} == DECLARED.keys()


def test_every_optional_library_is_declared_and_only_imported_when_needed():
    calls = re.findall(
        r'import_optional\("(\w+)', "".join(path.read_text() for path in (ROOT / "lyricbert").rglob("*.py"))
    )
    assert set(calls) == OPTIONAL
    assert not OPTIONAL & DECLARED.keys()
