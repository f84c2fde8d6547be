/// Splits a server-sent event stream into the data of its events, in the form that the agent sends: `data: <json>` and
/// an empty line.
struct EventParser {
    /// An event larger than this is no agent's.
    static let largestEvent = 8 << 20

    private var line: [UInt8] = []
    private var data: [UInt8] = []

    /// Takes bytes as they come.
    ///
    /// - Returns: The events that are complete now.
    mutating func take(_ bytes: some Sequence<UInt8>) throws -> [[UInt8]] {
        var events: [[UInt8]] = []
        for byte in bytes {
            guard byte == UInt8(ascii: "\n") else {
                line.append(byte)
                guard line.count <= Self.largestEvent else {
                    throw CommandError("the agent sent an event that is too large")
                }
                continue
            }
            if line.last == UInt8(ascii: "\r") { line.removeLast() }
            if line.isEmpty {
                if !data.isEmpty { events.append(data) }
                data = []
            } else if line.starts(with: Array("data:".utf8)) {
                let value = line.dropFirst(5)
                data += value.first == UInt8(ascii: " ") ? value.dropFirst() : value
            }
            line.removeAll(keepingCapacity: true)
        }
        return events
    }
}
