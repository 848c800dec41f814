# SPDX-License-Identifier: Apache-2.0
"""Programs that the bench runs: tools to their end, servers for as long as they are needed. They are
ended in any case. Nothing here knows what is measured.
"""
import contextlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

GREETING = b"\x00SP\x00\x00\x30\x00\x00"
ANSWER = b"\x00SP\x00\x00\x31\x00\x00"
START_SECONDS = 10


def fail(message):
    sys.exit(f"bench: {message}")


def progress(text):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def output_of(*command, timeout=600):
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True,
                          timeout=timeout, check=False)
    if done.returncode != 0:
        fail(f"{' '.join(map(str, command))} ended with status {done.returncode}")
    return done.stdout


def reach(path):
    """A connection that nothing has been said on; None if nobody listens yet."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(START_SECONDS)
        sock.connect(str(path))
        return sock
    except (FileNotFoundError, ConnectionRefusedError):
        sock.close()
        return None


def connect(path):
    """A greeted connection; None if nobody answers yet."""
    sock = reach(path)
    if sock is None:
        return None
    sock.sendall(GREETING)
    if sock.recv(len(ANSWER), socket.MSG_WAITALL) in (ANSWER, GREETING):
        return sock
    sock.close()
    return None


def end_servers_on_signals():
    """Signals that would end this program at once leave it through every `with` instead."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))


@contextlib.contextmanager
def running(path, *command, probe=connect):
    """The server that listens at path; ended on the way out."""
    with tempfile.TemporaryFile("w+") as log:
        server = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL,
                                  stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + START_SECONDS
            while (connection := probe(path)) is None:
                if server.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    fail(f"{command[0]} did not start\n{log.read()}")
                time.sleep(0.01)
            connection.close()
            yield server
        finally:
            server.send_signal(signal.SIGTERM)
            try:
                server.wait(START_SECONDS)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
