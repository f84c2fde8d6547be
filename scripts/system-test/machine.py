"""Boots the host under test in QEMU and follows what its checks report."""

import contextlib
import os
import re
import selectors
import signal
import socket
import subprocess
import time

from settings import CACHE, REPORT_PORT, Failure, phase

MEMORY = "3072M"
PROCESSORS = 2
# A processor with SVM, so that KVM works inside; without what TCG of QEMU 7.2 would warn that it lacks.
PROCESSOR = "EPYC,-3dnowprefetch,-fxsr-opt,-misalignsse,-nrip-save,-osvw,-rdseed,-sha-ni,-topoext,-xsavec"

# A kernel that never stops complaining ends the run before it fills the disk.
LARGEST_LOG = 64 << 20
LONGEST_LINE = 1000

# For the host's kernel. Its processors' TSCs are one counter of QEMU's, which a kernel that compares them while QEMU's threads
# wait for one another takes for two. It falls back to the HPET then, each look at which is an exit that takes QEMU's big lock:
# a busy host and its guests' timers end in nothing but timer interrupts, for ever. And nobody attacks this host by
# speculation.
SPEED = "tsc=reliable mitigations=off"

# The runner says every ten seconds that it is alive; QEMU's threads have been found to wait for one another for ever.
LONGEST_SILENCE = 120
ALIVE = "##alive"
# It starts although nobody has asked for a reboot.
LOST = "##lost"
# The last line of a report. Without it the run failed, whatever came before.
END = "##end"
CHECK = re.compile(r"^==> (\S+\.sh)(, .*)?$")
CLAIM = re.compile(r"^(ok|not ok|skip) - ")
PANIC = b"Kernel panic - not syncing"


class HostFault(Failure):
    """The host under test failed as such: its kernel, or its emulation."""


class Report:
    """What the checks have claimed, over all boots."""

    def __init__(self):
        self.claims = []  # (check, "ok" or "not ok" or "skip")
        self.current = None

    def add(self, line):
        if found := CHECK.match(line):
            self.current = found[1]
        elif found := CLAIM.match(line):
            self.claims.append((self.current, found[1]))

    def count(self, kind):
        return sum(1 for _, found in self.claims if found == kind)

    def interrupt(self):
        """Forgets what the interrupted check has claimed, but for what failed, and returns its name."""
        if self.current is None:
            raise Failure("the host failed before its first check")
        self.claims = [claim for claim in self.claims if claim[0] != self.current or claim[1] == "not ok"]
        return self.current


def command():
    def disk(name, serial, options):
        return ["-drive", f"if=none,id={serial},format=raw,file={CACHE / name},{options}",
                "-device", f"virtio-blk-pci,drive={serial},serial={serial}"]

    return [
        # It must not outlive this process, whatever ends it.
        "setpriv", "--pdeathsig", "KILL", "--",
        "qemu-system-x86_64", "-name", "hypeman-system-test", "-nodefaults", "-no-user-config", "-display", "none",
        "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", PROCESSOR, "-smp", str(PROCESSORS), "-m", MEMORY,
        "-kernel", CACHE / "vmlinuz", "-initrd", CACHE / "initrd",
        "-append", f"root=/dev/vda rw console=ttyS0 panic=10 systemd.show_status=false {SPEED}",
        # What the host writes is for this run alone; a reboot inside keeps it.
        *disk("root.ext4", "root", "snapshot=on,cache=unsafe,discard=unmap"),
        *disk("payload.ext4", "payload", "readonly=on"),
        "-object", "rng-random,id=random,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=random",
        "-chardev", f"file,id=console,path={console_log()}", "-serial", "chardev:console",
        "-chardev", f"socket,id=monitor,path={monitor()},server=on,wait=off", "-mon", "chardev=monitor,mode=readline",
        "-chardev", "stdio,id=report,signal=off", "-device", "virtio-serial-pci",
        "-device", f"virtserialport,chardev=report,name={REPORT_PORT}",
    ]


def console_log():
    return CACHE / "console.log"


def monitor():
    return CACHE / "monitor"


def registers():
    """Where the host's processors are, for a failure; nothing if QEMU does not answer."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(str(monitor()))
        connection.sendall(b"info registers -a\n")
        answer = b""
        with contextlib.suppress(TimeoutError):
            while len(answer) < 1 << 16 and (data := connection.recv(1 << 12)):
                answer += data
        wanted = re.compile(r"^(CPU#|RIP|CR0|EFER)")
        print("\n==> the host's processors")
        print("\n".join(line for line in answer.decode(errors="replace").splitlines() if wanted.match(line)), flush=True)


def run(report, until):
    """Boots the host and runs the checks of the payload, to their last line; what they claim is added to the report.

    Raises HostFault if the host failed as such; Failure if the machine ended, or the time was up, before the checks did.
    """
    console_log().unlink(missing_ok=True)
    with phase("boot the host and run its checks"), open(CACHE / "qemu.log", "wb") as log:
        machine = subprocess.Popen(
            command(),
            # An end of file would disconnect the port, at which whoever writes to it inside waits for ever.
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
            # QEMU keeps there what the host writes, which no tmpfs should hold.
            env=dict(os.environ, TMPDIR=str(CACHE)),
        )
        try:
            follow(machine, report, until)
        except Failure:
            registers()
            raise
        finally:
            with contextlib.suppress(ProcessLookupError):
                machine.send_signal(signal.SIGKILL)
            machine.wait()
            machine.stdin.close()
            machine.stdout.close()


def follow(machine, report, until):
    """Shows the report line by line until its last."""
    selector = selectors.DefaultSelector()
    selector.register(machine.stdout, selectors.EVENT_READ)
    pending = b""
    heard = time.monotonic()
    while True:
        now = time.monotonic()
        if now > until:
            raise Failure("the checks did not end in time (SYSTEM_TEST_DEADLINE)")
        if now - heard > LONGEST_SILENCE:
            raise HostFault(f"the host stood still for {LONGEST_SILENCE} s")
        check_console()
        if not selector.select(5):
            continue
        heard = now
        data = os.read(machine.stdout.fileno(), 1 << 16)
        if not data:
            raise Failure(f"the host ended before its checks did (QEMU exited with {machine.wait()})")
        *lines, pending = (pending + data).split(b"\n")
        if len(pending) > LARGEST_LOG:
            raise Failure("the report is no text")
        for line in lines:
            text = line.decode(errors="replace").rstrip("\r")[:LONGEST_LINE]
            if text == END:
                return
            if text == LOST:
                raise HostFault("the host has rebooted by itself")
            if text == ALIVE:
                continue
            report.add(text)
            print(text, flush=True)


def check_console():
    """Looks for what the host's kernel says at its end."""
    with contextlib.suppress(FileNotFoundError), open(console_log(), "rb") as console:
        size = console.seek(0, os.SEEK_END)
        if size > LARGEST_LOG:
            raise Failure(f"the console wrote more than {LARGEST_LOG} bytes")
        console.seek(max(0, size - (64 << 10)))
        if PANIC in console.read():
            raise HostFault("the host's kernel panicked")


def tail(path, lines=60):
    """The end of a log, for a failure."""
    with contextlib.suppress(OSError):
        text = path.read_text(errors="replace").splitlines()
        print(f"\n==> the last lines of {path.name}")
        print("\n".join(text[-lines:]), flush=True)
