public import AgentCore
public import GuestProtocol

/// What a simulated guest does by itself.
///
/// The default boots and starts its program, which writes nothing and runs until it is told to stop.
public struct GuestBehaviour: Sendable {
    /// What a simulated command does.
    public enum Command: Sendable {
        /// Writes this and ends.
        case finishes(stdout: String = "", stderr: String = "", exit: GuestExit = GuestExit(code: 0))
        /// Copies stdin to stdout, and ends with it.
        case echoesInput
        /// Runs until it gets a signal or is killed.
        case runsUntilSignalled
        /// The guest refuses it.
        case refused(AgentError)
    }

    /// What a simulated program does with its stdin.
    public enum Input: Sendable {
        /// It has neither that nor a terminal.
        case none
        /// It copies it to stdout, and ends with it; a new size of its terminal is written as a line `rows columns`.
        case echoed
    }

    /// Whether the guest completes the channel's handshake.
    ///
    /// If not, ``InMemoryHost/letGuestAnswer(_:)`` makes it.
    public var answers = true
    /// What it says that it can.
    public var features = GuestFeature.all.sorted()
    /// Fails the handshake, as a guest of another version does.
    public var handshakeError: AgentError?
    /// The VMM exits like this instead of the guest booting, after the start has returned.
    public var bootFailure: ProcessExit?
    /// Whether the program's start is reported once the guest is up.
    public var startsProgram = true
    /// Written to stdout right after the start.
    public var output = ""
    /// Written to the serial console at boot.
    public var console = ""
    /// The program's stdin.
    public var input = Input.none
    /// How the program ends by itself, right after its output; nil: it runs on.
    public var exit: GuestExit?
    /// How the program ends when it is signalled; nil: it ignores that.
    public var exitOnSignal: GuestExit? = GuestExit(code: 143, signal: 15)
    /// Whether the power button ends the guest.
    public var heedsPowerButton = true
    /// What commands do.
    public var exec: @Sendable (ExecRequest) -> Command = Self.standardCommand

    public init() {}

    /// `cat` copies its input, `sleep` runs until signalled, `false` ends with 1, and everything else writes its own
    /// arguments as a line.
    public static let standardCommand: @Sendable (ExecRequest) -> Command = { request in
        switch request.program.arguments.first {
        case "cat": .echoesInput
        case "sleep": .runsUntilSignalled
        case "false": .finishes(exit: GuestExit(code: 1))
        default: .finishes(stdout: request.program.arguments.joined(separator: " ") + "\n")
        }
    }

    /// A guest whose program writes `output` and ends with `code`.
    public static func runs(output: String, exit code: Int) -> GuestBehaviour {
        var behaviour = GuestBehaviour()
        behaviour.output = output
        behaviour.exit = GuestExit(code: code)
        return behaviour
    }

    /// A guest that boots and never answers, nor listens to the power button.
    public static var silent: GuestBehaviour {
        var behaviour = GuestBehaviour()
        behaviour.answers = false
        behaviour.heedsPowerButton = false
        return behaviour
    }
}
