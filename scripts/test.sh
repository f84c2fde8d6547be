#!/usr/bin/env bash
# test.sh [FILTER]: runs the tests that `swift build --build-tests` built, then looks for what they left behind.
set -euo pipefail
cd "$(dirname "$0")/.."
HYPEMAN_TEST_GUEST=$PWD/.build/guest
export HYPEMAN_TEST_GUEST
before=$(mktemp)
after=$(mktemp)
log=$(mktemp)
trap 'rm -f "$before" "$after" "$log"' EXIT

# Processes, network namespaces, loop devices and mounts that a test could leave; each by a name that does not change while it lives.
leftovers() {
  { pgrep -af 'qemu-system|docker-registry serve|hypeman-agent serve|dnsmasq --conf-file|network-driver' || true
    ip netns list | sed 's/ .*//'
    losetup -a
    findmnt -rno TARGET | grep -v '^/proc\|^/sys' || true
  } | sort
}
leftovers >"$before"
status=0
# One test at a time: side by side on two cores, real VMs and 64 MiB streams starve the deadlines of the others.
run_tests() {
  swift test --skip-build --disable-xctest --no-parallel --filter "$1" 2>&1 | tee -a "$log" || status=1
}
if [ $# -gt 0 ]; then
  run_tests "$1"
else
  for target in Tests/*Tests; do
    printf '\n==> %s\n' "${target#Tests/}"
    run_tests "^${target#Tests/}\."
  done
fi
leftovers >"$after"
if diff "$before" "$after" | grep '^>'; then
  echo "tests left the above behind" >&2
  status=1
fi
total=$(sed -n 's/^.*Test run with \([0-9]*\) tests*.*$/\1/p' "$log" | awk '{ sum += $1 } END { print sum + 0 }')
failed=$(grep '^✘ Test .* failed after ' "$log" | grep -vc '^✘ Test run with' || true)
# Once more at the end, where a CI that keeps only the last lines still shows it.
if [ "$failed" -gt 0 ]; then
  printf '\n==> what failed\n'
  grep -A6 '^✘ Test .* recorded an issue\|^✘ Test .* failed after ' "$log" | grep -v '^◇\|^✔\|^--' | tail -n 60 || true
fi
printf '\n%d passed, %d failed\n' $((total - failed)) "$failed"
[ "$total" -gt 0 ] || { echo "no test ran" >&2; status=1; }
exit "$status"
