"""Provides axe-core, which finds accessibility problems; it is downloaded from the npm registry once, and verified."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
import urllib.request
from pathlib import Path

VERSION = "4.14.1"
SHA512 = "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
_NAME = f"axe-core-{VERSION}.tgz"


def axe_script() -> str:
    """Return the script that defines ``axe``."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "uda-assets-tests"
    path = cache / _NAME
    if not path.exists() or _hash(path) != SHA512:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as temporary:
            package = _fetch(Path(temporary))
            assert _hash(package) == SHA512, "the registry delivered a different axe-core than the pinned one"
            package.replace(path)
    with tarfile.open(path) as package_files:
        script = package_files.extractfile("package/axe.min.js")
        assert script is not None
        return script.read().decode()


def _fetch(directory: Path) -> Path:
    """Download the package with npm, which knows mirrors and proxies; without npm, from its public address."""
    if npm := shutil.which("npm"):
        command = [npm, "pack", f"axe-core@{VERSION}", "--silent"]
        subprocess.run(command, cwd=directory, check=True, capture_output=True, timeout=120)
    else:
        urllib.request.urlretrieve(f"https://registry.npmjs.org/axe-core/-/{_NAME}", directory / _NAME)
    return directory / _NAME


def _hash(path: Path) -> str:
    return base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
