"""Makes the disk that brings what was built into the host under test, mounted there as /payload:

  bin/       the debug programs, the test bundle, and the libraries of Swift that they load
  guest/     kernel and initrd of the guests
  checks/    Tests/System; `selected` names those that are run, one a line
  packages/  .deb files to install, if there are any
  environment  variables of the checks
"""

import os
import pathlib
import re
import shutil

from settings import CACHE, CHECKS, GUEST, PAYLOAD_LABEL, PRODUCTS, SPECIFICATION, Failure, phase, run

PROGRAMS = ["hypeman-agent", "hypeman", "network-driver", "cloud-hypervisor-stub", "hypeman-agentPackageTests.xctest"]


def choose(words):
    """The names of the checks that contain one of the words, or all without any; and none of those after a `-`."""
    names = sorted(file.name for file in CHECKS.glob("[0-9]*.sh"))
    wanted = [word for word in words if not word.startswith("-")]
    others = [word[1:] for word in words if word.startswith("-")]

    def has(name, words):
        return any(word in name for word in words)

    if unknown := [word for word in wanted + others if not any(word in name for name in names)]:
        raise Failure(f"no check is called like {' or '.join(unknown)}; there are {', '.join(names)}")
    selected = [name for name in names if (not wanted or has(name, wanted)) and not has(name, others)]
    if not selected:
        raise Failure("there is no check left to run")
    return selected


def build(selected):
    """Leaves payload.ext4 in the cache, for these checks."""
    with phase("bring in what was built"):
        tree = CACHE / "payload"
        shutil.rmtree(tree, ignore_errors=True)
        try:
            fill(tree)
            (tree / "selected").write_text("".join(f"{name}\n" for name in selected))
            size = sum(file.lstat().st_size for file in tree.rglob("*")) // 1024
            disk = CACHE / "payload.ext4"
            disk.unlink(missing_ok=True)
            # The file system's own tables are small against a quarter.
            run(["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-L", PAYLOAD_LABEL, "-d", tree, disk,
                 f"{size * 5 // 4 + 32768}k"])
        finally:
            shutil.rmtree(tree, ignore_errors=True)


def fill(tree):
    programs = tree / "bin"
    for name in PROGRAMS:
        add(PRODUCTS / name, programs / name, "run: swift build --build-tests")
    for bundle in PRODUCTS.glob("*.resources"):
        shutil.copytree(bundle, programs / bundle.name)
    # The programs look for libraries beside themselves as well ($ORIGIN); Debian's own come from its packages.
    for library in runtime_libraries():
        add(library, programs / library.name)
    add(SPECIFICATION, programs / SPECIFICATION.name)
    for name in ("kernel/vmlinux", "initrd"):
        add(GUEST / name, tree / "guest" / name, "run: make guest")
    shutil.copytree(CHECKS, tree / "checks")
    variables = {}
    # One path or several, as the agent reads it.
    inside = []
    for number, path in enumerate(filter(None, os.environ.get("CLOUD_HYPERVISOR", "").split(":"))):
        inside.append(f"bin/cloud-hypervisor-{number}")
        add(pathlib.Path(path), tree / inside[-1], "CLOUD_HYPERVISOR names it")
    if inside:
        variables["CLOUD_HYPERVISOR"] = ":".join(f"/payload/{path}" for path in inside)
    (tree / "packages").mkdir()
    for package in os.environ.get("PACKAGES", "").split():
        add(pathlib.Path(package), tree / "packages" / pathlib.Path(package).name, "PACKAGES names it")
    (tree / "environment").write_text("".join(f"{name}={value}\n" for name, value in variables.items()))


def add(source, target, otherwise=""):
    if not source.is_file():
        raise Failure(f"there is no {source}" + (f" ({otherwise})" if otherwise else ""))
    target.parent.mkdir(parents=True, exist_ok=True)
    source = source.resolve()
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def runtime_libraries():
    """The libraries of the programs that come from no Debian package but with the compiler."""
    found = set()
    for name in PROGRAMS:
        for path in re.findall(r"=> (/\S+)", run(["ldd", PRODUCTS / name])):
            if not path.startswith(("/lib/", "/lib64/", "/usr/lib/")):
                found.add(pathlib.Path(path))
    return sorted(found)
