"""The sdist, the wheel built from it and the wheel built from the checkout contain the tree."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("layers", "services", "node")
BUILD = "import sys, hatchling.build as b; print(getattr(b, 'build_' + sys.argv[1])(sys.argv[2]))"


def build(kind: str, source: Path, target: Path) -> Path:
    """Call the build backend as a frontend does: in its own process, in the root of the source."""
    result = subprocess.run(
        [sys.executable, "-c", BUILD, kind, str(target)], cwd=source, check=True, capture_output=True, text=True
    )
    return target / result.stdout.split()[-1]


def clean_copy(target: Path) -> Path:
    """Copy the checkout as a fresh clone would have it, without build products and caches."""
    git = shutil.which("git")
    if git is not None and (ROOT / ".git").exists():
        listed = subprocess.run(
            [git, "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split("\0")
        for name in filter(None, listed):
            if (ROOT / name).exists():
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, target / name, follow_symlinks=False)
    else:
        ignored = shutil.ignore_patterns(
            "__pycache__", ".venv", "dist", "build", "*.egg-info", ".*_cache", ".hypothesis"
        )
        shutil.copytree(ROOT, target, symlinks=True, ignore=ignored, dirs_exist_ok=True)
    return target


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clean_copy(tmp_path_factory.mktemp("tree"))


@pytest.fixture(scope="module")
def sdist(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", tree, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", tree, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def wheel_from_sdist(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    unpacked = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(unpacked, filter="data")
    (root,) = unpacked.iterdir()
    return build("wheel", root, tmp_path_factory.mktemp("wheel_from_sdist"))


def package_files(tree: Path) -> set[str]:
    """Return the files that a wheel must contain, by their installed paths."""
    return {
        f"ziggurat/{path.relative_to(tree).as_posix()}"
        for package in PACKAGES
        for path in (tree / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def content(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def code(wheel: Path) -> dict[str, bytes]:
    return {name: data for name, data in content(wheel).items() if ".dist-info/" not in name}


def test_the_wheel_holds_exactly_the_packages_of_the_tree(tree: Path, wheel: Path) -> None:
    files = package_files(tree)

    assert len(files) > 20
    assert set(code(wheel)) == files


def test_the_wheel_built_from_the_sdist_is_the_same(wheel: Path, wheel_from_sdist: Path) -> None:
    assert code(wheel_from_sdist) == code(wheel)
    assert set(content(wheel_from_sdist)) == set(content(wheel))


def test_the_wheel_installs_nothing_but_ziggurat(wheel: Path) -> None:
    top = {name.partition("/")[0] for name in content(wheel)}

    assert {name for name in top if not name.endswith(".dist-info")} == {"ziggurat"}
    assert "ziggurat/__init__.py" not in content(wheel)


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_is_marked_as_typed(package: str, wheel: Path) -> None:
    assert f"ziggurat/{package}/py.typed" in content(wheel)


def test_the_sdist_has_the_tests_the_metadata_and_the_license(tree: Path, sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}

    expected = {path.relative_to(tree).as_posix() for path in (tree / "tests").rglob("*.py")}
    expected |= {name.removeprefix("ziggurat/") for name in package_files(tree)}
    expected |= {"pyproject.toml", "README.md", "LICENSE", "PKG-INFO"}
    assert expected <= names
    assert not [name for name in names if name.startswith((".dev", "ziggurat/"))]


def test_the_wheel_has_the_command(wheel: Path) -> None:
    (entry_points,) = (data for name, data in content(wheel).items() if name.endswith("/entry_points.txt"))
    parser = configparser.ConfigParser()
    parser.read_string(entry_points.decode())

    assert dict(parser["console_scripts"]) == {"ziggurat": "ziggurat.node.cli:main"}


def test_the_wheel_works_without_a_checkout(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    script = """
import sys
import ziggurat.layers, ziggurat.layers.testing, ziggurat.node.cli.command, ziggurat.services
for package in (ziggurat.layers, ziggurat.services, ziggurat.node.cli.command):
    assert package.__file__.startswith(sys.argv[1]), package.__file__
for bare in ("layers", "services", "node"):
    try:
        __import__(bare)
    except ModuleNotFoundError:
        continue
    raise AssertionError(f"a bare {bare} can be imported")
"""
    # Takes precedence over an editable install in site-packages.
    environment = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, "-c", script, str(site)]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    assert result.returncode == 0, result.stderr
