"""Standby and restore against the VMM's own migration by hand: the same machine, the same memory, one file."""

import json
import os
import pathlib
import socket
import subprocess
import sys
import time

READY = b"bench: program started"
# To ask a VMM how far it is; the agent asks as often at the most.
PAUSE = 0.002


class QMP:
    """A control connection, as little as is needed of it."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        deadline = time.monotonic() + 10
        while True:
            try:
                self.socket.connect(str(path))
                break
            except (FileNotFoundError, ConnectionRefusedError):
                if time.monotonic() > deadline:
                    sys.exit("QEMU by hand does not listen")
                time.sleep(0.001)
        self.lines = self.socket.makefile("r")
        self.lines.readline()
        self.ask("qmp_capabilities")

    def ask(self, command, file=None, **arguments):
        line = json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n"
        if file is None:
            self.socket.sendall(line)
        else:
            socket.send_fds(self.socket, [line], [file])
        while True:
            answer = json.loads(self.lines.readline())
            if "error" in answer:
                sys.exit(f"QEMU by hand refuses {command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def wait(self):
        while (status := self.ask("query-migrate").get("status")) != "completed":
            if status in ("failed", "cancelled"):
                sys.exit(f"the migration by hand is {status}")
            time.sleep(PAUSE)


def spawn(command, directory, *more):
    """The machine of a command line of the agent's, its sockets in another directory and its console on a pipe."""
    runtime = next(word for word in command if "qmp.sock" in word).split("path=")[1].split("/qmp.sock")[0]
    words = [word.replace(runtime, str(directory)) for word in command] + list(more)
    index = next(number for number, word in enumerate(words) if word.startswith("socket,id=console,"))
    words[index] = "stdio,id=console"
    return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def by_hand(command, directory):
    """Seconds that QEMU takes to save the machine and end, and to start and take it up again."""
    directory.mkdir()
    machine = spawn(command, directory)
    control = QMP(directory / "qmp.sock")
    control.ask("cont")
    for line in machine.stdout:
        if READY in line:
            break
    began = time.monotonic()
    control.ask("stop")
    control.ask("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
    file = os.open(directory / "memory", os.O_CREAT | os.O_WRONLY, 0o600)
    control.ask("getfd", file=file, fdname="snapshot")
    control.ask("migrate", uri="fd:snapshot")
    control.wait()
    os.fsync(file)
    os.close(file)
    machine.kill()
    machine.wait()
    saved = time.monotonic() - began

    began = time.monotonic()
    machine = spawn(command, directory, "-incoming", "defer")
    control = QMP(directory / "qmp.sock")
    file = os.open(directory / "memory", os.O_RDONLY)
    control.ask("getfd", file=file, fdname="snapshot")
    control.ask("migrate-incoming", uri="fd:snapshot")
    control.wait()
    os.close(file)
    control.ask("cont")
    taken = time.monotonic() - began
    machine.kill()
    machine.wait()
    return saved, taken


def measure(agent, runs, row, program, command_of):
    """Rows `standby` and `restore`, both until the command line returns; for a restore the guest has answered by then."""
    ours, floors = ([], []), ([], [])
    for number in range(runs):
        name = f"sleeper-{number}"
        identity = agent.run("run", "-d", "--name", name, "--memory", "256MB", "--cpus", "1", "bench:1", *program)
        agent.run("exec", name, "true")
        command = command_of(identity)
        for index, word in enumerate(("standby", "restore")):
            began = time.monotonic()
            agent.run(word, name)
            ours[index].append(time.monotonic() - began)
        agent.run("exec", name, "true")
        agent.run("stop", name)
        for index, seconds in enumerate(by_hand(command, pathlib.Path(agent.work / f"sleep-{number}"))):
            floors[index].append(seconds)
        agent.run("rm", name)
    return [row(word, "s", ours[index], floors[index], 1.1) for index, word in enumerate(("standby", "restore"))]
