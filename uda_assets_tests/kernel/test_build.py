"""The kernel is compiled for every kind of machine that we know of, and a failure says in one line what to do."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from uda_assets import kernel
from uda_assets.basics.errors import UdaError
from uda_assets.kernel import kernel as binding
from uda_assets_tests.support.places import PROJECT

SOURCE = Path(kernel.__file__).with_name("kernel.c")


@pytest.mark.parametrize(
    ("target", "magic", "machine"),
    [
        ("x86_64-linux-gnu", b"\x7fELF", b"\x3e\x00"),
        ("aarch64-linux-gnu", b"\x7fELF", b"\xb7\x00"),
        ("x86_64-macos", b"\xcf\xfa\xed\xfe", None),
        ("aarch64-macos", b"\xcf\xfa\xed\xfe", None),
    ],
)
def test_it_is_compiled_for_other_machines(tmp_path: Path, target: str, magic: bytes, machine: bytes | None) -> None:
    library = tmp_path / "kernel.so"
    command = [
        sys.executable,
        "-m",
        "ziglang",
        "cc",
        "-target",
        target,
        "-std=c11",
        "-O3",
        "-Wall",
        "-Wextra",
        "-Werror",
    ]
    subprocess.run([*command, "-fPIC", "-shared", "-o", library, SOURCE], check=True, timeout=200)
    content = library.read_bytes()
    assert content.startswith(magic)
    assert machine is None or content[18:20] == machine


@pytest.fixture
def no_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    library = tmp_path / "kernel.so"
    monkeypatch.setattr(binding, "LIBRARY", library)
    binding.load_library.cache_clear()
    yield library
    binding.load_library.cache_clear()


def test_a_missing_or_foreign_library_is_named_with_what_to_do(no_library: Path) -> None:
    for content in (None, b"no library"):
        if content:
            no_library.write_bytes(content)
        with pytest.raises(UdaError, match=r"not built .*uv sync --reinstall-package uda-assets") as caught:
            binding.load_library()
        assert "\n" not in str(caught.value)


def test_a_source_that_cannot_be_compiled_is_said_in_one_line(tmp_path: Path) -> None:
    """The build runs as uv runs it, in a copy whose source is broken, with this environment's build backend."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, copy / name)
    shutil.copytree(PROJECT / "uda_assets/kernel", copy / "uda_assets/kernel", ignore=shutil.ignore_patterns("*.so"))
    with (copy / "uda_assets/kernel/kernel.c").open("a") as source:
        source.write("this is no C\n")
    build = "from hatchling.build import build_editable; build_editable('.')"
    command = [sys.executable, "-c", build]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, timeout=200, check=False)
    (line,) = done.stderr.splitlines()
    assert line.startswith("uda_assets cannot be built: ")
    assert "fails to compile kernel.c" in line
    assert done.returncode == 1
    assert not list(copy.rglob("*.so"))


def test_the_structures_are_as_large_as_the_kernels(tmp_path: Path) -> None:
    program = tmp_path / "sizes.c"
    program.write_text(
        f'#include "{SOURCE}"\n#include <stdio.h>\n'
        'int main(void) { printf("%zu %zu %zu %zu %zu %zu %d", sizeof(text), sizeof(dialect), sizeof(extent), '
        "offsetof(reader, d), sizeof(struct ArrowSchema), sizeof(struct ArrowArray), REASONS); }\n"
    )
    compiler = shutil.which("cc")
    command = [compiler] if compiler else [sys.executable, "-m", "ziglang", "cc"]
    subprocess.run([*command, "-o", tmp_path / "sizes", program], check=True, timeout=200)
    told = subprocess.run([tmp_path / "sizes"], capture_output=True, text=True, check=True).stdout
    structures = [
        binding.CText, binding.CDialect, binding.CExtent, binding.CReader, binding.ArrowSchema, binding.ArrowArray,
    ]  # fmt: skip
    assert told.split() == [*(str(ctypes.sizeof(structure)) for structure in structures), str(len(kernel.REASONS))]


@pytest.mark.heavy
@pytest.mark.timeout(7200)
def test_no_byte_beyond_the_block_is_touched() -> None:
    """The whole corpus and random files, under the sanitizers for addresses and for undefined behaviour."""
    seconds = os.environ.get("UDA_TEST_SECONDS", "60")
    done = subprocess.run(
        [sys.executable, "-m", "uda_assets_tests.kernel.sanitized", seconds],
        cwd=PROJECT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-5000:]
    print(f"\n{done.stdout.strip()}")
