"""The whole-host test: a Debian 12 with systemd in QEMU, with what was built here, and the checks of Tests/System.

  main.py [CHECK…]   runs all checks, or those whose file names contain a word

Environment:
  SYSTEM_TEST_DEADLINE  seconds for all of it after the disks are made (default 1500)
  PACKAGES              .deb files that are brought in and installed, separated by spaces
  CLOUD_HYPERVISOR      a binary that is brought in for the checks of that hypervisor, or several, separated by colons
"""

import os
import signal
import sys

import disk
import machine
import payload
from settings import CACHE, Failure


def main():
    # An ordinary end, so that what was started is ended as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    deadline = int(os.environ.get("SYSTEM_TEST_DEADLINE", "1500"))
    try:
        disk.build()
        payload.build(sys.argv[1:])
        passed, failed, skipped = machine.run(deadline)
    except Failure as failure:
        for log in (CACHE / "qemu.log", machine.console_log()):
            machine.tail(log)
        print(f"\nsystem-test: {failure}", file=sys.stderr)
        return 1
    print(f"\n{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed or not passed else 0


sys.exit(main())
