import AgentCore
import DBus
import GuestProtocol
import NIOPosix

/// Files in and out, as tar archives through descriptors.
extension InstanceMethods {
    var files: [Interface.Member] {
        [
            .method("CopyTo", ["archive", "path", "options", "flags"], returns: ["operation"]) {
                (call: Call, archive: UnixDescriptor, path: String, options: [String: Variant], flags: UInt64) in
                try await answering {
                    var options = Options(options)
                    let request = GuestWriteRequest(path: path, keepsOwners: try options.take("KeepOwners") ?? false)
                    try options.finish()
                    let source = try await DescriptorSource(archive)
                    return try await begin("copy-to", call, flags) { instances, reference in
                        let input = try await instances.copyTo(reference, request, patience: StartPatience.standard)
                        do {
                            try await source.forEach(on: .singleton) { try await input.write($0) }
                            _ = try await input.finish()
                        } catch {
                            // Not in this task: it may be cancelled, and the guest must hear of it all the same.
                            await Task { await input.cancel() }.value
                            throw error
                        }
                    }
                }
            },
            .method("CopyFrom", ["path", "options"], returns: ["archive"]) {
                (call: Call, path: String, options: [String: Variant]) in
                try await answering {
                    var options = Options(options)
                    let request = GuestReadRequest(
                        path: path,
                        followsLink: try options.take("FollowLinks") ?? false,
                        name: try options.take("Name")
                    )
                    try options.finish()
                    let archive = try await instances.copyFrom(reference, request, patience: StartPatience.standard)
                    let pieces = archive.pieces { event in
                        if case .bytes(let bytes) = event { bytes } else { nil }
                    }
                    return try await streams.openOutput(call, pieces)
                }
            },
        ]
    }
}
