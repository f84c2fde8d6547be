#!/usr/bin/env bash
# demo.sh [IMAGE]: the main job from end to end, on a private agent whose state is thrown away: an image made from
# Debian packages (or IMAGE from its registry) becomes a VM.
set -euo pipefail
cd "$(dirname "$0")/.."
image=${1:-}
work=$(mktemp -d /tmp/hypeman-demo.XXXXXX)
bin=$PWD/.build/debug
export CONFIG_FILE=/dev/null DATA_DIR=$work/data RUNTIME_DIR=$work/run HYPEMAN_SOCKET=$work/run/agent.sock
export KERNEL_PATH=$PWD/.build/guest/kernel/vmlinux INITRD_PATH=$PWD/.build/guest/initrd
agent=
# A network namespace of the demo's own where that can be had: nothing of this machine's network is touched. An image
# from a registry needs the machine's network, and its instance does without one.
namespace=
export NETWORK=none
if [ -z "$image" ] && [ "$(id -u)" -eq 0 ]; then
  namespace=hypeman-demo-$$
  export NETWORK=bridge
fi

finish() {
  status=$?
  if [ -n "$agent" ]; then
    # A demo that failed half way must not leave its VM running either.
    "$bin/hypeman" rm -f demo >/dev/null 2>&1 || true
    kill "$agent" 2>/dev/null || true
    wait "$agent" 2>/dev/null || true
  fi
  if [ -n "$namespace" ]; then
    inside "$bin/hypeman-agent" network teardown >/dev/null 2>&1 || true
    ip netns del "$namespace" 2>/dev/null || true
  fi
  if [ "$status" -ne 0 ]; then
    echo "==> the demo failed; the agent's log:" >&2
    tail -n 40 "$work/agent.log" >&2 || true
  fi
  rm -rf "$work"
  exit "$status"
}
trap finish EXIT

milliseconds() { echo $(($(date +%s%N) / 1000000)); }
step() {
  title=$1
  shift
  printf '\n==> %s\n    $ %s\n' "$title" "${*//$bin\//}"
  local started
  started=$(milliseconds)
  "$@"
  printf '    (%d ms)\n' $(($(milliseconds) - started))
}
fail() {
  echo "demo: $*" >&2
  exit 1
}

# Runs a command where the agent lives.
inside() {
  if [ -n "$namespace" ]; then ip netns exec "$namespace" "$@"; else "$@"; fi
}

start_agent() {
  if [ -n "$namespace" ]; then
    ip netns add "$namespace"
    inside ip link set lo up
    inside sysctl -qw net.ipv4.ip_forward=1
  fi
  # Not in a function of the shell's, whose process would stand between: the signal is for the agent.
  ${namespace:+ip netns exec "$namespace"} "$bin/hypeman-agent" serve >"$work/agent.log" 2>&1 &
  agent=$!
  for _ in $(seq 300); do
    [ -S "$HYPEMAN_SOCKET" ] && "$bin/hypeman" ps >/dev/null 2>&1 && return
    kill -0 "$agent" 2>/dev/null || fail "the agent ended"
    sleep 0.1
  done
  fail "the agent does not answer"
}

stop_agent() {
  kill "$agent"
  wait "$agent"
  agent=
  if [ -n "$namespace" ]; then inside "$bin/hypeman-agent" network teardown; fi
}

make_image() {
  [ -z "${HYPEMAN_DEMO_TAR:-}" ] || { cp "$HYPEMAN_DEMO_TAR" "$work/debian.tar"; return; }
  # The machine's own package sources, whatever their format; mmdebstrap takes files as they are.
  local sources=()
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
    [ -s "$file" ] && sources+=("$file")
  done
  mmdebstrap --quiet --variant=essential bookworm "$work/debian.tar" "${sources[@]}"
}

step "start a private agent" start_agent
if [ -n "$image" ]; then
  step "pull $image" "$bin/hypeman" pull "$image"
else
  image=debian-essential:12
  step "make an image from Debian packages" make_image
  step "import it" "$bin/hypeman" import "$work/debian.tar" "$image"
fi
"$bin/hypeman" images

# With a network the program also serves a page: perl is what every Debian system has.
server=:
publish=()
if [ "$NETWORK" = bridge ]; then
  publish=(-p 8080:80)
  server='perl -MIO::Socket::INET -e '\''$s = IO::Socket::INET->new(LocalPort => 80, Listen => 5, ReuseAddr => 1) or die;
    while ($c = $s->accept) { <$c>; print $c "HTTP/1.0 200 OK\r\n\r\nhello from $ENV{HOSTNAME}\n"; close $c }'\'' &'
fi
fetch() {
  for _ in $(seq 100); do
    inside python3 -c 'import sys, urllib.request; print("    " + urllib.request.urlopen(sys.argv[1], timeout=5).read().decode(), end="")' "$1" \
      2>>"$work/fetch.log" && return
    sleep 0.1
  done
  tail -n 1 "$work/fetch.log" >&2
  fail "no page at $1"
}

step "run it in a VM" "$bin/hypeman" run -d --name demo --memory 512MB "${publish[@]}" "$image" \
  sh -c "$server"'
  echo "kernel $(uname -r) runs PID 1: $(cat /proc/1/comm)"; n=0; while n=$((n+1)); do echo "tick $n"; sleep 1; done'
step "exec in it, as soon as it has booted" "$bin/hypeman" exec demo cat /etc/os-release
printf '\n==> the exit code of a command is that of hypeman exec\n    $ hypeman exec demo sh -c "exit 42"\n'
code=0
"$bin/hypeman" exec demo sh -c 'exit 42' || code=$?
[ "$code" -eq 42 ] || fail "expected exit code 42, got $code"
echo "    exit code $code"
if [ "$NETWORK" = bridge ]; then
  step "a page from its web server, through the published port" fetch http://127.0.0.1:8080/
fi
step "its log" "$bin/hypeman" logs demo
[[ $("$bin/hypeman" logs demo) == *$'\n'"tick 1"* ]] || fail "the program's output is not in the log"
step "stop it" "$bin/hypeman" stop demo
"$bin/hypeman" ps -a
step "remove it" "$bin/hypeman" rm demo
step "remove the image" "$bin/hypeman" rmi "$image"

step "stop the agent, and take its network away" stop_agent

printf '\n==> nothing is left behind\n'
if pgrep -f "$work" | grep -vx "$$"; then fail "processes are left"; fi
if [ -n "$namespace" ] && inside ip -o link | grep -v ' lo: '; then fail "network devices are left"; fi
left=$(find "$work/data/instances" "$work/data/disks" "$work/data/blobs" "$work/run/vms" -mindepth 1 -type f 2>/dev/null || true)
[ -z "$left" ] || fail "files are left: $left"
echo "    no process, no disk, no socket"
