#!/usr/bin/env bash
# The service under its VMs: restarts, crashes, hangs and upgrades of the agent leave them running, and others may not.
# deadline: 420 s
. "$PAYLOAD/checks/lib/check.sh"
. "$PAYLOAD/checks/lib/service.sh"

need_service
check "an instance runs" start box -- sh -c "$program" || fail
id=$(get /instances/box .id)
unit=$(unit box)
vmm=$(show "$unit" MainPID)
state() { get /instances/box .state; }

check "its VM is a unit" systemctl is-active "$unit" || fail
check "of a user of its own" test "$(stat -c %u "/proc/$vmm")" -ne "$(id -u hypeman)" -a "$(stat -c %u "/proc/$vmm")" -ne 0
expect "in the slice" hypeman.slice show "$unit" Slice
contains "systemd-cgls shows it there" "$unit" systemd-cgls --no-pager --unit hypeman.slice
contains "systemctl status shows its limit of memory" "max:" systemctl --no-pager status "$unit"
check "which is the guest's and some" test "$(show "$unit" MemoryMax)" -gt $((256 << 20)) -a "$(show "$unit" MemoryMax)" -lt $((1024 << 20))
expect "without swap beyond it" 0 show "$unit" MemorySwapMax
expect "its processors are limited" 3s show "$unit" CPUQuotaPerSecUSec
contains "machined knows it" "hypeman-$id" machinectl --no-legend list
contains "the journal finds it by its name" "instance state" journalctl --quiet --no-pager HYPEMAN_INSTANCE=box
contains "and by its id" "instance state" journalctl --quiet --no-pager "HYPEMAN_INSTANCE=$id"
check "entries have a priority" says '^6$' "journalctl --quiet --output=json HYPEMAN_INSTANCE=box | jq -r .PRIORITY"
check "its name service is a unit" systemctl is-active hypeman-dnsmasq@vmbr0.service

refused() { not as_agent "$@" --no-ask-password; }
check "the agent's user cannot start another unit" refused systemctl start systemd-timesyncd.service
check "nor stop one" refused systemctl stop dbus.service
check "nor set its properties" refused systemctl set-property --runtime dbus.service TasksMax=10
check "nor enable one" refused systemctl enable systemd-networkd.service
check "nor run a command as root" not as_agent systemd-run --no-ask-password --quiet --wait true
check "nor start a VM's unit of no instance" refused systemctl start hypeman-vm@x.service
check "nor restart the host" refused systemctl reboot
check "an ordinary user may not end a VM" \
  not setpriv --reuid=nobody --regid=nogroup --clear-groups systemctl --no-ask-password stop "$unit"
check "nor reach the API" not setpriv --reuid=nobody --regid=nogroup --clear-groups hypeman ps

check "a volume is made" hypeman volume create --size 1GB data
check "and plugged into it" hypeman volume attach box data:/data
check "which writes to it" hypeman exec box sh -c 'echo kept >/data/file'
check "it is unplugged" hypeman volume detach box data
expect "the VM has no name of it any more" "" find "/var/lib/hypeman/vms/$id/volumes" -type f
check "and plugged in again" hypeman volume attach box data:/data
expect "with what was written" kept hypeman exec box cat /data/file

same() { is "$unit" MainPID "$vmm" && [ "$(state)" = Running ] && hypeman exec --wait-for-agent 1m box cat /data/file; }
names() { show hypeman-dnsmasq@vmbr0.service MainPID; }
dnsmasq=$(names)
check "the agent is restarted" systemctl restart hypeman-agent.service || fail
check "the VM ran on, and is adopted" same || fail
expect "so did its name service" "$dnsmasq" names
check "the configuration is read anew" systemctl reload hypeman-agent.service
check "which the journal says" eventually 10 says "read anew" "journalctl --quiet --no-pager --unit=hypeman-agent.service"
agent=$(show hypeman-agent.service MainPID)
anew() { [ "$(show hypeman-agent.service MainPID)" != "$agent" ] && answers; }
kill -KILL "$agent"
check "it comes back after a kill" eventually 30 anew || fail
check "the VM ran on, and is adopted again" same || fail
agent=$(show hypeman-agent.service MainPID)
kill -STOP "$agent"
check "an agent that hangs is started anew by its watchdog" eventually 90 anew || fail
check "the VM ran on, and is adopted after that" same || fail
agent=$(show hypeman-agent.service MainPID)
check "an upgrade" install_package --reinstall
check "restarts the agent" eventually 30 anew || fail
check "the VM ran on, and is adopted by the new agent" same || fail

check "it goes to standby" hypeman standby box || fail
expect "its unit has ended" inactive show "$unit" ActiveState
check "it is restored, with its volume" hypeman restore box
expect "and goes on" kept hypeman exec --wait-for-agent 1m box cat /data/file

check "a unit that stops ends its guest" systemctl stop "$unit"
contains "whose program was asked, and finished" "done" hypeman logs box
check "the instance says why" eventually 20 says hostShutdown "hypeman inspect box"
check "nothing of the unit is left" \
  eventually 10 test ! -e "/var/lib/hypeman/vms/$id" -a ! -e "/run/systemd/system.control/$unit.d"
check "it starts again" hypeman start box
check "and is removed" hypeman rm --force box
check "with its volume" hypeman volume rm data
