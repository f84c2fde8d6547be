/// Says which claim of a conformance suite does not hold.
///
/// The suites throw it instead of recording issues, so that this library needs no testing framework and a plugin
/// outside this package can use any.
public struct ConformanceFailure: Error, CustomStringConvertible {
    public let description: String

    public init(_ claim: String, file: String = #fileID, line: Int = #line) {
        self.description = "\(claim) (\(file):\(line))"
    }
}

/// Throws ``ConformanceFailure`` unless a claim holds.
public func require(
    _ holds: Bool,
    _ claim: @autoclosure () -> String,
    file: String = #fileID,
    line: Int = #line
) throws {
    guard holds else { throw ConformanceFailure(claim(), file: file, line: line) }
}
