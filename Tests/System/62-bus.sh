#!/usr/bin/env bash
# The system's bus: instances are objects on it, and polkit says who may do what with them.
# deadline: 240 s
. "$PAYLOAD/checks/lib/check.sh"
. "$PAYLOAD/checks/lib/service.sh"

need_service
bus() { busctl --no-pager "$@"; }
agent=/io/hypeman/Agent1
expect "the name is the service's" hypeman-agent.service sh -c 'busctl --no-pager status io.hypeman.Agent1 | sed -n "s/^Unit=//p"'
contains "an instance's life over the bus alone" "its object was taken back" \
  python3 "$PAYLOAD/checks/lib/bus_life.py" over-bus busybox:1

check "an instance runs" start box -- sleep 100000 || fail
object=$agent/instances/$(get /instances/box .id)
contains "busctl tree shows it" "$object" bus tree io.hypeman.Agent1
contains "busctl introspect describes it" ".OpenExec" bus introspect io.hypeman.Agent1 "$object" io.hypeman.Agent1.Instance
expect "its state is a property" 's "Running"' bus get-property io.hypeman.Agent1 "$object" io.hypeman.Agent1.Instance State

# An ordinary user may look and do nothing; with a rule for one instance, that one thing.
check "another instance runs" start other -- sleep 100000 || fail
other=$agent/instances/$(get /instances/other .id)
nobody() { setpriv --reuid=nobody --regid=nogroup --clear-groups busctl --no-pager --allow-interactive-authorization=no "$@"; }
pause() { nobody call io.hypeman.Agent1 "$1" io.hypeman.Agent1.Instance Pause t 1; }
stop() { nobody call io.hypeman.Agent1 "$1" io.hypeman.Agent1.Instance Stop tt 0 1; }
contains "an ordinary user is refused, and told which right is missing" "io.hypeman.agent1.instance.manage" pause "$object"
printf '%s\n' 'polkit.addRule(function (action, subject) {' \
  'if (action.id === "io.hypeman.agent1.instance.manage" && subject.user === "nobody" && action.lookup("name") === "box")' \
  'return polkit.Result.YES; });' >/etc/polkit-1/rules.d/50-box.rules
check "with a rule for it, it may" eventually 10 pause "$object"
expect "and it was done" 's "Paused"' bus get-property io.hypeman.Agent1 "$object" io.hypeman.Agent1.Instance State
check "but not with another" not pause "$other"
check "nor may it run commands there" not nobody call io.hypeman.Agent1 "$object" io.hypeman.Agent1.Instance OpenExec 'asa{sv}' 1 true 0
rm /etc/polkit-1/rules.d/50-box.rules
check "without the rule, no more" eventually 10 not stop "$object"
# busctl prints the text of an error without its name.
pause_with() { dbus-send --system --print-reply --dest=io.hypeman.Agent1 "$1" io.hypeman.Agent1.Instance.Pause "$2"; }
contains "a wrong signature is refused by name" "InvalidArgs: Pause takes (t), not (s)" pause_with "$object" string:x
contains "so is an unknown instance" "UnknownObject: there is no object" pause_with $agent/instances/none uint64:1
check "both are removed" hypeman rm --force box other
