#!/usr/bin/python3
"""Makes an instance over D-Bus, runs a command in it, watches it stop, and deletes it.

    client.py IMAGE COMMAND [ARGUMENT…]

Needs Debian's python3-jeepney. DBUS_SYSTEM_BUS_ADDRESS names another bus than the system's.
"""
import sys

from jeepney import DBusAddress, MatchRule, MessageType, Properties, message_bus, new_method_call
from jeepney.io.blocking import open_dbus_connection

NAME = "io.hypeman.Agent1"
MANAGER = DBusAddress("/io/hypeman/Agent1", bus_name=NAME, interface=NAME + ".Manager")
WAIT = 1  # a method that begins an operation answers when that has ended


class Agent:
    def __init__(self):
        self.bus = open_dbus_connection(bus="SYSTEM", enable_fds=True)

    def call(self, object, method, signature=None, *arguments):
        reply = self.bus.send_and_get_reply(new_method_call(object, method, signature, arguments))
        if reply.header.message_type == MessageType.error:
            sys.exit(f"{method}: {reply.body[0]}")
        return reply.body

    def property(self, object, name):
        return self.bus.send_and_get_reply(Properties(object).get(name)).body[0][1]

    def states(self, object):
        """The states that an object is told to be in."""
        signals = {"type": "signal", "interface": "org.freedesktop.DBus.Properties", "path": object.object_path}
        self.bus.send_and_get_reply(message_bus.AddMatch(MatchRule(sender=NAME, **signals)))
        # The bus knows whose the name is; in a message stands who that is.
        with self.bus.filter(MatchRule(**signals), bufsize=100) as queue:
            yield None
            while True:
                _, changed, _ = self.bus.recv_until_filtered(queue, timeout=30).body
                if "State" in changed:
                    yield changed["State"][1]


def main(image, *command):
    agent = Agent()
    specification = {"Name": ("s", "from-python"), "Image": ("s", image), "Labels": ("a{ss}", {"made-by": "client.py"})}
    path, _ = agent.call(MANAGER, "CreateInstance", "a{sv}t", specification, WAIT)
    instance = DBusAddress(path, bus_name=NAME, interface=NAME + ".Instance")
    print(agent.property(instance, "Name"), *agent.call(instance, "Wait", "st", "Running", 60_000_000))

    # The command is this connection's: it would end with it.
    stdin, stdout, stderr, process = agent.call(instance, "OpenExec", "asa{sv}", list(command), {})
    stdin.close()
    with stdout.to_file("rb") as output:
        print(output.read().decode(), end="")
    stderr.close()
    code, _, message = agent.call(DBusAddress(process, bus_name=NAME, interface=NAME + ".Process"), "Wait")
    print(f"ended with {code} {message}".strip())

    states = agent.states(instance)
    next(states)
    agent.call(instance, "Stop", "tt", 0, 0)
    for state in states:
        print(state)
        if state == "Stopped":
            break
    agent.call(instance, "Delete", "t", WAIT)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
