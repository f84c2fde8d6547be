#!/usr/bin/env python3
"""Measures the agent against floors: what the same work costs without it. Prints one table.

Ours and the floor are measured in turn, in one run, since absolute times mean nothing on a shared machine. Each row is
described in README.md.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import bench_dbus
import bench_images
import bench_network
import bench_standby

ROOT = pathlib.Path(__file__).resolve().parent.parent
# What is measured is what is used: a release build.
BIN = ROOT / os.environ.get("BENCH_BIN", ".build/release")
GUEST = ROOT / ".build/guest"
READY = "bench: program started"


class Agent:
    """A private agent with an image of Debian's static busybox."""

    def __init__(self, work, namespace=None):
        """With a namespace (of bench_network) the agent is in it, on the bridge network."""
        self.work = work
        self.environment = dict(
            os.environ,
            CONFIG_FILE="/dev/null",
            DATA_DIR=str(work / "data"),
            NETWORK="bridge" if namespace else "none",
            INSECURE_REGISTRIES=f"127.0.0.1:{bench_images.port()}",
            RUNTIME_DIR=str(work / "run"),
            HYPEMAN_SOCKET=str(work / "run/agent.sock"),
            KERNEL_PATH=str(GUEST / "kernel/vmlinux"),
            INITRD_PATH=str(GUEST / "initrd"),
            # The agent's own pings to its guests are written there.
            LOG_LEVEL="trace",
        )
        log = open(work / "agent.log", "wb")
        command = [BIN / "hypeman-agent", "serve"]
        if namespace:
            command = namespace.command(*command)
        self.process = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while subprocess.run([BIN / "hypeman", "ps"], env=self.environment, capture_output=True).returncode != 0:
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"the agent does not answer:\n{(work / 'agent.log').read_text()}")
            time.sleep(0.05)

    def run(self, *arguments, check=True):
        return subprocess.run(
            [BIN / "hypeman", *arguments], env=self.environment, check=check, capture_output=True, text=True
        ).stdout.strip()

    def import_busybox(self):
        tree = self.work / "tree"
        (tree / "bin").mkdir(parents=True)
        (tree / "dev").mkdir()
        shutil.copy("/bin/busybox", tree / "bin/busybox")
        for name in ("sh", "sleep", "echo", "true", "cat"):
            (tree / "bin" / name).symlink_to("busybox")
        subprocess.run(["tar", "-cf", self.work / "busybox.tar", "-C", tree, "."], check=True)
        self.run("import", str(self.work / "busybox.tar"), "bench:1")

    def pings(self):
        """How long the guests took to answer the agent's pings on their channels, in seconds, oldest first."""
        text = (self.work / "agent.log").read_text(errors="replace")
        return [int(took) / 1e6 for took in re.findall(r"microseconds=(\d+).*guest answered a ping", text)]

    def status(self, field):
        for line in open(f"/proc/{self.process.pid}/status"):
            if line.startswith(field + ":"):
                return int(line.split()[1])
        raise KeyError(field)

    def stop(self):
        for name in self.run("ps", "-a", "-q", check=False).split():
            self.run("rm", "-f", name, check=False)
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


PROGRAM = ["sh", "-c", f"echo {READY} >/dev/ttyS0; exec sleep 1000"]


def create_cold(agent, runs):
    """From asking for an instance to its program's first word on the console; the floor is QEMU by hand with the
    same kernel, initrd, disks and devices."""
    ours, floor = [], []
    for number in range(runs):
        began = time.monotonic()
        name = agent.run("run", "-d", "--name", f"cold-{number}", "--memory", "256MB", "--cpus", "1", "bench:1", *PROGRAM)
        console = subprocess.Popen(
            [BIN / "hypeman", "logs", "-f", "--source", "console", name],
            env=agent.environment, stdout=subprocess.PIPE, text=True,
        )
        for line in console.stdout:
            if READY in line:
                break
        ours.append(time.monotonic() - began)
        console.kill()
        console.wait()
        command = qemu_command(name)
        agent.run("stop", name)
        floor.append(by_hand(agent, command, number))
        agent.run("rm", name)
    return row("create-cold", "s", ours, floor, 1.10)


def qemu_command(name):
    """The command line of the QEMU that the agent started for an instance."""
    for entry in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().split(b"\0")[:-1]
        except OSError:
            continue
        if words and b"qemu" in words[0] and any(name.encode() in word for word in words):
            return [word.decode() for word in words]
    sys.exit(f"no QEMU runs {name}")


def by_hand(agent, command, number):
    """Boots the same machine without the agent, its console on a pipe."""
    sockets = agent.work / f"hand-{number}"
    sockets.mkdir()
    runtime = next(w for w in command if "qmp.sock" in w).split("path=")[1].split("/qmp.sock")[0]
    words = [word.replace(runtime, str(sockets)) for word in command if word != "-S"]
    index = next(i for i, word in enumerate(words) if word.startswith("socket,id=console,"))
    words[index] = "stdio,id=console"
    began = time.monotonic()
    machine = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    for line in machine.stdout:
        if READY.encode() in line:
            break
    else:
        sys.exit("QEMU by hand did not start the program")
    elapsed = time.monotonic() - began
    machine.kill()
    machine.wait()
    return elapsed


def exec_true(agent, runs):
    """`hypeman exec NAME true` less what the same command line costs without a guest (`hypeman health`); the floor is
    a ping on the same channel (HTTP/2's, that the agent sends every five seconds) and the same spawn inside the guest."""
    agent.run("run", "-d", "--name", "exec", "--memory", "256MB", "--cpus", "1", "bench:1", *PROGRAM)
    agent.run("exec", "exec", "true")
    ours, floor = [], []
    count = 20
    loop = f"n=0; read a b </proc/uptime; while [ $n -lt {count} ]; do /bin/busybox true; n=$((n+1)); done; read c d </proc/uptime; echo $a $c"
    for _ in range(runs):
        began = time.monotonic()
        agent.run("exec", "exec", "/bin/busybox", "true")
        whole = time.monotonic() - began
        began = time.monotonic()
        agent.run("health")
        ours.append(whole - (time.monotonic() - began))
        start, end = map(float, agent.run("exec", "exec", "sh", "-c", loop).split())
        floor.append((end - start) / count)
    earlier = len(agent.pings())
    deadline = time.monotonic() + 60
    while len(agent.pings()) < earlier + 3:
        if time.monotonic() > deadline:
            sys.exit("the agent does not ping its guest")
        time.sleep(0.1)
    ping = statistics.median(agent.pings()[earlier:])
    agent.run("rm", "-f", "exec")
    result = row("exec", "s", ours, [spawn + ping for spawn in floor], None)
    result["note"] = f"the ping is {ping * 1000:.1f} ms of the floor"
    return result


def import_memory(agent, runs):
    """The agent's peak memory while it imports a 200 MB image, against a 20 MB one: it must not grow with the image."""
    peaks = []
    for size in (20, 200):
        tree = agent.work / f"tree-{size}"
        tree.mkdir()
        with open(tree / "data", "wb") as file:
            for _ in range(size):
                file.write(os.urandom(1 << 20))
        archive = agent.work / f"{size}.tar"
        subprocess.run(["tar", "-cf", archive, "-C", tree, "."], check=True)
        # Writing 5 makes the kernel count the peak anew (proc(5), clear_refs).
        pathlib.Path(f"/proc/{agent.process.pid}/clear_refs").write_text("5")
        agent.run("import", str(archive), f"size-{size}:1")
        peaks.append(agent.status("VmHWM") / 1024)
        agent.run("rmi", f"size-{size}:1")
        shutil.rmtree(tree)
        archive.unlink()
    return row("import-memory", "MiB", [peaks[1]], [peaks[0]], 1.25)


def idle(agent, runs):
    """The agent's anonymous and resident memory with nothing to do, and the processor time it takes in ten seconds."""
    def ticks():
        fields = open(f"/proc/{agent.process.pid}/stat").read().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    before = ticks()
    time.sleep(10)
    used = (ticks() - before) * 1000 / os.sysconf("SC_CLK_TCK")
    result = row("agent-memory", "MiB anonymous", [agent.status("RssAnon") / 1024], None, None)
    result["note"] = f"{agent.status('VmRSS') / 1024:.1f} MiB resident, {used:.0f} ms of CPU in 10 s"
    return result


def row(name, unit, ours, floor, target):
    middle = statistics.median(ours)
    result = {"name": name, "unit": unit, "ours": middle, "floor": None, "peer": None, "ratio": None, "target": target,
              "met": None, "runs": len(ours), "spread": [min(ours), max(ours)]}
    if floor:
        result["floor"] = statistics.median(floor)
        result["ratio"] = middle / result["floor"]
        if target is not None:
            result["met"] = result["ratio"] <= target
    return result


def image_large(agent, runs):
    """From a registry to a bootable disk: an image of 300 MB."""
    return bench_images.measure(agent, runs, row, "import", bench_images.large_trees)


def image_many(agent, runs):
    """The same for an image of 100,000 files."""
    return bench_images.measure(agent, runs, row, "import-files", bench_images.many_trees)


def standby(agent, runs):
    """Memory to disk and back; rows `standby` and `restore`."""
    return bench_standby.measure(agent, runs, row, PROGRAM, qemu_command)


# First what is measured of the agent alone, before anything has made it grow.
BENCHMARKS = {
    "agent-memory": idle, "import-memory": import_memory, "create-cold": create_cold, "exec": exec_true,
    "standby": standby, "import": image_large, "import-files": image_many,
}
# Those that have an agent in a namespace of its own.
NETWORKED = {"net-throughput": bench_network.throughput, "net-limits": bench_network.limits}
# Those without an agent.
ALONE = {"disk": bench_images.writer, "attach": bench_network.attach}
ALL = [*BENCHMARKS, *ALONE, *NETWORKED, "dbus"]


def show(rows):
    def number(value):
        return "-" if value is None else f"{value:.3f}"

    print(f"{'name':<14} {'unit':<14} {'ours':>9} {'floor':>9} {'ratio':>7} {'target':>7} {'met':>4} {'runs':>5}  spread")
    for entry in rows:
        met = {True: "yes", False: "NO", None: "-"}[entry["met"]]
        spread = " to ".join(number(value) for value in entry["spread"])
        print(f"{entry['name']:<14} {entry['unit']:<14} {number(entry['ours']):>9} {number(entry['floor']):>9} "
              f"{number(entry['ratio']):>7} {number(entry['target']):>7} {met:>4} {entry['runs']:>5}  {spread}"
              + (f"  {entry['note']}" if "note" in entry else ""))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", choices=ALL)
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    chosen = [options.only] if options.only else ALL
    rows = []
    with tempfile.TemporaryDirectory(prefix="hypeman-bench-", dir="/tmp") as directory:
        work = pathlib.Path(directory)
        ordinary = [name for name in chosen if name in BENCHMARKS]
        if ordinary:
            (work / "agent").mkdir()
            agent = Agent(work / "agent")
            try:
                agent.import_busybox()
                for name in ordinary:
                    print(f"==> {name}", file=sys.stderr)
                    measured = BENCHMARKS[name](agent, options.runs)
                    rows += measured if isinstance(measured, list) else [measured]
            finally:
                agent.stop()
        for name in chosen:
            if name in ALONE:
                print(f"==> {name}", file=sys.stderr)
                rows += ALONE[name](work, options.runs, row)
        for name in chosen:
            if name in NETWORKED:
                print(f"==> {name}", file=sys.stderr)
                (work / name).mkdir()
                body = NETWORKED[name]
                rows += bench_network.inside(
                    Agent, work / name,
                    lambda agent, namespace, plain: body(agent, namespace, plain, options.runs, row),
                )
        if "dbus" in chosen:
            print("==> dbus", file=sys.stderr)
            rows += bench_dbus.measure(Agent, work / "dbus", options.runs, row)
    show(rows)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
