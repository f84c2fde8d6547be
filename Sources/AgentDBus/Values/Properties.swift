import AgentCore
import DBus
import Foundation

/// The properties of each kind of object.
///
/// Statements, and no array literals: the compiler looks at those one by one.
enum ObjectTables {
    /// What there is to know of an instance.
    ///
    /// Not its environment: that is where passwords are, and changes are signals that more than its owner may see.
    static let instance = PropertyTable<Instance> { table in
        table.add("Id", .constant) { $0.id.rawValue }
        table.add("Name", .constant) { $0.name.rawValue }
        table.add("Image", .constant) { $0.specification.image }
        table.add("ImageDigest", .constant) { $0.specification.imageDigest.description }
        table.add("State") { $0.state.rawValue }
        table.add("StateError") { $0.stateError ?? "" }
        table.add("VCPUs") { UInt32(clamping: $0.specification.vcpus) }
        table.add("Memory") { UInt64(clamping: $0.specification.memory.bytes) }
        table.add("OverlaySize") { UInt64(clamping: $0.specification.overlaySize.bytes) }
        table.add("Entrypoint") { $0.specification.entrypoint ?? [] }
        table.add("Command") { $0.specification.command ?? [] }
        table.add("User", .constant) { $0.specification.user ?? "" }
        table.add("WorkingDirectory", .constant) { $0.specification.workingDirectory ?? "" }
        table.add("Labels") { $0.specification.tags }
        table.add("Hypervisor") { ($0.hypervisor ?? $0.specification.hypervisor)?.rawValue ?? "" }
        table.add("Terminal", .constant) { $0.specification.terminal }
        table.add("OpenStdin", .constant) { $0.specification.openStandardInput }
        table.add("Network", .constant) { $0.attachment.map { ObjectPath.network($0.network) } ?? AgentBus.nothing }
        table.add("Address", .constant) { $0.attachment?.address.description ?? "" }
        table.add("MACAddress", .constant) { $0.attachment?.mac.description ?? "" }
        table.add("Ports", .constant) { $0.specification.publishedPorts.map { PortValue($0) } }
        table.add("CreatedUSec", .constant) { $0.createdAt.microseconds }
        table.add("StartedUSec") { $0.startedAt?.microseconds ?? 0 }
        table.add("StoppedUSec") { $0.stoppedAt?.microseconds ?? 0 }
        table.add("ExitReason") { $0.exit?.reason.rawValue ?? "" }
        table.add("ExitCode") { $0.exit?.code.map { Int32(clamping: $0) } ?? -1 }
        table.add("ExitMessage") { $0.exit?.message ?? "" }
        table.add("HasMemoryOnDisk") { $0.standby != nil }
        table.add("RestartPolicy") { ($0.specification.restartPolicy?.mode ?? .never).rawValue }
        table.add("Restarts") { UInt32(clamping: $0.restarts) }
        table.add("NextRestartUSec") { $0.nextRestart?.microseconds ?? 0 }
        table.add("Boots") { UInt32(clamping: $0.boots) }
    }

    /// What a list shows of them.
    static let listedOfInstances: Set<String> = ["Id", "Image", "State", "Address", "Labels", "CreatedUSec"]

    /// What there is to know of an image.
    static let image = PropertyTable<Image> { table in
        table.add("Name", .constant) { $0.name }
        table.add("Digest") { $0.digest.description }
        table.add("Status") { $0.status.rawValue }
        table.add("Error") { $0.error ?? "" }
        table.add("CreatedUSec") { $0.createdAt.microseconds }
        table.add("Size") { UInt64(clamping: $0.diskSize?.bytes ?? 0) }
        table.add("Labels") { $0.tags }
        table.add("Entrypoint") { $0.configuration?.entrypoint ?? [] }
        table.add("Command") { $0.configuration?.command ?? [] }
        table.add("WorkingDirectory") { $0.configuration?.workingDirectory ?? "" }
        table.add("User") { $0.configuration?.user ?? "" }
    }

    /// What a list shows of them.
    static let listedOfImages: Set<String> = ["Digest", "Status", "Size", "CreatedUSec"]
}

extension AgentBus {
    /// The path that stands for no object.
    static let nothing = path("/")
}

extension Date {
    /// Since the epoch, as systemd's interfaces have times.
    var microseconds: UInt64 { UInt64(max(0, (timeIntervalSince1970 * 1_000_000).rounded())) }
}
