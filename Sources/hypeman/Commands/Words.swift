import ArgumentParser

/// A subject and the command line that is passed on untouched, as `run` and `exec` take them.
enum Words {
    /// Checks what the parser left over.
    static func check(_ words: [String], subject: String, of command: any ParsableCommand.Type) throws {
        guard let first = words.first else { throw ValidationError("Missing the \(subject).") }
        // What is passed on untouched includes --help, which the parser leaves to us then.
        if first == "--help" || first == "-h" { throw CleanExit.helpRequest(command) }
        guard !first.hasPrefix("-") else { throw ValidationError("Unknown option '\(first)'.") }
    }

    /// What follows the subject; a `--` between the two is allowed.
    static func command(_ words: [String]) -> [String] {
        let rest = words.dropFirst()
        return Array(rest.first == "--" ? rest.dropFirst() : rest)
    }
}
