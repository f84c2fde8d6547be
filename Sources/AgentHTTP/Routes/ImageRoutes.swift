import AgentAPI
import AgentCore
import HTTPTypes
import HummingbirdCore

/// Images, but for their import.
struct ImageRoutes: Sendable {
    let images: any ImageOperations

    var routes: [Route] {
        [
            Route(.listImages) { call in
                try call.query.check(only: ["tags"])
                let tags = try call.query.tags()
                let found = images.list().filter { image in tags.allSatisfy { image.tags[$0.key] == $0.value } }
                return try .cacheable(found.map(ImageResponse.init), for: call)
            },
            Route(.pullImage, consumes: .json) { call in
                try call.query.check(only: [])
                let body = try CreateImageBody(try await call.body.fields())
                let reference = try ImageReference(body.name)
                let credentials = try RegistryCredentials(header: call.headers[.xRegistryAuth], for: reference)
                let image = try await images.pull(reference, tags: body.tags ?? [:], credentials: credentials)
                return try .json(ImageResponse(image), status: .accepted)
            },
            Route(.getImage) { call in
                try call.query.check(only: [])
                return try .cacheable(ImageResponse(try images.get(try ImageReference(call.subject))), for: call)
            },
            Route(.deleteImage) { call in
                try call.query.check(only: [])
                try await images.delete(try ImageReference(call.subject))
                return .empty
            },
            Route(.followImageProgress, produces: .events) { call in
                try call.query.check(only: [])
                let reference = try ImageReference(call.subject)
                let images = images
                return .events(try images.progress(of: reference), for: call) { progress in
                    ImageProgressResponse(
                        status: progress.status.rawValue,
                        completed: progress.completed,
                        total: progress.total,
                        error: progress.status == .failed ? (try? images.get(reference))?.error ?? "unknown" : nil
                    )
                }
            },
        ]
    }
}
