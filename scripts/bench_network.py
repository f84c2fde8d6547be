"""The rows of bench.py about the network: attach, attach-500, net-throughput, net-limits.

Each works in network namespaces of its own. What the kernel alone does for an attach is measured by hand, by ioctl and
netlink from here, in the same run and on the same bridges.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import pathlib
import re
import socket
import statistics
import struct
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BIN = ROOT / os.environ.get("BENCH_BIN", ".build/release")
LIBC = ctypes.CDLL(None, use_errno=True)
MANY = 500


class Namespace:
    """A network namespace that forwards, with nothing else in it."""

    def __init__(self, name):
        self.name = f"hypbench-{os.getpid()}-{name}"
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        self.run("ip", "link", "set", "lo", "up")
        self.run("sysctl", "-qw", "net.ipv4.ip_forward=1")

    def command(self, *words):
        return ["ip", "netns", "exec", self.name, *map(str, words)]

    def run(self, *words):
        return subprocess.run(self.command(*words), check=True, capture_output=True, text=True).stdout

    @contextlib.contextmanager
    def entered(self):
        """This thread is inside, to open descriptors that then stay there (setns(2))."""
        own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        other = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
        try:
            if LIBC.setns(other, 0) != 0:
                raise OSError(ctypes.get_errno(), "setns")
            yield
        finally:
            LIBC.setns(own, 0)
            os.close(own)
            os.close(other)

    def remove(self):
        subprocess.run(["ip", "netns", "del", self.name], check=True)


class Driver:
    """A network-driver in a namespace, and a socket to do the kernel's part by hand on its bridge."""

    def __init__(self, work, namespace, attached):
        directory = work / namespace.name
        directory.mkdir()
        self.log = directory / "log"
        self.process = subprocess.Popen(
            namespace.command(BIN / "network-driver", directory / "network"),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=open(self.log, "wb"), text=True, bufsize=1,
        )
        self.tell(f"reconcile {attached}")
        self.number = attached + 1
        self.namespace = namespace
        with namespace.entered():
            self.netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)  # NETLINK_ROUTE
            self.bridge = socket.if_nametoindex("vmbr0")

    def tell(self, command):
        self.process.stdin.write(command + "\n")
        while True:
            line = self.process.stdout.readline().strip()
            if line == "done":
                return
            if line != "attaching":
                sys.exit(f"network-driver, {command}: '{line}'\n{self.log.read_text(errors='replace')[-4000:]}")

    def attach(self, *options):
        """Attaches and detaches one more instance; the times of the attach's steps in seconds."""
        self.tell(" ".join(["attach", str(self.number), *options]))
        self.tell(f"detach {self.number}")
        line = [line for line in self.log.read_text(errors="replace").splitlines() if "attached (times" in line][-1]
        return {step: int(took) / 1e6 for step, took in re.findall(r"\b(ports|frames|names|device)=(\d+)", line)}

    def request(self, kind, header, *attributes):
        """Sends one netlink message (rtnetlink(7)) and waits for its acknowledgement."""
        body = header
        for number, content in attributes:
            body += struct.pack("HH", 4 + len(content), number) + content + bytes(-len(content) % 4)
        self.netlink.send(struct.pack("IHHII", 16 + len(body), kind, 5, 0, 0) + body)  # NLM_F_REQUEST | NLM_F_ACK
        code, = struct.unpack_from("i", self.netlink.recv(65536), 16)
        if code != 0:
            raise OSError(-code, os.strerror(-code))

    def by_hand(self):
        """Makes a TAP, puts it onto the bridge, starts it; then removes it. The seconds of both."""
        with self.namespace.entered():
            began = time.monotonic()
            tap = os.open("/dev/net/tun", os.O_RDWR)
            fcntl.ioctl(tap, 0x400454CA, struct.pack("16sH22x", b"byhand", 0x5002))  # TUNSETIFF: IFF_TAP | IFF_NO_PI | IFF_VNET_HDR
            fcntl.ioctl(tap, 0x400454CB, 1)  # TUNSETPERSIST
            index = socket.if_nametoindex("byhand")
            link = lambda flags: struct.pack("BxHiII", 0, 0, index, flags, flags)
            self.request(19, link(0), (10, struct.pack("I", self.bridge)))  # RTM_SETLINK, IFLA_MASTER
            self.request(19, link(1))  # IFF_UP
            os.close(tap)
            made = time.monotonic() - began
            began = time.monotonic()
            self.request(17, link(0))  # RTM_DELLINK
            return made, time.monotonic() - began

    def stop(self):
        self.tell("teardown")
        self.process.stdin.close()
        self.process.wait(60)
        self.netlink.close()


def spawn_true():
    """A spawn of `true`, until it has ended."""
    began = time.monotonic()
    os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)
    return time.monotonic() - began


def total(steps):
    return sum(steps.values())


def middle(samples, step=None):
    return statistics.median(total(sample) if step is None else sample[step] for sample in samples)


def attach(work, runs, row):
    """Attaching one instance with none and with 500 others attached, in turn: plain, with limits, with a published port."""
    runs = max(runs, 5) * 4
    spaces, drivers = [], []
    try:
        for name, count in (("none", 0), ("many", MANY)):
            spaces.append(Namespace(name))
            drivers.append(Driver(work, spaces[-1], count))
        none, many = drivers
        options = {"plain": [], "limits": ["limits"], "port": ["port"]}
        samples = {(driver, kind): [] for driver in drivers for kind in options}
        bare = {driver: [] for driver in drivers}
        floor = []
        for driver in drivers:
            for words in options.values():
                driver.attach(*words)
        for _ in range(runs):
            for driver in drivers:
                floor.append(spawn_true())
                bare[driver].append(driver.by_hand())
                for kind, words in options.items():
                    samples[driver, kind].append(driver.attach(*words))
    finally:
        for driver in drivers:
            driver.stop()
        for space in spaces:
            space.remove()

    def items(driver):
        plain, limits, port = (samples[driver, kind] for kind in options)
        parts = {"TAP": middle(plain, "device"), "limits": middle(limits, "device") - middle(plain, "device"),
                 "sets": middle(plain, "frames"), "names": middle(plain, "names"), "port": middle(port, "ports")}
        hand = statistics.median(made for made, _ in bare[driver])
        return (", ".join(f"{what} {1000 * took:.2f}" for what, took in parts.items())
                + f"; of the TAP the kernel alone {1000 * hand:.2f} ms by hand")

    def kernel(place):
        return statistics.median(b[place] for b in bare[many]) / statistics.median(b[place] for b in bare[none])

    rows = []
    for kind, suffix in (("plain", ""), ("port", "-port"), ("limits", "-limits")):
        rows.append(row(f"attach{suffix}", "s", [total(s) for s in samples[none, kind]], floor, 5))
        rows.append(row(f"attach{suffix}-{MANY}", "s", [total(s) for s in samples[many, kind]],
                        [total(s) for s in samples[none, kind]], 1.3))
    rows[0]["note"] = f"ms: {items(none)}"
    rows[1]["note"] = f"ms: {items(many)}; by hand a TAP's making grows {kernel(0):.2f}x, its removal {kernel(1):.2f}x"
    return rows


def by_hand_machine(agent, name, namespace):
    """The command line of an instance's QEMU with a plain TAP in another namespace, run there when the instance is
    stopped."""
    for entry in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = [word.decode() for word in entry.read_bytes().split(b"\0")[:-1]]
        except OSError:
            continue
        if words and "qemu" in words[0] and any(name in word for word in words):
            break
    else:
        sys.exit(f"no QEMU runs {name}")
    agent.run("stop", name)
    sockets = agent.work / "hand-network"
    sockets.mkdir()
    runtime = next(word for word in words if "qmp.sock" in word).split("path=")[1].split("/qmp.sock")[0]
    words = [re.sub(r'"ifname":"[^"]+"', '"ifname":"hand0"', word.replace(runtime, str(sockets))) for word in words if word != "-S"]
    namespace.run("ip", "tuntap", "add", "hand0", "mode", "tap", "vnet_hdr")
    namespace.run("ip", "address", "add", "10.100.0.1/16", "dev", "hand0")
    namespace.run("ip", "link", "set", "hand0", "up")
    log = open(agent.work / "hand-network.log", "wb")
    return subprocess.Popen(namespace.command(*words), stdin=subprocess.DEVNULL, stdout=log, stderr=log)


SERVERS = ("while :; do busybox nc -l -p 9001 </dev/null >/dev/null; done & "
           "while :; do busybox nc -l -p 9002 </dev/zero >/dev/null; done & exec sleep 100000")


def rate(namespace, direction, address, device=None):
    """The rate of one connection over 3 seconds, in bits a second; waits until the guest serves."""
    words = [ROOT / "scripts/network_rate.py", direction, address, 9001 if direction == "send" else 9002, 1]
    deadline = time.monotonic() + 120
    while True:
        result = subprocess.run(namespace.command("python3", *words, *([device] if device else [])), capture_output=True, text=True)
        if result.returncode == 0:
            return json.loads(result.stdout.splitlines()[-1])["frames" if device else "payload"]
        if time.monotonic() > deadline:
            sys.exit(f"nobody serves at {address}: {result.stderr}")
        time.sleep(0.5)


def inside(agent_type, work, body):
    """Runs `body` with an agent on the bridge network in a namespace."""
    namespace, plain = Namespace("agent"), Namespace("hand")
    try:
        agent = agent_type(work, namespace)
        try:
            agent.import_busybox()
            return body(agent, namespace, plain)
        finally:
            agent.stop()
            subprocess.run(namespace.command(BIN / "hypeman-agent", "network", "teardown"), env=agent.environment,
                           check=True, capture_output=True)
    finally:
        namespace.remove()
        plain.remove()


def throughput(agent, namespace, plain, runs, row):
    """One TCP connection between host and guest, both ways, against the same VMM on a plain TAP; in turn."""
    _, hand = (agent.run("run", "-d", "--memory", "256MB", "bench:1", "sh", "-c", SERVERS) for _ in range(2))
    rate(namespace, "receive", "10.100.0.3")
    machine = by_hand_machine(agent, hand, plain)
    try:
        samples = {direction: ([], []) for direction in ("send", "receive")}
        for _ in range(runs):
            for direction, (ours, floor) in samples.items():
                ours.append(rate(namespace, direction, "10.100.0.2"))
                floor.append(rate(plain, direction, "10.100.0.3"))
    finally:
        machine.kill()
        machine.wait()
    rows = []
    for direction, name in (("send", "net-download"), ("receive", "net-upload")):
        ours, floor = samples[direction]
        entry = row(name, "Gbit/s", [bits / 1e9 for bits in ours], [bits / 1e9 for bits in floor], 0.95)
        entry["met"] = entry["ratio"] >= 0.95
        rows.append(entry)
    return rows


def limits(agent, namespace, plain, runs, row):
    """A VM with a limit of 100 Mbit/s each way, which an emulated guest can reach, counted in whole frames; the floor is
    the limit."""
    options = ["--bandwidth-up", "100Mbps", "--bandwidth-down", "100Mbps"]
    agent.run("run", "-d", "--name", "limited", "--memory", "256MB", *options, "bench:1", "sh", "-c", SERVERS)
    rows = []
    for direction, name, device in (("send", "limit-down", "hyptap0a640002"), ("receive", "limit-up", "hypifb0a640002")):
        rates = [rate(namespace, direction, "10.100.0.2", device) for _ in range(runs)]
        entry = row(name, "Gbit/s", [bits / 1e9 for bits in rates], [0.1], 0.95)
        entry["met"] = 0.95 <= entry["ratio"] <= 1.05
        rows.append(entry)
    return rows
