#!/bin/sh
# initrd.sh KERNELDIR INIT OUT: the guest's initrd: hypeman-init, the kernel modules it needs, /dev/console.
#
# KERNELDIR is what kernel.sh made. Needs no privileges. Does nothing when OUT is newer than all that it is made of.
# INITRD_COMPRESSION chooses lz4 (default), zstd, gzip or none.
set -eu

[ $# -eq 3 ] || { echo "usage: $0 KERNELDIR INIT OUT" >&2; exit 2; }
kernel=$1 init=$2 out=$3
scripts=$(cd "$(dirname "$0")" && pwd)
[ -s "$init" ] || { echo "initrd.sh: no $init: build it first" >&2; exit 1; }
[ -s "$kernel/modules/modules.dep" ] || { echo "initrd.sh: no $kernel/modules: run kernel.sh first" >&2; exit 1; }

compression=${INITRD_COMPRESSION:-lz4}
stamp="$(cat "$kernel/version" 2>/dev/null) $compression"
if [ "$(cat "$out.version" 2>/dev/null)" = "$stamp" ] && [ "$out" -nt "$init" ] \
    && [ "$out" -nt "$scripts/initrd.sh" ] && [ "$out" -nt "$scripts/make-initrd.py" ]; then
    echo "initrd.sh: $out is up to date"
    exit 0
fi

case $compression in
    # The kernel reads lz4's legacy format only (lib/decompress_unlz4.c), and checks gzip and zstd as they are.
    lz4) compress="lz4 -l -9 -c" ;;
    zstd) compress="zstd -19 -q -c" ;;
    gzip) compress="gzip -9 -n -c" ;;
    none) compress=cat ;;
    *) echo "initrd.sh: INITRD_COMPRESSION=$compression is not known" >&2; exit 1 ;;
esac
mkdir -p "$(dirname "$out")"
trap 'rm -f "$out.cpio" "$out.part"' EXIT
python3 "$scripts/make-initrd.py" "$kernel/modules" "$init" "$out.cpio"
$compress < "$out.cpio" > "$out.part"
mv "$out.part" "$out"
echo "$stamp" > "$out.version"
echo "initrd.sh: $out, $(stat -c %s "$out") bytes"
