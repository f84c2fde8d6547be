#!/usr/bin/env python3
"""network_rate.py {send|receive} ADDRESS PORT WINDOWS [DEVICE [LIMIT]]: the rate of a TCP connection, in windows of 3 s.

Sends to a server, or receives what it sends, as fast as it goes, and prints for each window, as a line of JSON, the bits
a second: `payload`, and with a DEVICE `frames`, which is what went through that device's token bucket, in whole frames
as the bucket counts them. It ends early after a window that is within 5 % of a LIMIT. The first half second, in which
the bucket still holds its burst, is in no window.
"""

import json
import socket
import subprocess
import sys
import threading
import time


def main():
    direction, address, port, windows = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    device = sys.argv[5] if len(sys.argv) > 5 else None
    limit = int(sys.argv[6]) if len(sys.argv) > 6 else None
    connection = socket.create_connection((address, port), 60)
    connection.settimeout(None)
    moved = 0

    def move():
        nonlocal moved
        chunk = bytes(1 << 17)
        buffer = bytearray(1 << 20)
        while True:
            try:
                moved += connection.send(chunk) if direction == "send" else connection.recv_into(buffer)
            except OSError:
                return

    def frames():
        listing = json.loads(subprocess.check_output(["tc", "-s", "-j", "qdisc", "show", "dev", device]))
        return next(entry["bytes"] for entry in listing if entry["kind"] == "tbf")

    def sample():
        return time.monotonic(), moved, frames() if device else None

    threading.Thread(target=move, daemon=True).start()
    time.sleep(0.5)
    before = sample()
    for _ in range(windows):
        time.sleep(3)
        after = sample()
        seconds = after[0] - before[0]
        rates = {"payload": 8 * (after[1] - before[1]) / seconds}
        if device:
            rates["frames"] = 8 * (after[2] - before[2]) / seconds
        print(json.dumps(rates), flush=True)
        if limit and abs(rates["frames"] / limit - 1) <= 0.05:
            return
        before = after


main()
