# What checks are made of; sourced by them. Each claim is a line, `ok - …` or `not ok - …`; what it printed is shown
# after a failure.
set -uo pipefail

bin=$PAYLOAD/bin
PATH=$bin:$PATH
work=$(mktemp -d /var/tmp/check.XXXXXX)
trap 'rm -rf "$work"' EXIT

record() { printf '%s\n' "$1" | tee -a "$STATE/results"; }
# With how long it took, where that is worth a look.
ok() {
  local took=$((SECONDS - ${began:-$SECONDS}))
  if [ "$took" -ge 3 ]; then record "ok - $1 ($took s)"; else record "ok - $1"; fi
}
skip() { record "skip - $1"; }
# not_ok CLAIM [WHY…]
not_ok() {
  record "not ok - $1"
  shift
  [ $# -eq 0 ] || printf '%s\n' "$@" | sed 's/^/#   /'
}

# attempt COMMAND…: runs it in this shell, so that it may set variables and start jobs; what it printed is in $output.
attempt() {
  local status=0
  began=$SECONDS
  "$@" >"$work/output" 2>&1 || status=$?
  output=$(cat "$work/output")
  return "$status"
}

# check CLAIM COMMAND…: the command succeeds.
check() {
  local claim=$1 status=0
  shift
  attempt "$@" || status=$?
  if [ "$status" -eq 0 ]; then ok "$claim"; else not_ok "$claim" "$* ended with $status" "$output"; fi
  return "$status"
}

# expect CLAIM WANTED COMMAND…: the command prints this, and nothing else.
expect() {
  local claim=$1 wanted=$2
  shift 2
  attempt "$@"
  [ "$output" = "$wanted" ] && ok "$claim" && return
  not_ok "$claim" "wanted: $wanted" "$* printed: $output"
  return 1
}

# contains CLAIM WANTED COMMAND…: the command prints this among other things.
contains() {
  local claim=$1 wanted=$2
  shift 2
  attempt "$@"
  [[ $output == *"$wanted"* ]] && ok "$claim" && return
  not_ok "$claim" "wanted: $wanted" "$* printed: $output"
  return 1
}

# eventually SECONDS COMMAND…: waits until the command succeeds.
eventually() {
  local until=$((SECONDS + $1))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$until" ] || return 1
    sleep 0.2
  done
}

# suite FILTER: runs tests of the bundle; each test, and each argument of one, is a claim.
suite() {
  "$bin/hypeman-agentPackageTests.xctest" --testing-library swift-testing --no-parallel --verbose --filter "$1" 2>&1 \
    | python3 "$PAYLOAD/checks/lib/suite.py" "$STATE/results"
}

# reboot_into STAGE: reboots the host; the check is then called again with $STAGE.
reboot_into() {
  printf '%s\n' "$1" >"$STATE/stage"
  exit 0
}
