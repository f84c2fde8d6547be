"""What the parts of the whole-host test share: where things are, and how a phase is shown."""

import contextlib
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
# The host's disk, what is brought into it, and what is left of a run: made here, and removed by `make clean`.
CACHE = ROOT / ".build/system"
PRODUCTS = ROOT / ".build/debug"
GUEST = ROOT / ".build/guest"
CHECKS = ROOT / "Tests/System"
# What the stub of Cloud Hypervisor holds requests against.
SPECIFICATION = ROOT / "Tests/CloudHypervisorStub/Specification/cloud-hypervisor.yaml"

# The label that the host mounts what is brought in by.
PAYLOAD_LABEL = "payload"
# The name of the virtio-serial port that the checks write to.
REPORT_PORT = "org.hypeman.report"


class Failure(Exception):
    """What went wrong, in words for the terminal."""


@contextlib.contextmanager
def phase(title):
    """Shows a heading, and at the end how long it took."""
    print(f"==> {title}", flush=True)
    began = time.monotonic()
    yield
    print(f"    {time.monotonic() - began:.1f} s", flush=True)


def run(command):
    """Runs a tool; what it printed is shown only if it failed."""
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    if result.returncode != 0:
        sys.stdout.write(result.stdout)
        raise Failure(f"{command[0]} failed with {result.returncode}")
    return result.stdout
