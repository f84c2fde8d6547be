/// One environment variable of the agent: its name, default, meaning, and how its text is read.
///
/// The table in the README and the messages for values that do not parse are made of these.
public struct ConfigurationVariable<Value: Sendable>: Sendable {
    public let name: String
    /// The text that stands for an unset or empty variable; empty where there is no value by default.
    public let defaultText: String
    /// What it is for, for the table.
    public let summary: String
    /// What a value looks like: "a number from 1 to 65535".
    public let expected: String
    /// Another name, which counts where the first is unset or empty.
    let otherName: String?
    /// Whether its text is never shown.
    let isSecret: Bool
    private let parser: @Sendable (String) -> Value?

    init(
        _ name: String,
        default defaultText: String,
        _ summary: String,
        expected: String,
        otherName: String? = nil,
        isSecret: Bool = false,
        parse: @escaping @Sendable (String) -> Value?
    ) {
        self.name = name
        self.defaultText = defaultText
        self.summary = summary
        self.expected = expected
        self.otherName = otherName
        self.isSecret = isSecret
        self.parser = parse
    }

    /// Reads a text; nil if it isn't what is expected.
    public func parse(_ text: String) -> Value? { parser(text) }
}

/// A value of the environment that does not parse.
public struct ConfigurationProblem: Sendable, Hashable, CustomStringConvertible {
    public let name: String
    public let value: String
    public let expected: String

    public var description: String { "\(name)=\(value): expected \(expected)" }
}

/// Every problem of a configuration at once, so that one start shows them all.
public struct ConfigurationError: Error, Sendable, CustomStringConvertible {
    public let problems: [ConfigurationProblem]

    public var description: String { problems.map(\.description).joined(separator: "\n") }
}

/// Reads variables from an environment and collects what does not parse.
struct ConfigurationReader {
    let environment: [String: String]
    private(set) var problems: [ConfigurationProblem] = []

    init(environment: [String: String]) { self.environment = environment }

    /// The variable's value, or its default where it is unset or empty.
    ///
    /// - Returns: nil if it does not parse, which is remembered as a problem.
    mutating func read<Value>(_ variable: ConfigurationVariable<Value>) -> Value? {
        let names = [variable.name, variable.otherName].compactMap { $0 }
        let given = names.first { environment[$0]?.isEmpty == false } ?? variable.name
        let text = environment[given].flatMap { $0.isEmpty ? nil : $0 } ?? variable.defaultText
        if let value = variable.parse(text) { return value }
        let shown = variable.isSecret ? "(not shown)" : "'\(text.prefix(200))'"
        problems.append(ConfigurationProblem(name: given, value: shown, expected: variable.expected))
        return nil
    }
}
