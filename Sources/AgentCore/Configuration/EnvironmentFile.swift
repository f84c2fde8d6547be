/// The text of a `.env` file: `NAME=value` a line, as systemd's EnvironmentFile= reads it (systemd.exec(5)).
///
/// Empty lines and lines that begin with `#` or `;` are skipped, white space around a name and a value is not theirs,
/// and a value in single or double quotes is taken out of them. There is no substitution.
public struct EnvironmentFile: Sendable {
    /// What the file sets.
    public let values: [String: String]

    /// Parses `text`.
    ///
    /// - Throws: ``AgentError`` `invalidArgument` that names the line.
    public init(_ text: String, name: String) throws(AgentError) {
        var values: [String: String] = [:]
        for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let trimmed = Self.trim(line)
            guard let first = trimmed.first, first != "#", first != ";" else { continue }
            guard let equals = trimmed.firstIndex(of: "="), equals != trimmed.startIndex else {
                throw AgentError(.invalidArgument, "\(name), line \(number + 1): expected NAME=value")
            }
            var value = Self.trim(trimmed[trimmed.index(after: equals)...])
            if let quote = value.first, quote == "\"" || quote == "'" {
                guard value.count > 1, value.last == quote else {
                    throw AgentError(.invalidArgument, "\(name), line \(number + 1): the quote is not closed")
                }
                value = value.dropFirst().dropLast()
            }
            values[String(Self.trim(trimmed[..<equals]))] = String(value)
        }
        self.values = values
    }

    private static func trim(_ text: Substring) -> Substring {
        let start = text.drop { $0.isWhitespace }
        guard let end = start.lastIndex(where: { !$0.isWhitespace }) else { return "" }
        return start[...end]
    }
}
