import AgentCore
import DBus

/// What can be done with an image.
struct ImageMethods: Sendable {
    let name: String
    let images: ImagesService
    let published: PublishedObjects
    let streams: CallerStreams

    var members: [Interface.Member] {
        [
            .method("OpenArchive", returns: ["archive", "size"]) { (call: Call) in
                try await answering {
                    let archive = try await images.archive(try ImageReference(name))
                    return (try await streams.openOutput(call, archive.pieces), UInt64(clamping: archive.size))
                }
            },
            .method("Delete") { (_: Call) in
                try await answering { try await images.delete(try ImageReference(name)) }
                await published.show(imageNamed: name)
            },
        ]
    }
}
