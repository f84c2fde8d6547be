"""Standby and restore against the VMM's own migration by hand: the same machine, the same memory, one file."""

import http.client
import json
import os
import pathlib
import queue
import socket
import subprocess
import sys
import threading
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


class API(http.client.HTTPConnection):
    """The agent's HTTP API on its socket."""

    def __init__(self, agent):
        super().__init__("localhost", timeout=120)
        self.path = agent.environment["HYPEMAN_SOCKET"]

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self.path)

    def post(self, path):
        self.request("POST", path)
        answer = self.getresponse()
        body = answer.read()
        if answer.status != 200:
            sys.exit(f"POST {path}: {answer.status} {body.decode()}")


class States:
    """When each state of an instance was told by the agent's event stream."""

    def __init__(self, agent):
        self.api = API(agent)
        self.api.request("GET", "/events")
        self.answer = self.api.getresponse()
        self.told = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        try:
            while line := self.answer.readline():
                if line.startswith(b"data:"):
                    event = json.loads(line[5:])
                    if event["kind"] == "instance.state":
                        self.told.put((time.monotonic(), event["attributes"]["state"]))
        except (OSError, ValueError):
            pass

    def when(self, state, since):
        """Waits for a state that was told after a moment."""
        while True:
            moment, told = self.told.get(timeout=60)
            if told == state and moment >= since:
                return moment


def session_of(command):
    """The secret of the guest's channel, from the instance's configuration disk."""
    disk = next(word for word in command if "config.img" in word)
    text = pathlib.Path(json.loads(disk)["file"]["filename"]).read_bytes().split(b"\0")[0]
    return json.loads(text)["session"].encode()


def greet(path, session):
    """Waits until the guest has answered on its channel, as its session begins (Sources/GuestTransport)."""
    nonce = os.urandom(16).hex().encode()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
        channel.connect(str(path))
        channel.sendall(b"\xf5hypeman-session:" + session + nonce)
        said = b""
        while b"hypeman-answer:" + nonce not in said:
            more = channel.recv(4096)
            if not more:
                sys.exit("the guest by hand closed its channel")
            said += more


def by_hand(command, session, directory):
    """Seconds that QEMU takes to save the machine and end, to start and take it up again, and until its guest answers."""
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
    greet(directory / "channel.sock", session)
    answered = time.monotonic() - began
    machine.kill()
    machine.wait()
    return saved, taken, answered


def measure(agent, runs, row, program, command_of):
    """Rows `standby`, until the answer; `restore`, until the machine runs; `restore-answer`, until the guest has been
    told the time, against the first word of a guest that was taken up by hand. Over HTTP, as a program asks."""
    words = ("standby", "restore", "restore-answer")
    ours, floors = ([], [], []), ([], [], [])
    api, states = API(agent), States(agent)
    for number in range(runs):
        name = f"sleeper-{number}"
        identity = agent.run("run", "-d", "--name", name, "--memory", "256MB", "--cpus", "1", "bench:1", *program)
        agent.run("exec", name, "true")
        command = command_of(identity)
        session = session_of(command)
        began = time.monotonic()
        api.post(f"/instances/{name}/standby")
        ours[0].append(time.monotonic() - began)
        began = time.monotonic()
        api.post(f"/instances/{name}/restore")
        ours[2].append(time.monotonic() - began)
        ours[1].append(states.when("Running", began) - began)
        agent.run("exec", name, "true")
        agent.run("stop", name)
        for index, seconds in enumerate(by_hand(command, session, agent.work / f"sleep-{number}")):
            floors[index].append(seconds)
        agent.run("rm", name)
    # No promise is made of the guest's own time.
    targets = (1.1, 1.1, None)
    return [row(word, "s", ours[index], floors[index], targets[index]) for index, word in enumerate(words)]
