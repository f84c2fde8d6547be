/// Finds ctrl-P ctrl-Q in what is typed: the way out of a program without ending it, as Docker has it.
struct DetachKeys {
    private static let first: UInt8 = 0x10
    private static let second: UInt8 = 0x11

    private static let interrupt: UInt8 = 0x03

    private let includesInterrupt: Bool
    private var hasFirst = false

    /// - Parameter includingInterrupt: Whether ctrl-C is a way out, too: where nobody else could want it.
    init(includingInterrupt: Bool = false) { includesInterrupt = includingInterrupt }

    /// Takes what was typed.
    ///
    /// A ctrl-P is held back until the next key tells what it was meant for.
    ///
    /// - Returns: What goes to the program, and whether the way out was taken after it.
    mutating func take(_ bytes: [UInt8]) -> (input: [UInt8], detaches: Bool) {
        var input: [UInt8] = []
        for byte in bytes {
            if includesInterrupt, byte == Self.interrupt { return (input, true) }
            if hasFirst, byte == Self.second { return (input, true) }
            if hasFirst { input.append(Self.first) }
            hasFirst = byte == Self.first
            if !hasFirst { input.append(byte) }
        }
        return (input, false)
    }
}
