import CNetwork
import SystemPackage

extension NetlinkSocket {
    /// How often a dump that something changed under is begun anew.
    private static var dumpAttempts: Int { 64 }
    /// Far more than any table that is read whole has.
    private static var dumpLimit: Int { 1 << 20 }

    /// Sends requests, all in one system call, and waits until each is acknowledged.
    ///
    /// The kernel carries out one after the other, also those behind one that fails.
    ///
    /// - Parameters:
    ///   - messages: In their order.
    ///   - tolerated: Errors that are none here.
    /// - Throws: The first ``NetlinkError``.
    mutating func send(_ messages: [NetlinkMessage], tolerating tolerated: Set<Errno> = []) throws {
        for failure in try transact(messages) where failure.map({ !tolerated.contains($0.errno) }) ?? false {
            guard let failure else { continue }
            throw failure
        }
    }

    mutating func send(_ message: NetlinkMessage, tolerating tolerated: Set<Errno> = []) throws {
        try send([message], tolerating: tolerated)
    }

    /// As ``send(_:tolerating:)``, with what became of each.
    mutating func transact(_ messages: [NetlinkMessage]) throws -> [NetlinkError?] {
        guard let first = messages.first else { return [] }
        var datagram: [UInt8] = []
        var pending: [UInt32: Int] = [:]
        for (index, message) in messages.enumerated() {
            let sequence = nextSequence()
            pending[sequence] = index
            datagram += message.encoded(sequence: sequence, adding: NLM_F_REQUEST | NLM_F_ACK)
        }
        try send(datagram, purpose: first.purpose)
        var failures = [NetlinkError?](repeating: nil, count: messages.count)
        while !pending.isEmpty {
            for reply in try receive(purpose: first.purpose) where reply.type == UInt16(NLMSG_ERROR) {
                guard let index = pending.removeValue(forKey: reply.sequence) else { continue }
                failures[index] = reply.failure(purpose: messages[index].purpose)
            }
        }
        return failures
    }

    /// Asks for one thing.
    ///
    /// - Returns: nil if there is none such (ENODEV, ENOENT).
    mutating func get(_ message: NetlinkMessage) throws -> NetlinkReply? {
        let sequence = nextSequence()
        try send(message.encoded(sequence: sequence, adding: NLM_F_REQUEST), purpose: message.purpose)
        while true {
            for reply in try receive(purpose: message.purpose) where reply.sequence == sequence {
                guard reply.type == UInt16(NLMSG_ERROR) else { return reply }
                guard let failure = reply.failure(purpose: message.purpose) else { return nil }
                if [NetlinkError.noDevice, .noSuchFileOrDirectory].contains(failure.errno) { return nil }
                throw failure
            }
        }
    }

    /// Asks for all things of a kind.
    ///
    /// A list that changed while it was read (NLM_F_DUMP_INTR) is read anew.
    ///
    /// - Parameters:
    ///   - message: The request.
    ///   - parse: Makes a value of each, or nil to leave it out.
    /// - Returns: The values.
    /// - Throws: ``NetlinkError``.
    mutating func dump<Value>(
        _ message: NetlinkMessage,
        _ parse: (NetlinkReply) throws -> Value?
    ) throws -> [Value] {
        for _ in 0..<Self.dumpAttempts {
            if let values = try consistentDump(message, parse) { return values }
        }
        throw NetlinkError(.interrupted, purpose: message.purpose, detail: "the list changes faster than it is read")
    }

    /// One attempt; nil if the list changed.
    private mutating func consistentDump<Value>(
        _ message: NetlinkMessage,
        _ parse: (NetlinkReply) throws -> Value?
    ) throws -> [Value]? {
        let sequence = nextSequence()
        try send(message.encoded(sequence: sequence, adding: NLM_F_REQUEST | NLM_F_DUMP), purpose: message.purpose)
        var values: [Value] = []
        var isConsistent = true
        while true {
            for reply in try receive(purpose: message.purpose) where reply.sequence == sequence {
                if reply.flags & UInt16(NLM_F_DUMP_INTR) != 0 { isConsistent = false }
                switch Int32(reply.type) {
                case NLMSG_DONE:
                    // Ends with an error number where the dump broke off.
                    if let failure = reply.payload.isEmpty ? nil : reply.failure(purpose: message.purpose) {
                        throw failure
                    }
                    return isConsistent ? values : nil
                case NLMSG_ERROR:
                    if let failure = reply.failure(purpose: message.purpose) { throw failure }
                case NLMSG_NOOP: break
                default:
                    guard isConsistent, let value = try parse(reply) else { continue }
                    guard values.count < Self.dumpLimit else {
                        throw NetlinkError(.outOfRange, purpose: message.purpose, detail: "the list is too long")
                    }
                    values.append(value)
                }
            }
        }
    }
}
