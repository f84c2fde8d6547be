#!/usr/bin/env bash
# debug-package.sh OUT: makes OUT/hypeman_VERSION_ARCH.deb of the debug programs that are built already, with the libraries of
# Swift beside them: what the whole-host test installs. It has every file of the real package (`make deb`), whose programs
# are release builds with Swift linked in, which take minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$1
built=.build/debug
programs=(hypeman-agent hypeman hypeman-exec)
rm -rf "$out"
mkdir -p "$out/lib" "$out/guest"
for program in "${programs[@]}"; do
  [ -s "$built/$program" ] || { echo "debug-package.sh: there is no $built/$program: run 'swift build --build-tests'" >&2; exit 1; }
  strip --strip-debug -o "$out/$program" "$built/$program"
  # Those of Debian's packages are there where it is installed.
  ldd "$built/$program" | sed -n 's|.* => \(/[^ ]*\) .*|\1|p' | grep -v '^/lib/\|^/lib64/\|^/usr/lib/' || true
done | sort -u | while read -r library; do strip --strip-debug -o "$out/lib/${library##*/}" "$library"; done
install -m 644 .build/guest/kernel/vmlinux .build/guest/initrd "$out/guest/"
DEB_COMPRESSION=zstd scripts/deb.sh "$out"
