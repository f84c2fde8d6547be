#!/bin/sh
# kernel.sh OUTDIR: the guest's kernel, from the newest linux-image-cloud package that apt knows.
#
# Nothing is installed: the package is downloaded and unpacked. What is left in OUTDIR:
#   vmlinuz   the kernel as packaged     vmlinux   the ELF image inside, which boots faster (PVH)
#   modules/  /lib/modules/VERSION       version   the package's name and version
# Does nothing when OUTDIR already holds that version. Needs apt-get, dpkg, depmod (package kmod) and python3; lz4, xz or zstd as the kernel's
# own compression asks for it.
set -eu

[ $# -eq 1 ] || { echo "usage: $0 OUTDIR" >&2; exit 2; }
out=$1
scripts=$(cd "$(dirname "$0")" && pwd)

case $(dpkg --print-architecture) in
    amd64) meta=linux-image-cloud-amd64 ;;
    arm64) meta=linux-image-cloud-arm64 ;;
    *) echo "kernel.sh: no cloud kernel for $(dpkg --print-architecture)" >&2; exit 1 ;;
esac

package=$(apt-cache depends --important "$meta" 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n 1)
if [ -z "$package" ]; then
    if [ -s "$out/version" ] && [ -s "$out/vmlinuz" ]; then
        echo "kernel.sh: apt knows no $meta; keeping $(cat "$out/version")"
        exit 0
    fi
    echo "kernel.sh: apt knows no $meta: run 'apt-get update' first" >&2
    exit 1
fi
version=$(apt-cache show --no-all-versions "$package" | sed -n 's/^Version: //p' | head -n 1)

if [ "$(cat "$out/version" 2>/dev/null)" = "$package $version" ] && [ -s "$out/vmlinuz" ] && [ -s "$out/modules/modules.dep" ]; then
    echo "kernel.sh: $package $version is there"
    exit 0
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# apt drops its privileges to download.
chmod 755 "$work"
if id _apt >/dev/null 2>&1 && [ "$(id -u)" -eq 0 ]; then chown _apt "$work"; fi
echo "kernel.sh: downloading $package $version"
(cd "$work" && apt-get -q download "$package=$version")
mkdir "$work/root"
dpkg -x "$work"/*.deb "$work/root"

release=${package#linux-image-}
modules=$work/root/lib/modules/$release
[ -d "$modules" ] || modules=$work/root/usr/lib/modules/$release
# The package's own scripts would make modules.dep on installation.
depmod=$(command -v depmod || echo /sbin/depmod)
mkdir -p "$work/depmod/lib/modules"
mv "$modules" "$work/depmod/lib/modules/$release"
"$depmod" -b "$work/depmod" "$release"

mkdir -p "$out"
rm -rf "$out/modules" "$out/vmlinux" "$out/version"
mv "$work/depmod/lib/modules/$release" "$out/modules"
rm -f "$out/modules/build" "$out/modules/source"
cp "$work/root/boot/vmlinuz-$release" "$out/vmlinuz"
if ! python3 "$scripts/extract-vmlinux.py" "$out/vmlinuz" "$out/vmlinux"; then
    echo "kernel.sh: booting the packaged image as it is" >&2
fi
echo "$package $version" > "$out/version"
echo "kernel.sh: $package $version is in $out"
