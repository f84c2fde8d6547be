import AgentCore
import DBus

/// What can be done with an image.
struct ImageMethods: Sendable {
    let name: String
    let images: ImagesService

    var members: [Interface.Member] {
        [
            .method("Delete") { (_: Call) in
                try await answering { try await images.delete(try ImageReference(name)) }
            }
        ]
    }
}
