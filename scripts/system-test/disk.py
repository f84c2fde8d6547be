"""Makes the disk of the host under test: Debian 12 with systemd, and what hypeman-agent needs of a host.

Nothing is mounted and no loop device is used. Without root the packages are unpacked in a user namespace.
"""

import hashlib
import io
import os
import pathlib
import shutil
import tarfile

from settings import CACHE, PAYLOAD_LABEL, Failure, phase, run

SUITE = "bookworm"
# Sparse: it takes what is in it, some 600 MB.
SIZE = "6G"

PACKAGES = [
    # a host: its init, bus and authorisation, its journal, its machines' registry
    "systemd-sysv", "libpam-systemd", "dbus", "polkitd", "systemd-container", "udev", "kmod", "procps",
    # The cloud kernel has KVM for both vendors, virtio and what bridges and rules need, and boots fast.
    "linux-image-cloud-amd64", "initramfs-tools",
    # what hypeman-agent runs
    "qemu-system-x86", "dnsmasq-base", "iproute2", "iptables", "nftables", "e2fsprogs",
    # what a debug build and its test bundle load
    "libisal2", "liblz4-1", "libsqlite3-0", "libstdc++6", "libzstd1", "zlib1g",
    # what tests and checks use
    "busybox-static", "ca-certificates", "curl", "erofs-utils", "jq", "python3", "python3-jeepney",
]

FILES = {
    "/etc/hostname": "host\n",
    "/etc/hosts": "127.0.0.1 localhost host\n",
    "/etc/fstab": (
        "/dev/vda / ext4 defaults,discard 0 1\n"
        f"LABEL={PAYLOAD_LABEL} /payload ext4 ro 0 0\n"
    ),
    # The journal of a boot can be read in the next one.
    "/etc/systemd/journald.conf.d/test.conf": "[Journal]\nStorage=persistent\nRuntimeMaxUse=64M\nSystemMaxUse=256M\n",
    "/etc/systemd/system/system-test.service": """\
[Unit]
Description=Checks of the whole host
RequiresMountsFor=/payload
After=systemd-user-sessions.service dbus.service

[Service]
# Not oneshot: its job would be part of the boot that the checks wait for.
Type=exec
ExecStart=/payload/checks/lib/runner
# What a check leaves running is ended by the runner, check by check.
KillMode=mixed
TimeoutStopSec=10
SyslogIdentifier=system-test
# What it has to say before it can report.
StandardOutput=journal+console

[Install]
WantedBy=multi-user.target
""",
}

# Written before the kernel is installed: an initrd of what this machine's disks need, instead of every driver there is.
EARLY_FILES = {
    "/etc/initramfs-tools/conf.d/test": "MODULES=list\nCOMPRESS=lz4\n",
    "/etc/initramfs-tools/modules": "virtio_pci\nvirtio_blk\next4\n",
    "/etc/kernel-img.conf": "do_symlinks=0\n",
}

UNITS = {
    "enable": ["system-test.service"],
    # They would reach for a network that is not there, or take the processors from the checks.
    "mask": ["apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer",
             "e2scrub_reap.service", "fstrim.timer", "getty@tty1.service", "serial-getty@ttyS0.service"],
}


def sources():
    """The machine's own package sources, whatever their format; mmdebstrap takes files as they are."""
    apt = pathlib.Path("/etc/apt")
    parts = apt / "sources.list.d"
    files = [apt / "sources.list", *sorted(parts.glob("*.list")), *sorted(parts.glob("*.sources"))]
    found = [file for file in files if file.is_file() and file.stat().st_size > 0]
    if not found:
        raise Failure("apt has no sources here: neither /etc/apt/sources.list nor files in sources.list.d")
    return found


def apt_options():
    """How this machine's apt reaches its sources: proxies, certificates, retries, clocks that are off."""
    wanted = ("http", "https", "ftp", "Retries", "ForceIPv4", "ForceIPv6", "Check-", "AllowInsecure", "Languages")
    lines = []
    for line in run(["apt-config", "dump"]).splitlines():
        name = line.split(" ", 1)[0]
        if name.startswith("Acquire::") and name.split("::")[1].startswith(wanted) and not line.endswith('"";'):
            lines.append(line)
    return "\n".join(lines) + "\n"


def write_archive(path, files):
    """Files of root's, whoever runs this; directories that exist stay as they are."""
    with tarfile.open(path, "w") as archive:
        for name, text in files.items():
            data = text.encode()
            entry = tarfile.TarInfo(name.lstrip("/"))
            entry.size, entry.mode = len(data), 0o644
            archive.addfile(entry, io.BytesIO(data))


def stamp():
    """A digest of all that the disk is made of, the packages' versions excepted: `make clean` fetches newer ones."""
    digest = hashlib.sha256(pathlib.Path(__file__).read_bytes())
    for file in sources():
        digest.update(file.read_bytes())
    digest.update(apt_options().encode())
    return digest.hexdigest()


def namespace():
    """What makes the caller root over the tree, with owners of its own: nothing for root."""
    if os.geteuid() == 0:
        return []
    return ["unshare", "--user", "--map-root-user", "--map-auto", "--"]


def build():
    """Leaves root.ext4, vmlinuz and initrd in the cache, unless they are there already."""
    CACHE.mkdir(parents=True, exist_ok=True)
    mark, wanted = CACHE / "stamp", stamp()
    outputs = [CACHE / name for name in ("root.ext4", "vmlinuz", "initrd")]
    if mark.exists() and mark.read_text() == wanted and all(path.exists() for path in outputs):
        print("==> the host's disk is up to date")
        return
    mark.unlink(missing_ok=True)
    archive = CACHE / "root.tar"
    try:
        with phase(f"install Debian ({SUITE}) with {len(PACKAGES)} packages"):
            bootstrap(archive)
        with phase("make its disk"):
            make_disk(archive)
    finally:
        archive.unlink(missing_ok=True)
    mark.write_text(wanted)


def bootstrap(archive):
    work = CACHE / "bootstrap"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    write_archive(work / "early.tar", EARLY_FILES)
    write_archive(work / "late.tar", FILES)
    options = work / "apt.conf"
    options.write_text(apt_options())
    chroot = 'chroot "$1" systemctl --quiet'
    try:
        run([
            "mmdebstrap", "--variant=minbase", "--format=tar", f"--include={','.join(PACKAGES)}",
            f"--aptopt={options}",
            # The packages' documentation and translations are for people.
            "--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*",
            "--dpkgopt=path-exclude=/usr/share/locale/*",
            f"--essential-hook=tar-in {work}/early.tar /",
            f"--customize-hook=tar-in {work}/late.tar /",
            '--customize-hook=mkdir -p "$1/payload" "$1/var/log/journal" "$1/var/lib/system-test"',
            # The host under test has no network but its own, and asks no mirror.
            '--customize-hook=rm -rf "$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d/*',
            # Nor do packages that are installed later lose their manuals.
            '--customize-hook=rm -f "$1/etc/apt/apt.conf.d/99mmdebstrap" "$1/etc/dpkg/dpkg.cfg.d/99mmdebstrap"',
            # An empty one is filled at the first boot.
            '--customize-hook=: >"$1/etc/machine-id"',
            *(f"--customize-hook={chroot} {verb} {' '.join(units)}" for verb, units in UNITS.items()),
            SUITE, archive, *sources(),
        ])
    finally:
        shutil.rmtree(work, ignore_errors=True)


# In one process, which is root over the tree: $1 is the archive, $2 the directory of the outputs, $3 the disk's size.
MAKE = """
set -eu
tree=$2/tree
rm -rf "$tree"
mkdir "$tree"
trap 'rm -rf "$tree"' EXIT
# The kernel fills /dev at boot, and only real root may make device nodes.
tar -C "$tree" --numeric-owner --exclude='./dev/*' -xf "$1"
cp "$tree"/boot/vmlinuz-* "$2/vmlinuz"
cp "$tree"/boot/initrd.img-* "$2/initrd"
chmod 644 "$2/vmlinuz" "$2/initrd"
rm -f "$2/root.ext4"
# No journal to initialise later, and no lazy tables: the first boot has better to do.
mke2fs -q -t ext4 -d "$tree" -E lazy_itable_init=0,lazy_journal_init=0 "$2/root.ext4" "$3"
"""


def make_disk(archive):
    run([*namespace(), "sh", "-c", MAKE, "sh", archive, CACHE, SIZE])
