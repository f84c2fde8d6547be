#!/usr/bin/env bash
# guest.sh OUT: builds hypeman-init, a static executable, and the initrd that is made of it and the kernel's modules.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$1
scripts/step.sh "build hypeman-init (static)" \
  swift build -c release --product hypeman-init --scratch-path .build-guest \
  -Xswiftc -static-executable -Xlinker -s
scripts/initrd.sh "$out/kernel" .build-guest/release/hypeman-init "$out/initrd"
