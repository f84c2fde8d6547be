#!/usr/bin/env bash
# The installed package is a system service: units, rights, restarts, the journal, a reboot, and its removal.
# deadline: 600 s
. "$PAYLOAD/checks/lib/check.sh"

shopt -s nullglob
packages=("$PAYLOAD"/packages/*.deb)
if [ ${#packages[@]} -eq 0 ]; then
  skip "the service works: PACKAGES names no package"
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
# What is installed, not what was built.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
fail() {
  journalctl --quiet --no-pager --lines=80 --boot | cut -c 1-300 | sed 's/^/#   /'
  exit 1
}
show() { systemctl show --property="$2" --value "$1"; }
is() { [ "$(show "$1" "$2")" = "$3" ]; }
not() { ! "$@"; }
get() { curl --silent --show-error --fail --unix-socket /run/hypeman/agent.sock "http://localhost$1" | jq -r "$2"; }
install() { apt-get --quiet --yes --no-install-recommends --allow-downgrades "$@" install "${packages[@]}"; }
# As the agent's user, with the agent's group, and nothing else of the agent's.
as_agent() { setpriv --reuid=hypeman --regid=hypeman-vm --init-groups "$@"; }
answers() { hypeman health >/dev/null 2>&1; }
image() {
  local tree=$work/tree
  mkdir -p "$tree/bin" "$tree/dev" "$tree/proc" "$tree/sys" "$tree/tmp"
  cp /bin/busybox "$tree/bin/"
  for name in sh cat date echo sleep true; do ln -sf busybox "$tree/bin/$name"; done
  tar -cf "$work/image.tar" -C "$tree" . && hypeman import "$work/image.tar" busybox:1
}
# A program that says when it was asked to end, and takes a moment to.
program='trap "echo bye; sleep 1; echo done; exit 0" TERM; echo up; while :; do sleep 1; done'
score() { systemd-analyze --no-pager security hypeman-agent.service | sed -n 's/^→ Overall exposure level.*: \([0-9.]*\) .*/\1/p'; }
low() { awk -v score="$(score)" 'BEGIN { print score; exit !(score != "" && score <= 2.0) }'; }

modprobe kvm_amd 2>/dev/null || true
case ${STAGE:-} in
  '')
    check "the package is installed" install || fail
    check "the service is active within seconds" eventually 20 systemctl is-active hypeman-agent.service || fail
    check "it answers" eventually 10 answers || fail
    expect "systemd finds nothing wrong with its units" "" systemd-analyze verify --man=no --recursive-errors=no \
      hypeman-agent.service hypeman-agent.socket hypeman.slice hypeman-vm@aaaaaaaaaaaaaaaaaaaaaaaa.service \
      hypeman-dnsmasq@vmbr0.service
    check "systemd's exposure level is at most 2.0" low
    contains "its status is told" "instances" show hypeman-agent.service StatusText

    # The port's conformance suite, as the agent's user, on real units.
    cd / && as_agent "$PAYLOAD/bin/hypeman-agentPackageTests.xctest" --testing-library swift-testing --no-parallel --verbose \
      --filter '^HypervisorPluginTests\.SystemdSupervisorTests' 2>&1 | python3 "$PAYLOAD/checks/lib/suite.py" "$STATE/results"

    check "an image is imported" image || fail
    check "an instance runs" hypeman run -d --name box --memory 256MB --cpus 1 busybox:1 sh -c "$program" || fail
    check "a command runs in it" hypeman exec --wait-for-agent 2m box true || fail
    id=$(get /instances/box .id)
    unit=hypeman-vm@$id.service
    check "its VM is a unit" systemctl is-active "$unit" || fail
    vmm=$(show "$unit" MainPID)
    check "of a user of its own" test "$(stat -c %u "/proc/$vmm")" -ne "$(id -u hypeman)" -a "$(stat -c %u "/proc/$vmm")" -ne 0
    expect "in the slice" hypeman.slice show "$unit" Slice
    check "with a limit of memory" test "$(show "$unit" MemoryMax)" -gt $((256 << 20)) -a "$(show "$unit" MemoryMax)" -lt $((2048 << 20))
    expect "and no swap beyond it" 0 show "$unit" MemorySwapMax
    contains "machined knows it" "hypeman-$id" machinectl list
    contains "the journal finds it by its name" "instance state" journalctl --quiet --no-pager HYPEMAN_INSTANCE=box
    contains "and by its id" "instance state" journalctl --quiet --no-pager "HYPEMAN_INSTANCE=$id"
    expect "entries have a priority" 6 sh -c 'journalctl --quiet --output=json HYPEMAN_INSTANCE=box | jq -r .PRIORITY | sort -u | grep 6'
    check "its name service is a unit" systemctl is-active hypeman-dnsmasq@vmbr0.service

    bus() { busctl --no-pager "$@"; }
    object=/io/hypeman/Agent1/instances/$id
    expect "the instance is an object on the system's bus" 's "Running"' \
      bus get-property io.hypeman.Agent1 "$object" io.hypeman.Agent1.Instance State
    expect "whose service is this unit" hypeman-agent.service \
      sh -c 'busctl --no-pager status io.hypeman.Agent1 | sed -n "s/^Unit=//p"'
    contains "an instance is made over the bus" "oo " sh -c 'busctl --no-pager call io.hypeman.Agent1 /io/hypeman/Agent1 \
      io.hypeman.Agent1.Manager CreateInstance "a{sv}t" 5 Name s over-bus Image s busybox:1 Command as 2 sleep 1000 \
      Memory t 134217728 VCPUs u 1 1'
    check "and removed" hypeman rm -f over-bus
    nobody() { setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"; }
    attempt nobody busctl --no-pager --allow-interactive-authorization=no call io.hypeman.Agent1 "$object" \
      io.hypeman.Agent1.Instance Stop tt 0 1
    contains "an ordinary user may not do that over the bus" "io.hypeman.agent1.instance.manage" echo "$output"
    printf '%s\n' 'polkit.addRule(function (action, subject) {' \
      'if (action.id === "io.hypeman.agent1.instance.read" && subject.user === "nobody" && action.lookup("name") === "box")' \
      'return polkit.Result.YES; });' >/etc/polkit-1/rules.d/50-box.rules
    check "but sees what a rule lets it see" eventually 10 nobody busctl --no-pager --allow-interactive-authorization=no \
      get-property io.hypeman.Agent1 "$object" io.hypeman.Agent1.Instance State
    rm /etc/polkit-1/rules.d/50-box.rules

    check "the agent's user cannot start another unit" not as_agent systemctl --no-ask-password start systemd-timesyncd.service
    check "nor stop one" not as_agent systemctl --no-ask-password stop dbus.service
    check "nor run a command as root" not as_agent systemd-run --no-ask-password --quiet --wait true
    check "nor set another unit's properties" not as_agent systemctl --no-ask-password set-property --runtime dbus.service TasksMax=10
    check "nor another instance than its VMs'" not as_agent systemctl --no-ask-password start 'hypeman-vm@x.service'
    check "an ordinary user may not end a VM" not setpriv --reuid=nobody --regid=nogroup --clear-groups systemctl --no-ask-password stop "$unit"

    same() { is "$unit" MainPID "$vmm" && hypeman exec --wait-for-agent 1m box true; }
    check "the agent is restarted" systemctl restart hypeman-agent.service
    check "the VM ran on, and is adopted" same || fail
    check "the configuration is read anew" systemctl reload hypeman-agent.service
    contains "which the journal says" "read anew" journalctl --quiet --no-pager --unit=hypeman-agent.service
    agent=$(show hypeman-agent.service MainPID)
    kill -KILL "$agent"
    check "it comes back after a kill" eventually 30 answers
    check "the VM ran on, and is adopted again" same || fail
    agent=$(show hypeman-agent.service MainPID)
    kill -STOP "$agent"
    anew() { [ "$(show hypeman-agent.service MainPID)" != "$agent" ] && answers; }
    check "an agent that hangs is started anew by its watchdog" eventually 120 anew
    check "the VM ran on, and is adopted after that" same || fail
    check "an upgrade restarts the agent" install --reinstall
    check "the VM ran on, and is adopted by the new agent" eventually 30 same || fail

    check "a unit that stops ends its guest" systemctl stop "$unit"
    contains "whose program was asked, and finished" "done" hypeman logs box
    check "the instance says why" eventually 20 sh -c 'hypeman inspect box | grep -q hostShutdown'
    check "nothing of the unit is left" test ! -e "/var/lib/hypeman/vms/$id" -a ! -e "/run/systemd/system.control/$unit.d"
    check "it is removed" hypeman rm box

    check "an instance with a policy runs" hypeman run -d --name kept --restart always --memory 256MB --cpus 1 busybox:1 sh -c "$program" || fail
    check "and one without" hypeman run -d --name gone --memory 256MB --cpus 1 busybox:1 sh -c "$program" || fail
    check "both are up" sh -c 'hypeman exec --wait-for-agent 2m kept true && hypeman exec --wait-for-agent 2m gone true' || fail
    reboot_into "after the reboot"
    ;;
  'after the reboot')
    check "the service is up again" eventually 60 answers || fail
    contains "the program of one was asked, and finished" "done" hypeman logs gone
    contains "and that of the other" "done" hypeman logs kept
    check "that with a policy runs again" hypeman exec --wait-for-agent 3m kept true || fail
    expect "that without does not" Stopped get /instances/gone .state
    contains "and says why" hostShutdown hypeman inspect gone

    check "the package is removed" apt-get --quiet --yes remove hypeman
    check "its guests have ended" not pgrep -f qemu-system
    check "its name service, too" not pgrep dnsmasq
    check "its bridge is gone" not ip link show vmbr0
    check "its data stay" test -s /var/lib/hypeman/state.db
    check "it is purged" apt-get --quiet --yes purge hypeman
    expect "and nothing stays" "" find /var/lib/hypeman /run/hypeman /etc/hypeman /usr/lib/hypeman -maxdepth 0 2>/dev/null
    ;;
esac
