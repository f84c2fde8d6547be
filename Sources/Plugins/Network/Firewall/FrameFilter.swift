import AgentCore
import Synchronization

/// The instances that may send on a bridge, and the nft table that holds them to their own names.
///
/// Not safe for two changes at a time: ``Firewall`` makes them one after the other.
final class FrameFilter: Sendable {
    private struct State {
        var admissions: [String: FrameRules.Admission] = [:]
        /// The rules as nft listed them when they were loaded last; how it words them differs between its versions.
        var rules: [NftListing.Rule]?
    }

    private let rules: FrameRules
    private let network: HostNetwork
    private let sets: NftSets
    private let state = Mutex(State())

    init(bridge: String, network: HostNetwork) {
        rules = FrameRules(bridge: bridge)
        self.network = network
        sets = NftSets(network: network)
    }

    /// Makes these, and nobody else, the instances that may send.
    ///
    /// - Returns: Whether anything had to be done for it.
    func install(_ admissions: [FrameRules.Admission]) async throws -> Bool {
        if try await holds(admissions) { return false }
        try await load(admissions)
        return true
    }

    /// Whether the table is as it was loaded, with these instances in it.
    private func holds(_ admissions: [FrameRules.Admission]) async throws -> Bool {
        guard let expected = state.withLock({ $0.rules }), let listing = try await listing() else { return false }
        return listing.rules == expected && FrameRules.elements(in: listing) == FrameRules.elements(of: admissions)
    }

    /// Lets an instance send in its own name; whatever its port was allowed before, it isn't any more.
    func admit(_ admission: FrameRules.Admission) async throws {
        let (all, previous) = state.withLock { ($0.admissions, $0.admissions[admission.tap]) }
        let old = Set(previous?.elements ?? [])
        let new = Set(admission.elements)
        do {
            // All of it also where it should be there already: nobody may come onto the bridge unheld.
            try await apply(adding: new, deleting: old.subtracting(new))
        } catch {
            // Somebody removed the table or elements of it: all of it is put back, with the new instance.
            var admissions = all
            admissions[admission.tap] = admission
            try await load(Array(admissions.values))
            return
        }
        state.withLock { $0.admissions[admission.tap] = admission }
    }

    /// Forgets an instance, after its port is gone or closed.
    func expel(tap: String) async throws {
        let (all, admission) = state.withLock { ($0.admissions, $0.admissions[tap]) }
        guard let admission else { return }
        do {
            try await apply(adding: [], deleting: Set(admission.elements))
        } catch {
            try await load(all.values.filter { $0 != admission })
            return
        }
        state.withLock { _ = $0.admissions.removeValue(forKey: tap) }
    }

    /// Removes the table.
    func remove() async throws {
        if try await listing() != nil { try await Nft.load(rules.removal, in: network) }
        state.withLock { $0 = State() }
    }

    private func load(_ admissions: [FrameRules.Admission]) async throws {
        for admission in admissions where !PacketRules.isDevice(admission.tap) {
            throw AgentError(.invalidArgument, "'\(admission.tap)' is not usable as a network device's name")
        }
        try await Nft.load(rules.replacement(for: admissions), in: network)
        let listing = try await listing()
        state.withLock { state in
            state.admissions = Dictionary(admissions.map { ($0.tap, $0) }) { _, last in last }
            state.rules = listing?.rules
        }
    }

    private func listing() async throws -> NftListing? {
        try await Nft.list(["table", rules.table.family, rules.table.name], in: network)
    }

    private func apply(adding: Set<FrameSetElement>, deleting: Set<FrameSetElement>) async throws {
        let deletions = deleting.map { NftSets.Change(set: $0.set, key: $0.key, isAddition: false) }
        let additions = adding.map { NftSets.Change(set: $0.set, key: $0.key, isAddition: true) }
        try await sets.apply(deletions + additions, table: rules.table.name)
    }
}
