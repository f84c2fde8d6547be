import CNetwork

/// A request to the kernel (netlink(7)): a header of the protocol in use and attributes.
///
/// Numbers are in the host's byte order, save where a protocol says otherwise (netfilter's are big-endian).
struct NetlinkMessage: Sendable {
    /// As the kernel aligns attributes and messages (NLMSG_ALIGNTO and NLA_ALIGNTO in linux/netlink.h).
    static let alignment = 4
    private static let attributeHeaderSize = 4

    /// What it is to do, for errors: "cannot …".
    let purpose: String
    let type: UInt16
    let flags: UInt16
    /// All but the netlink header.
    private(set) var body: [UInt8] = []

    /// Starts a message.
    ///
    /// - Parameters:
    ///   - type: `RTM_…`, or a subsystem of netfilter and its message.
    ///   - flags: `NLM_F_…` beside those that the socket sets itself.
    ///   - header: The structure that this type of message begins with.
    ///   - purpose: Completes "cannot …".
    init<Header: BitwiseCopyable>(
        _ type: some BinaryInteger,
        flags: Int32 = 0,
        header: Header,
        purpose: String
    ) {
        self.type = UInt16(type)
        self.flags = UInt16(flags)
        self.purpose = purpose
        body.reserveCapacity(256)
        append(header)
        pad()
    }

    /// Appends an attribute with the bytes of a value: a number or one of the kernel's structures.
    mutating func put<Value: BitwiseCopyable>(_ type: some BinaryInteger, _ value: Value) {
        attribute(type) { $0.append(value) }
    }

    mutating func put(_ type: some BinaryInteger, bytes: some Sequence<UInt8>) {
        attribute(type) { $0.body.append(contentsOf: bytes) }
    }

    /// Appends text with the NUL that the kernel wants behind it.
    mutating func put(_ type: some BinaryInteger, text: String) {
        put(type, bytes: Array(text.utf8) + [0])
    }

    /// Appends an attribute that holds those that `content` appends.
    mutating func nest(_ type: some BinaryInteger, _ content: (inout NetlinkMessage) -> Void) {
        attribute(UInt16(type) | UInt16(NLA_F_NESTED), content)
    }

    private mutating func attribute(_ type: some BinaryInteger, _ content: (inout NetlinkMessage) -> Void) {
        let start = body.count
        append(UInt16(0))
        append(UInt16(type))
        content(&self)
        // A nested attribute's own length counts the padding of what is in it, as those end aligned.
        let length = body.count - start
        precondition(length <= Int(UInt16.max), "a netlink attribute of \(length) bytes")
        withUnsafeBytes(of: UInt16(length)) { body.replaceSubrange(start..<start + 2, with: $0) }
        pad()
    }

    private mutating func append<Value: BitwiseCopyable>(_ value: Value) {
        withUnsafeBytes(of: value) { body.append(contentsOf: $0) }
    }

    private mutating func pad() {
        while body.count % Self.alignment != 0 { body.append(0) }
    }

    /// What is sent.
    func encoded(sequence: UInt32, adding more: Int32) -> [UInt8] {
        var header = nlmsghdr()
        header.nlmsg_len = UInt32(MemoryLayout<nlmsghdr>.size + body.count)
        header.nlmsg_type = type
        header.nlmsg_flags = flags | UInt16(more)
        header.nlmsg_seq = sequence
        return withUnsafeBytes(of: header, Array.init) + body
    }
}
