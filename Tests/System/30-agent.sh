#!/usr/bin/env bash
# The agent, from image to stop, with its instance under real KVM and on the host's own network.
# deadline: 300 s
. "$PAYLOAD/checks/lib/check.sh"
. "$PAYLOAD/checks/lib/agent.sh"

modprobe kvm_amd
export ACCELERATOR=kvm NETWORK=bridge
fail() {
  show_agent_log
  exit 1
}
# The program counts: how far it is, whether it is as far as that, and whether it never lost or repeated a number.
ticks() { hypeman logs box | grep -c '^tick '; }
ticked() { hypeman logs box | grep -x "tick $1" >/dev/null; }
in_order() { hypeman logs box | sed -n 's/^tick //p' | awk '$1 != NR { print; exit 1 }'; }
not() { ! "$@"; }
same_time() {
  local there here
  there=$(hypeman exec box date +%s) && here=$(date +%s)
  echo "the guest's $there, the host's $here"
  [ $((here - there)) -le 3 ] && [ $((there - here)) -le 3 ]
}

# A bare Debian forwards no packets. The agent says so, and what to do; that is done.
check "without forwarding the agent does not start" not start_agent
fix=$(hypeman-agent check | sed -n 's/^ *fix: \(.*ip_forward.*\)$/\1/p' | head -n 1)
check "what its look at the host advises works: $fix" sh -c "${fix:-false}"
check "the agent starts" start_agent || fail
expect "its capabilities say KVM" kvm get /capabilities '.hypervisors[] | select(.name == "qemu").accelerator'
check "an image is imported" make_busybox_image busybox:1 || fail
program='mkdir /www; echo hello >/www/index.html; httpd -h /www; n=0; while n=$((n+1)); do echo "tick $n"; sleep 1; done'
check "an instance runs" \
  hypeman run -d --name box --memory 256MB --cpus 1 -p 8080:80 busybox:1 sh -c "$program" || fail
check "a command runs in it" hypeman exec --wait-for-agent 2m box true || fail
expect "its record says what runs it" "Running qemu" get /instances/box '"\(.state) \(.hypervisor)"'

# What no configuration can claim: the kernel's own objects on this side, and its paravirtual clock on the other.
vmm=$(pgrep -f 'qemu-system.*-name hypeman-' | head -n 1)
contains "its VMM has a virtual machine of KVM's" anon_inode:kvm-vm ls -l "/proc/$vmm/fd"
expect "its guest keeps time by KVM's clock" kvm-clock \
  hypeman exec box cat /sys/devices/system/clocksource/clocksource0/current_clocksource
expect "a page comes from the published port" hello page http://127.0.0.1:8080/
check "its output is in its log" eventually 30 ticked 1 || fail

check "the agent is killed" kill_agent
check "it starts over what runs" start_agent || fail
check "a command runs in the same guest" hypeman exec --wait-for-agent 1m box test -f /www/index.html
check "its VMM is the same process" test -d "/proc/$vmm"

check "it goes to standby" hypeman standby box || fail
expect "its memory is on disk" "Standby true" get /instances/box '"\(.state) \(.has_snapshot)"'
check "nothing of it runs" test ! -d "/proc/$vmm"
before=$(ticks)
check "it is restored" hypeman restore box || fail
check "it goes on at tick $((before + 1))" eventually 60 ticked $((before + 1)) || fail
check "each tick is in the log once" in_order
check "a command runs in it again" hypeman exec --wait-for-agent 1m box true
check "the guest's clock is the host's" same_time
expect "the page comes again" hello page http://127.0.0.1:8080/

check "it stops" hypeman stop box
expect "its end is known" Stopped get /instances/box .state
check "it is removed" hypeman rm box
check "the agent ends in order" stop_agent
check "its network is taken away" hypeman-agent network teardown
expect "nothing of it runs any more" "" pgrep -af 'qemu-system|dnsmasq'
