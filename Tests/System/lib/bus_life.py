#!/usr/bin/env python3
"""bus_life.py NAME IMAGE: the life of an instance over the system bus alone, without polling: it is made, runs a command by
passed descriptors, its log is read, it is stopped and deleted. Prints a line for each step, and ends with 1 at the first
that is not as it should be."""

import os
import sys
import time

from jeepney import DBusAddress, MatchRule, message_bus, new_method_call
from jeepney.io.blocking import Proxy, open_dbus_connection

NAME = "io.hypeman.Agent1"
ROOT = "/io/hypeman/Agent1"
PROGRAM = 'trap "echo bye; exit 0" TERM; echo up; while :; do sleep 1; done'
# For an answer that begins or ends a guest.
PATIENCE = 120
# The answer is given when the operation has ended.
WAITS = 1


class Client:
    def __init__(self):
        self.bus = open_dbus_connection("SYSTEM", enable_fds=True)
        self.signals = []
        for rule in (
            MatchRule(type="signal", sender=NAME, interface="org.freedesktop.DBus.ObjectManager"),
            MatchRule(type="signal", sender=NAME, interface="org.freedesktop.DBus.Properties"),
        ):
            Proxy(message_bus, self.bus).AddMatch(rule)

    def call(self, path, interface, method, signature="", *arguments):
        address = DBusAddress(path, NAME, f"{NAME}.{interface}")
        message = new_method_call(address, method, signature or None, arguments)
        # Signals that come before the reply are kept.
        with self.bus.filter(MatchRule(type="signal"), queue=Recorder(self.signals)):
            reply = self.bus.send_and_get_reply(message, timeout=PATIENCE)
        if reply.header.message_type.name == "error":
            sys.exit(f"{method}: {reply.body}")
        return reply.body

    def heard(self, path, member, expected):
        """Waits for a signal about an object; no question is asked meanwhile."""
        deadline = time.monotonic() + PATIENCE
        while True:
            for index, message in enumerate(self.signals):
                fields = {field.name: value for field, value in message.header.fields.items()}
                about = message.body[0] if member.startswith("Interfaces") else fields["path"]
                if fields["member"] == member and about == path and expected(message.body):
                    del self.signals[: index + 1]
                    return
            message = self.bus.receive(timeout=deadline - time.monotonic())
            if message.header.message_type.name == "signal":
                self.signals.append(message)


class Recorder:
    """What jeepney puts filtered messages into."""

    def __init__(self, messages):
        self.append = messages.append


def read_all(descriptor):
    with descriptor.to_file("rb") as file:
        return file.read()


def main():
    name, image = sys.argv[1:]
    client = Client()
    specification = {
        "Name": ("s", name), "Image": ("s", image), "Command": ("as", ["sh", "-c", PROGRAM]),
        "Memory": ("t", 256 << 20), "VCPUs": ("u", 1),
    }
    instance, _ = client.call(ROOT, "Manager", "CreateInstance", "a{sv}t", specification, WAITS)
    client.heard(instance, "InterfacesAdded", lambda body: f"{NAME}.Instance" in body[1])
    print("it was made, and its object was announced")

    def is_state(state):
        return lambda body: body[1].get("State", ("s", None))[1] == state

    client.heard(instance, "PropertiesChanged", is_state("Running"))
    print("its state was told")

    stdin, stdout, stderr, process = client.call(
        instance, "Instance", "OpenExec", "asa{sv}", ["sh", "-c", "read line; echo got $line; echo wrong >&2; exit 7"], {}
    )
    with stdin.to_file("wb") as file:
        file.write(b"a line\n")
    said = read_all(stdout), read_all(stderr)
    if said != (b"got a line\n", b"wrong\n"):
        sys.exit(f"the command said {said}")
    code = client.call(process, "Process", "Wait")[0]
    if code != 7:
        sys.exit(f"the command ended with {code}")
    print("a command ran by passed descriptors")

    client.call(instance, "Instance", "Stop", "tt", 30_000_000, WAITS)
    client.heard(instance, "PropertiesChanged", is_state("Stopped"))
    log = read_all(client.call(instance, "Instance", "OpenLogs", "a{sv}", {})[0])
    if log != b"up\nbye\n":
        sys.exit(f"its log says {log}")
    print("it was asked to end, and its log says so")

    client.call(instance, "Instance", "Delete", "t", WAITS)
    client.heard(instance, "InterfacesRemoved", lambda body: f"{NAME}.Instance" in body[1])
    print("it was deleted, and its object was taken back")


if __name__ == "__main__":
    main()
