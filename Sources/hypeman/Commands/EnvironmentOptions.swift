import Foundation

/// `-e` and `--env-file`, as docker reads them.
enum EnvironmentOptions {
    /// Puts files and variables together; later ones win, variables over files.
    ///
    /// - Parameters:
    ///   - files: Paths, each with a variable a line and `#` comments.
    ///   - variables: `NAME=VALUE`, or `NAME` for the value that it has in `own`, if any.
    ///   - own: This process's environment.
    /// - Returns: nil where there is none.
    /// - Throws: For a file that cannot be read and a variable without a name.
    static func merge(files: [String], variables: [String], own: [String: String]) throws -> [String: String]? {
        var result: [String: String] = [:]
        for path in files {
            guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
                throw CommandError("cannot read the environment file \(path)", remedy: "is it there, and UTF-8?")
            }
            for line in text.split(whereSeparator: \.isNewline) {
                let line = line.drop { $0 == " " || $0 == "\t" }
                if !line.isEmpty, !line.hasPrefix("#") { try add(String(line), own, to: &result) }
            }
        }
        for variable in variables { try add(variable, own, to: &result) }
        return result.isEmpty ? nil : result
    }

    private static func add(_ text: String, _ own: [String: String], to result: inout [String: String]) throws {
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        let name = String(parts[0])
        guard !name.isEmpty else {
            throw CommandError("'\(text)' is not an environment variable", remedy: "write NAME=VALUE")
        }
        if parts.count == 2 { result[name] = String(parts[1]) } else if let value = own[name] { result[name] = value }
    }
}
