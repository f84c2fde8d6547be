import ArgumentParser

/// The whole command line.
struct Hypeman: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "hypeman",
        abstract: "Run container images as virtual machines.",
        discussion: """
            Talks to the agent on this host through \(Endpoint.defaultSocket) ($HYPEMAN_SOCKET names another), or to the \
            agent at $HYPEMAN_BASE_URL with the token in $HYPEMAN_API_KEY.

            Instances are named by name, id, or a prefix of an id that fits no other.

            Exit codes: that of the program for run, attach, exec and wait; 125 if the command line is wrong or hypeman \
            itself failed while running one of these; 126 and 127 if the program could not be run or was not found; 1 if \
            any other command failed; 130 after a second ctrl-C.
            """,
        version: Version.current,
        subcommands: [
            RunCommand.self, AttachCommand.self, ExecCommand.self, CopyCommand.self, PsCommand.self, LogsCommand.self,
            StopCommand.self,
            StartCommand.self, PauseCommand.self, ResumeCommand.self, StandbyCommand.self, RestoreCommand.self,
            ForkCommand.self, CommitCommand.self, SnapshotCommand.self, ConsoleCommand.self, UpdateCommand.self,
            RmCommand.self,
            InspectCommand.self, WaitCommand.self,
            EventsCommand.self,
            StatsCommand.self,
            PullCommand.self,
            ImportCommand.self, ImagesCommand.self, RmiCommand.self, SaveCommand.self, LoadCommand.self,
            ImageCommand.self, VolumeCommand.self, SystemCommand.self, ResourcesCommand.self, HealthCommand.self,
            VersionCommand.self,
        ]
    )
}

/// A command that talks to the agent.
protocol AgentCommand: ParsableCommand {
    /// The exit code of its own failures.
    static var failureStatus: Int32 { get }
    /// Does it.
    ///
    /// - Returns: The exit code.
    func perform() async throws -> Int32
}

extension AgentCommand {
    static var failureStatus: Int32 { ExitStatus.failure }
}

/// The release of this program.
enum Version {
    static let current = "0.1.0"
}
