#!/usr/bin/env bash
# The host's shutdown ends guests in order and in time, and its next start brings back those whose policy says so.
# deadline: 420 s
. "$PAYLOAD/checks/lib/check.sh"
. "$PAYLOAD/checks/lib/service.sh"

running() { [ "$(get "/instances/$1" .state)" = Running ]; }
case ${STAGE:-} in
  '')
    need_service
    check "an instance with a policy runs" start kept --restart always -- sh -c "$program" || fail
    check "one without" start gone -- sh -c "$program" || fail
    check "one whose program does not end when asked" start stubborn -- sh -c 'trap "" TERM; while :; do sleep 1; done' || fail
    check "and one with a policy, which is stopped" start stopped --restart always -- sh -c "$program" || fail
    check "by its owner" hypeman stop stopped
    # The guest's disk is whole only if it was written back.
    check "one has written to its disk" hypeman exec gone sh -c 'echo whole >/written'
    date +%s >"$STATE/began"
    reboot_into "after the reboot"
    ;;
  'after the reboot')
    check "the service is up again" eventually 60 answers || fail
    # From the request to the last word of the journal.
    ended=$(journalctl --boot=-1 --quiet --lines=1 --output=json | jq -r .__REALTIME_TIMESTAMP)
    took=$((ended / 1000000 - $(cat "$STATE/began")))
    check "the host went down within 90 s, in $took" test "$took" -le 90
    # Where a machine stops, the agent stops after it.
    last_stopped() {
      journalctl --boot=-1 --quiet --output=json --unit='hypeman-vm@*' --unit=hypeman-agent.service \
        | jq -r 'select(.JOB_RESULT == "done" and .JOB_TYPE == "stop") | .UNIT' | tail -n 1
    }
    expect "the agent stopped after the VMs" hypeman-agent.service last_stopped
    for name in gone kept; do contains "the program of $name was asked, and finished" "done" hypeman logs "$name"; done
    check "that with a policy runs again" hypeman exec --wait-for-agent 3m kept true || fail
    expect "that without does not" Stopped get /instances/gone .state
    expect "and says why" hostShutdown get /instances/gone .exit_reason
    expect "what did not end in time was ended" hostShutdown get /instances/stubborn .exit_reason
    expect "what was stopped stays so" Stopped get /instances/stopped .state
    check "it starts again" hypeman start gone
    expect "what it wrote is whole" whole hypeman exec --wait-for-agent 2m gone cat /written
    check "all are removed" hypeman rm --force kept gone stubborn stopped
    ;;
esac
