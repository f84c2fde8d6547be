"""The whole-host test: a Debian 12 with systemd in QEMU, with what was built here, and the checks of Tests/System.

  main.py [CHECK…] [-CHECK…]   runs all checks, or those whose file names contain a word; none of those after a `-`

Environment:
  SYSTEM_TEST_DEADLINE  seconds for all of it after the disks are made (default 2400)
  PACKAGES              .deb files that are brought in and installed, separated by spaces
  CLOUD_HYPERVISOR      a binary that is brought in for the checks of that hypervisor, or several, separated by colons
"""

import os
import signal
import sys
import time

import disk
import machine
import payload
from settings import CACHE, Failure

# The host's own kernel fails now and then, as QEMU's emulation of two processors with SVM is not without faults. Nothing that
# is tested here can do that, so the checks go on from the interrupted one in a host that is booted anew.
MOST_BOOTS = 4


def main():
    # An ordinary end, so that what was started is ended as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    deadline = int(os.environ.get("SYSTEM_TEST_DEADLINE", "2400"))
    report = machine.Report()
    # What is shown after a failure is of this run.
    for log in (CACHE / "qemu.log", machine.console_log()):
        log.unlink(missing_ok=True)
    try:
        disk.build()
        checks = payload.choose(sys.argv[1:])
        until = time.monotonic() + deadline
        for boot in range(1, MOST_BOOTS + 1):
            payload.build(checks)
            try:
                machine.run(report, until)
                break
            except machine.HostFault as fault:
                if boot == MOST_BOOTS:
                    raise
                machine.tail(machine.console_log(), 20)
                checks = checks[checks.index(report.interrupt()):]
                print(f"\nsystem-test: {fault}: that is the emulation's fault; on with {checks[0]} in another boot", flush=True)
    except Failure as failure:
        for log in (CACHE / "qemu.log", machine.console_log()):
            machine.tail(log)
        print(f"\nsystem-test: {failure}", file=sys.stderr)
        return 1
    failed = report.count("not ok")
    print(f"\n{report.count('ok')} passed, {failed} failed, {report.count('skip')} skipped, in {boot} boots")
    return 1 if failed or not report.count("ok") else 0


sys.exit(main())
