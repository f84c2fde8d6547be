#!/usr/bin/env bash
# A VM that takes more memory than it may have ends with that as the reason, and nothing else is hurt.
# deadline: 180 s
. "$PAYLOAD/checks/lib/check.sh"
. "$PAYLOAD/checks/lib/service.sh"

need_service
check "an instance runs" start greedy -- sleep 100000 || fail
check "and another" start other -- sleep 100000 || fail
unit=$(unit greedy)
agent=$(show hypeman-agent.service MainPID)
vmm=$(show "$(unit other)" MainPID)
dnsmasq=$(show hypeman-dnsmasq@vmbr0.service MainPID)

# The guest's memory and what QEMU needs fit; a little less does not, as when a VMM leaks.
limit=$(($(show "$unit" MemoryCurrent) + (16 << 20)))
check "its limit is what it has, and a little" systemctl set-property --runtime "$unit" MemoryMax=$limit
# Ends with its guest.
hypeman exec greedy dd if=/dev/zero of=/eaten bs=1048576 count=150 >/dev/null 2>&1
gone() { [ "$(get /instances/greedy .state)" = Stopped ]; }
check "it ends" eventually 60 gone || fail
expect "and says why" outOfMemory get /instances/greedy .exit_reason
contains "so does the journal" "outOfMemory" journalctl --quiet --no-pager HYPEMAN_INSTANCE=greedy
expect "the agent is as it was" "$agent" show hypeman-agent.service MainPID
expect "so is the name service" "$dnsmasq" show hypeman-dnsmasq@vmbr0.service MainPID
expect "the other VM, too" "$vmm" show "$(unit other)" MainPID
check "whose guest answers" hypeman exec other true
check "it starts again, with its own limit" hypeman start greedy
check "and answers" hypeman exec --wait-for-agent 2m greedy true
check "which is another" test "$(show "$unit" MemoryMax)" -ne "$limit"
check "both are removed" hypeman rm --force greedy other
