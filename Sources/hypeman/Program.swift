import ArgumentParser
import Foundation

/// The entry point: runs a command and turns how it ended into an exit code.
@main
enum Program {
    static func main() async {
        // libdispatch would report to the system's log each thread whose priority it may not raise.
        setenv("LIBDISPATCH_LOG", "NO", 0)
        exit(await run(Array(CommandLine.arguments.dropFirst())))
    }

    /// Runs the command that `arguments` name.
    ///
    /// - Returns: The exit code.
    static func run(_ arguments: [String]) async -> Int32 {
        var ownFailure = ExitStatus.ownFailure
        do {
            var command = try Hypeman.parseAsRoot(arguments)
            if let asynchronous = command as? any AgentCommand {
                ownFailure = type(of: asynchronous).failureStatus
                return try await asynchronous.perform()
            }
            try command.run()
            return 0
        } catch let error as CommandError {
            write(error.description)
            return error.exitCode ?? ownFailure
        } catch let error as AgentRefusal {
            write(error.commandError().description)
            return ownFailure
        } catch is BrokenOutput {
            return ExitStatus.failure
        } catch {
            return report(error, ownFailure)
        }
    }

    /// Help goes to stdout and is no failure; the rest is a wrong command line, or a fault nobody translated.
    private static func report(_ error: any Error, _ ownFailure: Int32) -> Int32 {
        let message = Hypeman.fullMessage(for: error)
        guard !Hypeman.exitCode(for: error).isSuccess else {
            print(message)
            return 0
        }
        write(Hypeman.exitCode(for: error) == .validationFailure ? message : "hypeman: \(error)")
        return Hypeman.exitCode(for: error) == .validationFailure ? ExitStatus.ownFailure : ownFailure
    }

    private static func write(_ line: String) {
        FileHandle.standardError.write(Data("\(line)\n".utf8))
    }
}

/// Whoever read our output has gone; nobody is left to be told.
struct BrokenOutput: Error {}
