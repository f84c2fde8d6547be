import AgentCore
import DBus

/// What can be done with a volume; instances are given and lose it by methods of their own.
struct VolumeMethods: Sendable {
    let id: VolumeID
    let volumes: VolumesService
    let published: PublishedObjects
    let operations: OperationRegistry

    var members: [Interface.Member] {
        [
            .method("Grow", ["size", "flags"], returns: ["operation"]) { (call: Call, size: UInt64, flags: UInt64) in
                try await answering {
                    let flags = try CallFlags(flags)
                    let size = ByteSize(bytes: Int(clamping: size))
                    let path = try await operations.begin("grow", for: call, on: .volume(id)) { _ in
                        _ = try await volumes.grow(id.rawValue, to: size)
                    }
                    if flags.waits { try await operations.wait(path) }
                    return path
                }
            },
            .method("Delete") { (_: Call) in
                try await answering { try await volumes.delete(id.rawValue) }
                await published.show(id)
            },
        ]
    }
}
