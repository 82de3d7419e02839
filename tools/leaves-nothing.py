#!/usr/bin/env python3
"""Runs a command, and fails if a process that it started outlives it.

tools/leaves-nothing.py [--grace SECONDS] COMMAND [ARGUMENT...]

A process whose parent has ended is given to this one, as Linux does for a "child subreaper",
whatever group, session or environment it has made for itself. So what lives when the command has
ended was left behind by it. What is just ending has ten seconds for that; the rest is named, with
the test that started it, and killed.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time

PR_SET_CHILD_SUBREAPER = 36
GRACE_SECONDS = 10.0
POLL_SECONDS = 0.05


def descendants():
    """Numbers of all processes that descend from this one, parents first."""
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                # The name, in brackets, may hold anything; the parent is the second field after it.
                parents[int(name)] = int(file.read().rpartition(")")[2].split()[1])
        except OSError:
            pass
    found = [os.getpid()]
    for parent in found:
        found.extend(pid for pid, of in parents.items() if of == parent)
    return found[1:]


def described(pid):
    """Its command line and, where its environment tells, the test that started it."""

    def fields(name):
        try:
            with open(f"/proc/{pid}/{name}", "rb") as file:
                return file.read().decode(errors="replace").split("\0")
        except OSError:
            return []

    command = " ".join(fields("cmdline")).strip()[:200] or "(a process that has just ended)"
    variables = dict(field.split("=", 1) for field in fields("environ") if "=" in field)
    binary, test = (variables.get(f"NEXTEST_{name}") for name in ("BINARY_ID", "TEST_NAME"))
    return f"{pid}: {command}" + (f"\n      started by {binary} {test}" if test else "")


def wait_for(command):
    """The command's exit status; whatever else ends meanwhile is waited for, too."""
    while True:
        pid, status = os.wait()
        if pid == command.pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def nothing_lives(deadline):
    """Waits until no child is left; false at the deadline."""
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)


def kill_all(grace):
    """Kills what there is, and what that leaves to this process by its end."""
    deadline = time.monotonic() + grace
    while not nothing_lives(time.monotonic()) and time.monotonic() < deadline:
        for pid in descendants():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(POLL_SECONDS)


def pass_on(pid, number):
    """Not by the library, which would wait for the command itself."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def main():
    arguments, grace = sys.argv[1:], GRACE_SECONDS
    if arguments[:1] == ["--grace"]:
        grace, arguments = float(arguments[1]), arguments[2:]
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        sys.exit("leaves-nothing: this kernel knows no child subreaper")
    command = subprocess.Popen(arguments)
    # Ctrl-C reaches the command by itself, and this one goes on to see what it leaves.
    signal.signal(signal.SIGINT, lambda *_: None)
    for wanted in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(wanted, lambda number, _: pass_on(command.pid, number))
    code = wait_for(command)
    # It was waited for here; the library must not try again.
    command.returncode = code
    if nothing_lives(time.monotonic() + grace):
        sys.exit(code)
    print("==> LEFT BEHIND, and killed now:", file=sys.stderr)
    for pid in descendants():
        print(f"    {described(pid)}", file=sys.stderr)
    kill_all(GRACE_SECONDS)
    sys.exit(code or 1)


if __name__ == "__main__":
    main()
