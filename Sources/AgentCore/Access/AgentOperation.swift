/// Everything that can be asked of the agent, whatever the transport.
///
/// The one table: HTTP's routes and D-Bus's authorisation are made of it, and tests hold the command line, the polkit
/// actions and the errors that really come against it.
public enum AgentOperation: String, Sendable, CaseIterable {
    case getHealth, getReady, getSpecificationYAML, getSpecificationJSON
    case getCapabilities, getResources, getDiskUsage, followEvents
    case listImages, getImage, pullImage, importImage, followImageProgress, saveImage, pruneImages, deleteImage
    case listInstances, getInstance, createInstance, updateInstance, deleteInstance
    case startInstance, stopInstance, pauseInstance, resumeInstance, standbyInstance, restoreInstance, signalInstance
    case forkInstance, commitInstance
    case getInstanceStats, waitForInstance, readLogs, execInInstance, attachToInstance, followConsole
    case getPathStatus, copyFiles
    case listSnapshots, getSnapshot, createSnapshot, restoreSnapshot, forkSnapshot, deleteSnapshot
    case listVolumes, getVolume, createVolume, importVolume, growVolume, deleteVolume, attachVolume, detachVolume
    case getNetwork, getOperation, waitForOperation, cancelOperation, controlProcess

    /// What an operation is on each transport, who may ask for it, and how it fails.
    public struct Row: Sendable {
        /// nil where HTTP does not have it.
        public var http: Endpoint?
        /// `Interface.Method`, the interface without its prefix; `Interface.*` stands for the interface's properties.
        public var dbus: [String]
        /// The words after `hypeman`; nil where the command line does not have it.
        public var command: String?
        /// What a token must have.
        public var access: Access
        /// What polkit is asked; nil where D-Bus does not have it, or who may is settled without it.
        public var action: PolkitAction?
        /// The kinds of errors that it has besides those that everything can have.
        public var errors: Set<AgentError.Kind>
    }

    /// A method and a path of HTTP, as the OpenAPI document writes it.
    public struct Endpoint: Sendable, Hashable {
        public var method: String
        public var path: String
    }

    /// What any operation can fail with: by its caller, by the agent's end, by a fault.
    public static let commonErrors: Set<AgentError.Kind> = [
        .invalidArgument, .unauthenticated, .permissionDenied, .rateLimited, .cancelled, .unavailable, .internal,
    ]

    /// Whether this is among the ways in which it fails.
    public func canFail(with kind: AgentError.Kind) -> Bool {
        row.errors.contains(kind) || Self.commonErrors.contains(kind)
    }

    /// The operation behind a member of a D-Bus interface, both without prefix; nil if there is none.
    public static func ofDBus(_ interface: String, _ member: String) -> AgentOperation? {
        byMember["\(interface).\(member)"]
    }

    private static let byMember = Dictionary(
        uniqueKeysWithValues: allCases.flatMap { operation in operation.row.dbus.map { ($0, operation) } }
    )
}
