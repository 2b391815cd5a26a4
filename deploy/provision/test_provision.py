"""What provisioning promises, checked without a network: `python3 -m unittest discover deploy/provision`."""

import hashlib
import io
import os
import subprocess
import sys
import tempfile
import unittest
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
        for name in (provision.RUNTIME_LIBRARY, "model.onnx", "tokenizer.json", "catena-model.toml", "python"):
            self.assertIn(name, result.stdout)
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

    def test_a_damaged_model_file_is_noticed(self):
        model = provision.Model(self.folder)
        model.folder.mkdir(parents=True)
        model.description.write_text(provision.MODEL_DESCRIPTION, "utf-8")
        (model.folder / "model.onnx").write_bytes(b"half")
        self.assertEqual([path.name for path in model.missing()], ["model.onnx", "tokenizer.json"])

    def test_packages_of_another_python_count_as_missing(self):
        client = provision.TestClient(self.folder)
        client.folder.mkdir(parents=True)
        mark = client.folder / "provisioned"
        mark.write_text(fetch.python_mark("tests"), "utf-8")
        self.assertEqual(client.missing(), [])
        mark.write_text(fetch.python_mark("tests").replace("-", "_"), "utf-8")
        self.assertEqual(client.missing(), [client.folder])

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

    def test_requirements_name_no_host_and_pin_every_package(self):
        for path in sorted(SCRIPT.parent.glob("requirements-*.txt")):
            text = path.read_text("utf-8")
            self.assertNotIn("://", text)
            for block in filter(None, (part.strip() for part in text.split("\n") if "==" in part)):
                self.assertRegex(block, r"^[a-z0-9\[\]._-]+==[0-9][^ ]* \\$")


if __name__ == "__main__":
    unittest.main()
