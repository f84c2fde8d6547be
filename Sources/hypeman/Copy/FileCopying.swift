import AgentAPI
import Foundation
import TarTree

/// One copy, either way.
struct FileCopying: Sendable {
    let endpoint: Endpoint
    let archive: Bool
    let followLink: Bool
    let devices: Bool
    let progress: CopyProgress

    /// Copies.
    ///
    /// - Returns: What was left out, in words.
    func run(_ source: CopyPath, _ destination: CopyPath) async throws -> [String] {
        do {
            let warnings = try await copy(source, destination)
            try await progress.finish()
            return warnings
        } catch {
            try await progress.finish()
            throw error
        }
    }

    private func copy(_ source: CopyPath, _ destination: CopyPath) async throws -> [String] {
        switch (source, destination) {
        case (.local(let source), .remote(let instance, let path)): try await upload(source, instance, path)
        case (.stream, .remote(let instance, let path)): try await uploadStream(instance, path)
        case (.remote(let instance, let path), .local(let destination)):
            try await download(instance, path, destination)
        case (.remote(let instance, let path), .stream): try await downloadStream(instance, path)
        case (.remote, .remote):
            throw CommandError(
                "cannot copy from one instance to another",
                remedy: "copy to a directory here first, or: hypeman cp A:PATH - | hypeman cp - B:PATH"
            )
        default:
            throw CommandError("neither path is in an instance", remedy: "write INSTANCE:PATH for one of them")
        }
    }

    // MARK: Into an instance

    private func upload(_ source: String, _ instance: String, _ path: String) async throws -> [String] {
        let text = CopyPathText(source)
        let from = try LocalFiles.place(source, followsLink: followLink || text.meansDirectory)
        guard from.kind != .nothing else { throw CommandError("there is no '\(source)'") }
        let to = try await place(instance, path, followsLink: true)
        let destination = try CopyDestination(from, to: to)
        // A path that ends in '..' has no name of its own.
        let read = text.name == nil && !text.meansContents ? from.realPath : source
        let files = try LocalArchive(of: read, followsLink: followLink, as: destination.name)
        defer { files.cancel() }
        let outcome = try await send(instance, destination.directory) { try await files.next() }
        return files.warnings + (outcome.warnings ?? [])
    }

    private func uploadStream(_ instance: String, _ path: String) async throws -> [String] {
        guard !StandardStreams.isTerminal(STDIN_FILENO) else {
            throw CommandError("there is no archive to unpack", remedy: "redirect stdin from a tar file")
        }
        let input = try InputReader(STDIN_FILENO)
        return try await send(instance, path) { await input.read(upTo: 128 << 10) }.warnings ?? []
    }

    private func send(
        _ instance: String,
        _ directory: String,
        _ next: @escaping @Sendable () async throws -> [UInt8]?
    ) async throws -> CopyOutcome {
        var body = CopyBody(.to, path: directory)
        body.archive = archive
        return try await CopyConnection.open(endpoint, instance: instance).send(body, progress.counting(next))
    }

    // MARK: Out of an instance

    private func download(_ instance: String, _ path: String, _ destination: String) async throws -> [String] {
        let text = CopyPathText(path)
        let from = try await place(instance, path, followsLink: followLink || text.meansDirectory)
        guard from.kind != .nothing else { throw CommandError("there is no '\(path)' in instance '\(instance)'") }
        let to = try LocalFiles.place(destination, followsLink: true)
        let goal = try CopyDestination(from, to: to)
        var options = TreeExtractor.Options()
        options.keepsOwners = archive && geteuid() == 0
        options.keepsPrivileges = options.keepsOwners
        options.makesDevices = devices
        options.onlyBelow = goal.name.map { Array($0.utf8) }
        var body = CopyBody(.from, path: text.name == nil && !text.meansContents ? from.realPath : path)
        body.followLinks = followLink
        body.name = goal.name
        let (outcome, warnings) = try await LocalExtraction.unpack(into: goal.directory, options) { [body] take in
            try await CopyConnection.open(endpoint, instance: instance).receive(body, progress.counting(take))
        }
        return (outcome.warnings ?? []) + warnings
    }

    private func downloadStream(_ instance: String, _ path: String) async throws -> [String] {
        guard !StandardStreams.isTerminal(STDOUT_FILENO) else {
            throw CommandError("an archive is not for a terminal", remedy: "redirect the output")
        }
        var body = CopyBody(.from, path: path)
        body.followLinks = followLink
        let connection = try await CopyConnection.open(endpoint, instance: instance)
        let take = progress.counting { try await StandardStreams.write($0, to: STDOUT_FILENO) }
        return try await connection.receive(body, take).warnings ?? []
    }

    /// What is at a path of an instance's.
    private func place(_ instance: String, _ path: String, followsLink: Bool) async throws -> CopyPlace {
        let query = "/stat?path=\(PercentEncoding.encode(path))&follow_links=\(followsLink)"
        let info = try await AgentClient.with(endpoint) { client in
            try await client.call(.get, AgentClient.path(instance: instance, query), as: PathInfoResponse.self)
        }
        if let error = info.error { throw CommandError(error) }
        let kind: CopyPlace.Kind = !info.exists ? .nothing : info.isDirectory ? .directory : .file
        return CopyPlace(kind: kind, path: path, realPath: info.realPath ?? path)
    }
}
