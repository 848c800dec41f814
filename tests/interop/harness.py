# SPDX-License-Identifier: Apache-2.0
"""What the scripts of this directory share: a daemon of one's own, programs run with a bound, and
the difference between a failed check and a peer that is not installed."""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

EXIT_SKIPPED = 77
PROGRAM_TIMEOUT_S = 60
DAEMON_START_S = 60
DAEMON_STOP_S = 10
PR_SET_PDEATHSIG = 1


class Missing(Exception):
    """Something to test with is not installed."""


class Failed(Exception):
    """A check did not come out as it must."""


def need_program(name, package):
    if shutil.which(name) is None:
        raise Missing(f"{name} is not there; install the Debian package {package}")


def check(condition, text):
    if not condition:
        raise Failed(text)


def run(argv, stdin=None, env=None):
    """Runs a program to its end, within a bound. stdin is text or bytes; so is what it wrote."""
    return subprocess.run(argv, input=stdin, env=env, capture_output=True,
                          text=not isinstance(stdin, bytes), timeout=PROGRAM_TIMEOUT_S, check=False)


def _die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Daemon:
    """A daemon in a runtime directory of its own, for the length of a with block. It must end
    cleanly on SIGTERM."""

    def __init__(self, program, *arguments):
        self._scratch = tempfile.TemporaryDirectory(prefix="signet-")
        self.runtime_dir = os.path.join(self._scratch.name, "run")
        self.socket = os.path.join(self.runtime_dir, "signet.sock")
        self.address = "ipc://" + self.socket
        self._log_path = os.path.join(self._scratch.name, "log")
        self._argv = [program, "--runtime-dir", self.runtime_dir, *arguments]
        self._process = None

    def __enter__(self):
        os.mkdir(self.runtime_dir, 0o700)
        try:
            with open(self._log_path, "wb") as log:
                self._process = subprocess.Popen(
                    self._argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    preexec_fn=_die_with_parent)
            self._wait_until_it_listens()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind, value, trace):
        status = self._end()
        if kind is None:
            check(status == 0, f"the daemon ended with {status} on SIGTERM\n{self.log}")

    def _wait_until_it_listens(self):
        deadline = time.monotonic() + DAEMON_START_S
        while time.monotonic() < deadline:
            with socket.socket(socket.AF_UNIX) as probe:
                if probe.connect_ex(self.socket) == 0:
                    return
            if self._process.poll() is not None:
                break
            time.sleep(0.01)
        raise Failed("the daemon does not start:\n" + self._read_log())

    def _read_log(self):
        with open(self._log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def _end(self):
        status = None
        if self._process is not None:
            self._process.terminate()
            try:
                status = self._process.wait(DAEMON_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                status = self._process.wait()
        self.log = self._read_log() if os.path.exists(self._log_path) else ""
        self._scratch.cleanup()
        return status


def main(body):
    """Runs body and ends the program as the test runner wants it."""
    try:
        body()
    except Missing as missing:
        print(f"SKIPPED: {missing}")
        sys.exit(EXIT_SKIPPED)
    except Failed as failed:
        print(f"FAILED: {failed}")
        sys.exit(1)
