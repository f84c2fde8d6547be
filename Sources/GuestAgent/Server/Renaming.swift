import Glibc
public import GuestProtocol

/// How a guest whose memory is a copy of another's becomes a guest of its own: its name, its files, its address.
///
/// The effects beyond files need a kernel that is the guest's own; whoever has none gives others.
public struct Renaming: Sendable {
    private let root: String
    private let setHostname: @Sendable (_ name: String) -> Int32
    private let setNetwork: @Sendable (_ network: GuestConfiguration.Network, _ formerMACs: [String]) -> String?

    /// - Parameters:
    ///   - root: Where the guest's files are, without a slash at its end.
    ///   - setHostname: Sets the kernel's host name; 0 or a negated errno.
    ///   - setNetwork: Gives the card that has one of `formerMACs`, or the new address already, its address; says in
    ///     words what went wrong, nil if nothing did.
    public init(
        root: String = "",
        setHostname: @escaping @Sendable (_ name: String) -> Int32,
        setNetwork: @escaping @Sendable (_ network: GuestConfiguration.Network, _ formerMACs: [String]) -> String?
    ) {
        self.root = root
        self.setHostname = setHostname
        self.setNetwork = setNetwork
    }

    /// Does it; what was done already is done again.
    ///
    /// - Returns: What went wrong, nil if nothing did.
    func apply(_ identity: GuestIdentity, to former: GuestConfiguration) -> Awakening.Failure? {
        guard MachineID.isValid(identity.machineID) else {
            return Awakening.Failure(message: "the machine id is not 32 hexadecimal digits", isRefusal: true)
        }
        guard (1...64).contains(identity.hostname.utf8.count) else {
            return Awakening.Failure(message: "a host name has 1 to 64 bytes (sethostname(2))", isRefusal: true)
        }
        let result = setHostname(identity.hostname)
        guard result == 0 else { return Self.failure("set the host name", result) }
        if let (path, error) = MachineID.replace(below: root, by: identity.machineID) {
            return Self.failure("write \(path)", error)
        }
        var configuration = former
        configuration.take(identity)
        if let (path, error) = NetworkFiles(configuration).write(below: root).first {
            return Self.failure("write \(path)", error)
        }
        let formerMACs = [identity.formerMAC, former.network?.mac].compactMap { $0 }
        guard let network = identity.network, let words = setNetwork(network, formerMACs) else { return nil }
        return Awakening.Failure(message: words, isRefusal: false)
    }

    private static func failure(_ what: String, _ error: Int32) -> Awakening.Failure {
        Awakening.Failure(message: "cannot \(what): \(String(cString: strerror(-error)))", isRefusal: false)
    }
}

extension GuestConfiguration {
    /// What it would have been, had the guest booted with an identity.
    mutating func take(_ identity: GuestIdentity) {
        instance = identity.instance
        hostname = identity.hostname
        network = identity.network
    }
}
