import AgentCore
import DBus
import NIOPosix

/// How images come and go.
extension ManagerObject {
    var imageMembers: [Interface.Member] {
        [
            .method("ListImages", returns: ["images"]) { (_: Call) in
                images.list().map { image in
                    ListEntry(
                        .image(image.name),
                        image.name,
                        ObjectTables.image.values(ObjectTables.listedOfImages, of: image)
                    )
                }
            },
            .method("GetImage", ["name"], returns: ["image"]) { (_: Call, name: String) in
                try await answering { ObjectPath.image(try images.get(try ImageReference(name)).name) }
            },
            .method("PullImage", ["name", "options", "flags"], returns: ["image", "operation"]) {
                (call: Call, name: String, options: [String: Variant], flags: UInt64) in
                try await answering { try await pull(call, name, options, try CallFlags(flags)) }
            },
            .method("ImportImage", ["archive", "options", "flags"], returns: ["operation"]) {
                (call: Call, archive: UnixDescriptor, options: [String: Variant], flags: UInt64) in
                try await answering { try await take(call, archive, options, try CallFlags(flags)) }
            },
            .method("PruneImages", ["options"], returns: ["images", "reclaimed"]) {
                (_: Call, options: [String: Variant]) in
                try await answering {
                    let report = try await images.prune(try ImagePruneRequest(options))
                    for image in report.images { await published.show(imageNamed: image.name) }
                    return (report.images.map(\.name), UInt64(clamping: report.reclaimed.bytes))
                }
            },
        ]
    }

    /// Answers once the registry has said which image the name stands for.
    private func pull(
        _ call: Call,
        _ name: String,
        _ given: [String: Variant],
        _ flags: CallFlags
    ) async throws -> (ObjectPath, ObjectPath) {
        var options = Options(given)
        let tags: [String: String] = try options.take("Labels") ?? [:]
        let credentials = try RegistryCredentials(&options)
        try options.finish()
        let reference = try ImageReference(name)
        let place = try await operations.reserve(for: call)
        let image: Image
        do {
            image = try await images.pull(reference, tags: tags, credentials: credentials)
        } catch {
            await operations.release(place)
            throw error
        }
        await published.show(imageNamed: image.name)
        let path = ObjectPath.image(image.name)
        let operation = await operations.begin(
            "pull",
            in: place,
            on: path,
            cancel: { try await images.delete(reference) },
            { report in try await images.follow(reference, report) }
        )
        if flags.waits { try await operations.wait(operation) }
        return (path, operation)
    }

    private func take(
        _ call: Call,
        _ archive: UnixDescriptor,
        _ given: [String: Variant],
        _ flags: CallFlags
    ) async throws -> ObjectPath {
        var options = Options(given)
        let name = try options.take("Name", String.self).map { text throws(AgentError) in try ImageReference(text) }
        let tags: [String: String] = try options.take("Labels") ?? [:]
        try options.finish()
        try Tags.validate(tags)
        let intake = ArchiveIntake(destination: images, threads: .singleton, logger: logger)
        let source = try await intake.source(archive)
        let operation = try await operations.begin(
            "import",
            for: call,
            on: name.map { .image($0.description) } ?? AgentBus.nothing
        ) { report in
            let image = try await images.importArchive(try await intake.receive(source), name: name, tags: tags)
            try await images.follow(try ImageReference(image.name), report)
        }
        if flags.waits { try await operations.wait(operation) }
        return operation
    }
}

extension ImagesService {
    /// Reports how an image comes along, until it is ready.
    func follow(
        _ reference: ImageReference,
        _ report: @Sendable (OperationRegistry.Progress) async -> Void
    ) async throws {
        for await progress in try progress(of: reference) {
            await report(
                OperationRegistry.Progress(
                    state: progress.status.rawValue,
                    completed: UInt64(clamping: progress.completed),
                    total: UInt64(clamping: progress.total ?? 0)
                )
            )
        }
        guard let image = try? get(reference) else {
            throw AgentError(.cancelled, "image '\(reference)' was deleted before it was ready")
        }
        guard image.status == .ready else {
            throw AgentError(
                .unavailable,
                code: "image_failed",
                "image '\(reference)' is \(image.status.rawValue): \(image.error ?? "the agent stops")"
            )
        }
    }
}
