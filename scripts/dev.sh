#!/usr/bin/env bash
# Runs an agent with its state in .dev/, and builds and restarts it whenever a source changes; its VMs run on meanwhile.
set -euo pipefail
cd "$(dirname "$0")/.."
export DATA_DIR=${DATA_DIR:-$PWD/.dev/data} RUNTIME_DIR=${RUNTIME_DIR:-$PWD/.dev/run}
export KERNEL_PATH=${KERNEL_PATH:-$PWD/.build/guest/kernel/vmlinux} INITRD_PATH=${INITRD_PATH:-$PWD/.build/guest/initrd}
# A bridge would be the machine's, and ask for its forwarding; NETWORK=bridge makes it.
export NETWORK=${NETWORK:-none} CONFIG_FILE=/dev/null
mkdir -p "$DATA_DIR" "$RUNTIME_DIR"
echo "==> HYPEMAN_SOCKET=$RUNTIME_DIR/agent.sock .build/debug/hypeman ps"

agent=
stop() { [ -z "$agent" ] || { kill "$agent" 2>/dev/null || true; wait "$agent" 2>/dev/null || true; }; agent=; }
trap stop EXIT
trap 'exit 0' INT TERM
fingerprint() { find Sources Package.swift openapi.yaml -type f -printf '%p %T@\n' | sort | cksum; }

seen=
while true; do
  now=$(fingerprint)
  if [ "$now" != "$seen" ]; then
    seen=$now
    if swift build --product hypeman-agent && swift build --product hypeman; then
      stop
      .build/debug/hypeman-agent serve &
      agent=$!
    else
      echo "==> the build failed; the agent of before runs on"
    fi
  fi
  if [ -n "$agent" ] && ! kill -0 "$agent" 2>/dev/null; then
    echo "==> the agent has ended; it is started again with the next change"
    agent=
  fi
  sleep 1
done
