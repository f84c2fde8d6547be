"""The rows of the benchmarks that are about images: from a registry to a bootable disk, and the writer of disks alone.

Both sides write to disk and sync. The floor of `import` downloads and gunzips the layers one after the other; its peer
is what one does without us: skopeo copy, umoci unpack, mkfs.erofs. The floor of `disk` and `disk-lz4` copies the same
bytes; their peer is mkfs.erofs of a tree that is unpacked already, with the same compression.
"""

import functools
import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
BIN = ROOT / os.environ.get("BENCH_BIN", ".build/release")


@functools.cache
def port():
    """A port that nobody listens on, the same each time: the agent is told of it before the registry is there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Registry:
    """Debian's docker-registry on the loopback, with one image."""

    def __init__(self, work):
        self.work = work
        self.host = f"127.0.0.1:{port()}"
        configuration = work / "registry.yml"
        configuration.write_text(
            "version: 0.1\nlog: {level: error}\n"
            f"storage: {{filesystem: {{rootdirectory: {work / 'registry'}}}}}\nhttp: {{addr: '{self.host}'}}\n"
        )
        self.process = subprocess.Popen(
            ["docker-registry", "serve", configuration], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(f"http://{self.host}/v2/").read()
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def push(self, trees, name):
        """Pushes an image with a layer for each tree."""
        layout = self.work / f"{name}-layout"
        run("umoci", "init", "--layout", layout)
        run("umoci", "new", "--image", f"{layout}:1")
        for tree in trees:
            tar = self.work / "layer.tar"
            run("tar", "-cf", tar, "-C", tree, ".")
            run("umoci", "raw", "add-layer", "--image", f"{layout}:1", tar)
            tar.unlink()
        run("skopeo", "copy", "--insecure-policy", "--dest-tls-verify=false", f"oci:{layout}:1", self.reference(name))
        shutil.rmtree(layout)

    def reference(self, name):
        return f"docker://{self.host}/{name}:1"

    def layers(self, name):
        request = urllib.request.Request(
            f"http://{self.host}/v2/{name}/manifests/1",
            headers={"Accept": "application/vnd.oci.image.manifest.v1+json"},
        )
        return [layer["digest"] for layer in json.load(urllib.request.urlopen(request))["layers"]]

    def stop(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def run(*command):
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def large_trees(work):
    """300 MB of this machine's programs and libraries, in three layers."""
    files = sorted(
        (path for top in ("/usr/lib/x86_64-linux-gnu", "/usr/lib", "/usr/bin") for path in pathlib.Path(top).glob("*")
         if path.is_file() and not path.is_symlink()),
        key=lambda path: (-path.stat().st_size, path.name),
    )
    trees, taken, names = [], 0, set()
    for index in range(3):
        tree = work / f"large-{index}"
        tree.mkdir()
        trees.append(tree)
    for path in files:
        size = path.stat().st_size
        if taken + size > 300 << 20 or path.name in names:
            continue
        names.add(path.name)
        shutil.copy(path, trees[len(names) % 3] / path.name)
        taken += size
    return trees


def many_trees(work):
    """100,000 files of some hundred bytes, as a package of sources has them."""
    tree = work / "many"
    for directory in range(500):
        path = tree / f"d{directory % 20}" / f"s{directory}"
        path.mkdir(parents=True)
        for index in range(200):
            (path / f"file-{index}.txt").write_text(f"{directory} {index} " * (index % 60 + 1))
    return [tree]


def time_of(body):
    os.sync()
    began = time.monotonic()
    body()
    return time.monotonic() - began


def download_and_gunzip(registry, name, work):
    """The floor."""
    place = pathlib.Path(tempfile.mkdtemp(dir=work))
    for index, digest in enumerate(registry.layers(name)):
        blob = place / f"{index}.gz"
        run("curl", "-sSf", "-o", blob, f"http://{registry.host}/v2/{name}/blobs/{digest}")
        run("sh", "-c", 'gunzip -c "$1" >"$2" && sync "$1" "$2"', "sh", blob, place / f"{index}.tar")
    shutil.rmtree(place)


def by_tools(registry, name, work):
    """The peer."""
    place = pathlib.Path(tempfile.mkdtemp(dir=work))
    run("skopeo", "copy", "--insecure-policy", "--src-tls-verify=false", registry.reference(name), f"oci:{place}/oci:1")
    run("umoci", "unpack", "--image", f"{place}/oci:1", place / "bundle")
    run("mkfs.erofs", place / "disk", place / "bundle/rootfs")
    run("sync", place / "disk")
    shutil.rmtree(place)


def pull(agent, registry, name):
    """Ours: until the image is ready, its disk synced."""
    agent.run("pull", f"{registry.host}/{name}:1")


def measure(agent, runs, make_row, name, make_trees):
    """One row; the peer, which is slow, runs twice at most."""
    registry = Registry(agent.work)
    ours, floor, peer, peaks = [], [], [], []
    try:
        trees = make_trees(agent.work)
        registry.push(trees, name)
        for tree in trees:
            shutil.rmtree(tree)
        for number in range(runs):
            # Writing 5 makes the kernel count the peak anew (proc(5), clear_refs).
            pathlib.Path(f"/proc/{agent.process.pid}/clear_refs").write_text("5")
            before = agent.status("VmRSS")
            ours.append(time_of(lambda: pull(agent, registry, name)))
            peaks.append((agent.status("VmHWM") - before) / 1024)
            agent.run("rmi", f"{registry.host}/{name}:1")
            floor.append(time_of(lambda: download_and_gunzip(registry, name, agent.work)))
            if number < 2:
                peer.append(time_of(lambda: by_tools(registry, name, agent.work)))
    finally:
        registry.stop()
        shutil.rmtree(agent.work / "registry", ignore_errors=True)
    result = make_row(name, "s", ours, floor, 1.0)
    result["peer"] = statistics.median(peer)
    of_peer = result["ours"] / result["peer"]
    result["met"] = result["met"] and of_peer <= 0.2
    result["note"] = (
        f"{of_peer:.2f} of skopeo + umoci + mkfs.erofs (target 0.2); memory grew by {max(peaks):.0f} MiB at most"
    )
    return result


def write_disk(work, archive, compression):
    """Seconds that the writer alone takes for a tar that it has, and bytes of the disk."""
    place = pathlib.Path(tempfile.mkdtemp(dir=work))
    seconds, size = subprocess.run(
        [BIN / "storage-driver", place, archive, compression], check=True, capture_output=True, text=True
    ).stdout.split()
    shutil.rmtree(place)
    return float(seconds), int(size)


def copy(work, archive):
    """Seconds to copy a tar, read from memory as the writer's is."""
    target = work / "copy"
    took = time_of(lambda: run("sh", "-c", 'cat "$1" >"$2" && sync "$2"', "sh", archive, target))
    target.unlink()
    return took


def make_disk(work, tree, compression):
    """Seconds that mkfs.erofs takes for a tree, and bytes of the disk."""
    target = work / "made"
    option = [] if compression == "none" else [f"-z{compression}"]
    took = time_of(lambda: run("sh", "-c", 'mkfs.erofs "$@" && sync "$0"', target, *option, target, tree))
    size = target.stat().st_size
    target.unlink()
    return took, size


def writer(work, runs, make_row):
    """The writer alone, 300 MB, plain and compressed, and 100,000 files."""
    rows = []
    for name, make_trees, compression in (
        ("disk", large_trees, "none"), ("disk-lz4", large_trees, "lz4"), ("disk-files", many_trees, "none")
    ):
        place = work / name
        place.mkdir()
        trees = make_trees(place)
        for tree in trees[1:]:
            for path in tree.iterdir():
                path.rename(trees[0] / path.name)
        archive = place / "tree.tar"
        run("tar", "-cf", archive, "-C", trees[0], ".")
        ours, floor, peer = [], [], []
        for _ in range(runs):
            took, size = write_disk(place, archive, compression)
            ours.append(took)
            floor.append(copy(place, archive))
            took, made = make_disk(place, trees[0], compression)
            peer.append(took)
        entry = make_row(name, "s", ours, floor, None)
        entry["peer"] = statistics.median(peer)
        bytes_of_tar = archive.stat().st_size
        entry["note"] = (
            f"{bytes_of_tar / 1e6 / entry['ours']:.0f} MB/s of tar; {entry['ours'] / entry['peer']:.2f} of mkfs.erofs, which "
            f"needs it unpacked; {size / bytes_of_tar:.2f} of the tar's size, mkfs.erofs's {made / bytes_of_tar:.2f}"
        )
        rows.append(entry)
        shutil.rmtree(place)
    return rows
