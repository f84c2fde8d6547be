#!/usr/bin/env python3
"""make-initrd.py MODULES INIT CPIO: writes the guest's initrd as a cpio archive.

The archive is in the "newc" format (Linux, Documentation/driver-api/early-userspace/buffer-format.rst), written entry
by entry, so that /dev/console needs no privileges. /modules.list names the modules in an order in which each comes after
those that it needs, each line with the stage in which hypeman-init loads it.
"""
import os
import sys

# What each stage needs; what those need in turn is read from modules.dep. A kernel that has one of them built in, or
# does not have it at all, is left as it is: the guest says what it misses.
STAGES = [
    ("boot", ["virtio_pci", "virtio_mmio", "virtio_blk", "virtio_console", "erofs", "overlay"]),
    ("vsock", ["vmw_vsock_virtio_transport"]),
    ("network", ["virtio_net"]),
    ("later", ["virtio_rng", "virtio_balloon"]),
]


class Archive:
    """A newc archive under construction; the same input gives the same bytes."""

    def __init__(self):
        self.parts = []
        self.size = 0
        self.inode = 0
        self.directories = set()

    def _put(self, data):
        self.parts.append(data)
        self.size += len(data)
        padding = -self.size % 4
        if padding:
            self.parts.append(bytes(padding))
            self.size += padding

    def add(self, name, mode, data=b"", device=(0, 0)):
        self.inode += 1
        fields = [self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name) + 1, 0]
        header = "070701" + "".join(f"{field:08x}" for field in fields)
        self._put(header.encode() + name.encode() + b"\0")
        if data:
            self._put(data)

    def directory(self, name):
        if name in ("", ".") or name in self.directories:
            return
        self.directory(os.path.dirname(name))
        self.directories.add(name)
        self.add(name, 0o040755)

    def file(self, name, data, mode):
        self.directory(os.path.dirname(name))
        self.add(name, 0o100000 | mode, data)

    def finish(self):
        self.inode = -1
        self.add("TRAILER!!!", 0)
        return b"".join(self.parts)


def dependencies(modules):
    """From a module's name to its file, and from a file to those that it needs."""
    files, needs = {}, {}
    with open(os.path.join(modules, "modules.dep"), encoding="utf-8") as lines:
        for line in lines:
            file, _, rest = line.partition(":")
            name = os.path.basename(file).split(".")[0].replace("-", "_")
            files[name] = file
            needs[file] = rest.split()
    return files, needs


def load_order(modules):
    """(stage, file) for every module, dependencies first, each once."""
    files, needs = dependencies(modules)
    order, seen = [], set()

    def visit(stage, file):
        if file in seen:
            return
        seen.add(file)
        # modules.dep lists the direct and the indirect ones, the last first (modules.dep(5)).
        for needed in reversed(needs[file]):
            visit(stage, needed)
        order.append((stage, file))

    for stage, names in STAGES:
        for name in names:
            if name in files:
                visit(stage, files[name])
            else:
                print(f"make-initrd.py: {name} is no module of this kernel", file=sys.stderr)
    return order


def main():
    if len(sys.argv) != 4:
        sys.exit("usage: make-initrd.py MODULES INIT CPIO")
    modules, init, out = sys.argv[1:]
    archive = Archive()
    for name in ("dev", "proc", "sys", "newroot", "lower", "writable", "modules"):
        archive.directory(name)
    archive.add("dev/console", 0o020600, device=(5, 1))
    with open(init, "rb") as file:
        archive.file("init", file.read(), 0o755)
    lines = []
    for stage, file in load_order(modules):
        if not file.endswith(".ko"):
            sys.exit(f"make-initrd.py: {file} is compressed, which finit_module does not undo")
        name = "modules/" + os.path.basename(file)
        lines.append(f"{stage} {name}\n")
        with open(os.path.join(modules, file), "rb") as module:
            archive.file(name, module.read(), 0o644)
    archive.file("modules.list", "".join(lines).encode(), 0o644)
    with open(out, "wb") as file:
        file.write(archive.finish())


main()
