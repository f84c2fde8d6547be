#!/usr/bin/env bash
# After the host was rebooted under an agent's instance, the agent knows that it is gone, and can start it again.
# deadline: 240 s
. "$PAYLOAD/checks/lib/check.sh"
. "$PAYLOAD/checks/lib/agent.sh"

modprobe kvm_amd
export ACCELERATOR=kvm NETWORK=none
fail() {
  show_agent_log
  exit 1
}

case ${STAGE:-} in
  '')
    check "the agent starts" start_agent || fail
    check "an image is imported" make_busybox_image busybox:1 || fail
    check "an instance runs" hypeman run -d --name box --memory 256MB --cpus 1 busybox:1 sleep 100000 || fail
    check "a command runs in it" hypeman exec --wait-for-agent 2m box true || fail
    cp /proc/sys/kernel/random/boot_id "$STATE/boot"
    reboot_into "after the reboot"
    ;;
  'after the reboot')
    check "the host has booted again" test "$(cat "$STATE/boot")" != "$(cat /proc/sys/kernel/random/boot_id)"
    check "the agent starts over what was there" start_agent || fail
    expect "its instance is known to be gone" Stopped get /instances/box .state || fail
    check "it starts again" hypeman start box || fail
    check "a command runs in it" hypeman exec --wait-for-agent 2m box true || fail
    check "it is removed" hypeman rm -f box
    check "the agent ends in order" stop_agent
    ;;
esac
