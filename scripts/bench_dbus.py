"""The rows of bench.py about D-Bus: dbus-read, dbus-call, dbus-managed.

The floor is a service of a few lines on sd-bus, in C, on the same bus, called by the same client: it echoes, and has as
many objects with as many properties of the same types.
"""

import json
import os
import pathlib
import signal
import sqlite3
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
COUNT = 2000
OBJECTS = 1000
CONFIGURATION = """<busconfig><type>session</type><listen>unix:path={socket}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy>
</busconfig>"""


class Bus:
    """A private bus with the echo service on it."""

    def __init__(self, work):
        flags = subprocess.run(["pkg-config", "--cflags", "--libs", "libsystemd"], check=True, capture_output=True, text=True)
        self.program = work / "bench_dbus"
        subprocess.run(
            ["clang", "-O2", "-Wall", "-o", self.program, HERE / "bench_dbus.c", *flags.stdout.split()], check=True
        )
        self.address = f"unix:path={work / 'bus'}"
        (work / "bus.conf").write_text(CONFIGURATION.format(socket=work / "bus"))
        self.daemon = subprocess.Popen(
            ["dbus-daemon", f"--config-file={work / 'bus.conf'}", "--nofork", "--nopidfile", "--print-address=1"],
            stdout=subprocess.PIPE,
        )
        self.daemon.stdout.readline()
        self.echo = subprocess.Popen([self.program, "serve", self.address], stdout=subprocess.PIPE)
        self.echo.stdout.readline()

    def time(self, *words):
        """Microseconds for each call."""
        command = [self.program, "time", self.address, str(COUNT), *words]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    def time_managed(self, *words):
        """Microseconds for everything that an object manager has, OBJECTS objects at least."""
        command = [self.program, "managed", self.address, "20", *words, str(OBJECTS)]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    def call(self, *words):
        command = ["busctl", f"--address={self.address}", "--json=short", "call", *words]
        answer = subprocess.run(command, capture_output=True, text=True)
        return json.loads(answer.stdout)["data"] if answer.returncode == 0 else None

    def stop(self):
        for process in (self.echo, self.daemon):
            process.send_signal(signal.SIGKILL)
            process.wait()


def await_name(bus, name):
    deadline = time.monotonic() + 30
    while bus.call("org.freedesktop.DBus", "/", "org.freedesktop.DBus", "NameHasOwner", "s", name) != [True]:
        if time.monotonic() > deadline:
            sys.exit("the agent is not on the bus")
        time.sleep(0.05)


def with_many(agent, agent_type):
    """The next life of an agent, in which it has OBJECTS instances, copies of a stopped one."""
    agent.run("run", "-d", "--name", "many-one", "--memory", "256MB", "--cpus", "1", "bench:1", "sleep", "1000")
    agent.run("stop", "many-one")
    agent.process.send_signal(signal.SIGTERM)
    agent.process.wait(30)
    [path] = (agent.work / "data").glob("*.db")
    with sqlite3.connect(path) as database:
        [(own, body)] = database.execute("SELECT id, body FROM instance").fetchall()
        for number in range(OBJECTS - 1):
            # An id is 24 letters and digits, the first a letter.
            copy, name = f"{own[:-4]}{number:04}", f"many-{number}"
            text = body.decode().replace(own, copy).replace("many-one", name)
            database.execute("INSERT INTO instance (id, name, body) VALUES (?, ?, ?)", (copy, name, text.encode()))
    database.close()
    return agent_type(agent.work)


def measure(agent_type, work, runs, row):
    """Reads of a property and calls of a method, one after the other on one connection."""
    work.mkdir()
    bus = Bus(work)
    os.environ["DBUS"] = bus.address
    (work / "agent").mkdir()
    agent = agent_type(work / "agent")
    try:
        ours = ["io.hypeman.Agent1", "/io/hypeman/Agent1", "io.hypeman.Agent1.Manager"]
        await_name(bus, ours[0])
        agent.import_busybox()
        floor = ["org.example.Bench1", "/bench", "org.example.Bench1"]
        image = bus.call(*ours, "GetImage", "s", "bench:1")[0]
        reads, calls = ([], []), ([], [])
        for _ in range(runs):
            reads[0].append(bus.time(ours[0], image, "io.hypeman.Agent1.Image", "Status"))
            reads[1].append(bus.time(*floor, "State"))
            calls[0].append(bus.time(*ours, "GetImage", "bench:1"))
            calls[1].append(bus.time(*floor, "Echo", "bench:1"))
        rows = [row("dbus-read", "us", *reads, 1.5), row("dbus-call", "us", *calls, 1.5)]
        agent = with_many(agent, agent_type)
        await_name(bus, ours[0])
        managed = [], []
        for _ in range(runs):
            managed[0].append(bus.time_managed(*ours[:2]))
            managed[1].append(bus.time_managed(floor[0], "/many"))
        return [*rows, row("dbus-managed", "us", *managed, 1.5)]
    finally:
        del os.environ["DBUS"]
        agent.stop()
        bus.stop()
