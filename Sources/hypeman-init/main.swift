// PID 1 of a guest; `hypeman-init agent` is the agent alone, as a unit of the guest's systemd.
if CommandLine.arguments.dropFirst().first == "agent" {
    SystemdAgent.run()
} else {
    FirstProcess.run()
}
