/// Connects instances to the outside.
///
/// Which address an instance has is the core's to decide and to store; the backend makes it true on the host. Calls may
/// come from anywhere and at the same time.
public protocol NetworkBackend: Sendable {
    /// As in the configuration.
    var name: String { get }

    /// The network that instances can be on; nil where the backend provides none, and then neither `attachment` nor
    /// `attach` is called.
    ///
    /// The MTU is the uplink's once the host was prepared.
    var network: Network? { get }

    /// An element after each change of the host that the network has to follow, as of its uplink: the core then brings
    /// the host in line. For one reader; ends at once where nothing is listened to.
    ///
    /// What the backend does itself is not told, and what comes in quick succession is told once.
    var changes: AsyncStream<Void> { get }

    /// Makes what all instances share, and brings the host in line with the endpoints that are to be there.
    ///
    /// Called at start, after faults and now and then: what is right already is not touched, what carries this
    /// backend's mark and belongs to no endpoint is removed, nothing else ever is. An endpoint whose device is in use
    /// by a VMM keeps it.
    ///
    /// - Throws: `invalidState` with what is in the way and what to do about it (a subnet that is in use, a bridge with
    ///   a foreign address, forwarding that is off, no uplink), `unavailable` for a tool that is not installed,
    ///   `permissionDenied`. Nothing is half made then.
    func reconcile(_ endpoints: [NetworkEndpoint]) async throws

    /// The attachment of whoever has an address; pure, two addresses never share a MAC or a device.
    func attachment(at address: IPv4Address) -> NetworkAttachment

    /// Connects an instance; returns when its VMM can open the device.
    ///
    /// Idempotent: an endpoint that is attached is brought in line with what is asked for.
    ///
    /// - Throws: `alreadyExists` `port_in_use` if something else on the host listens on a port to be published,
    ///   `quotaExceeded` if the bridge is full, `unavailable`. Nothing is left of an attach that failed.
    func attach(_ endpoint: NetworkEndpoint) async throws

    /// Removes an instance's device, rules, limits, names and connections. Idempotent.
    func detach(_ endpoint: NetworkEndpoint) async throws

    /// What went over a card since it was attached; nil if it isn't.
    func counters(of attachment: NetworkAttachment) async throws -> NetworkCounters?

    /// What `check` should say about this host, for this backend.
    func findings() async -> [HostFinding]

    /// Removes everything that this backend made on the host. Idempotent.
    ///
    /// - Throws: `invalidState` while a VMM uses a device.
    func tearDown() async throws
}
