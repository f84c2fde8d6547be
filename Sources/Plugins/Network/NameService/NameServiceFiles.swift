import AgentCore
import Dispatch
import Foundation
import SystemPackage

/// The files that dnsmasq reads and watches: one of each kind for every instance, called as its address.
///
/// All work is done on a queue of its own, one after the other. Nothing is flushed to disk: what a host's crash loses is
/// written again when the agent starts.
final class NameServiceFiles: Sendable {
    let paths: NameServicePaths
    private let queue = DispatchQueue(label: "hypeman.names")

    init(directory: FilePath) {
        paths = NameServicePaths(directory: directory)
    }

    /// Makes the directories, which dnsmasq must find.
    func prepare() async throws {
        try await run { try $0.makeDirectories() }
    }

    /// Puts a configuration in its place and removes earlier ones.
    func write(_ configuration: NameServiceConfiguration) async throws {
        try await run { files in
            try files.makeDirectories()
            for name in try files.contents(of: files.paths.directory)
            where NameServicePaths.isConfiguration(name) && name != configuration.path.lastComponent?.string {
                try files.remove(files.paths.directory.appending(name))
            }
            try files.write(configuration.text, to: configuration.path)
        }
    }

    /// Makes an instance known.
    func put(_ endpoint: NetworkEndpoint) async throws {
        try await run { files in
            do {
                for file in files.files(of: endpoint) { try files.write(file.text, to: file.path) }
            } catch Errno.noSuchFileOrDirectory {
                // Somebody removed them: to look each time would cost as much as the files.
                try files.makeDirectories()
                for file in files.files(of: endpoint) { try files.write(file.text, to: file.path) }
            }
        }
    }

    /// Forgets an instance, unless another one has its address by now.
    ///
    /// - Returns: Whether anything was there.
    func remove(_ endpoint: NetworkEndpoint) async throws -> Bool {
        try await run { files in
            var isChanged = false
            let (name, reservation) = files.entries(of: endpoint)
            // A name that is not this endpoint's is that of the address's next owner, whose reservation is the same.
            if let text = files.text(name.path), text != name.text { return false }
            for file in [name, reservation] where try files.remove(file.path) { isChanged = true }
            return isChanged
        }
    }

    /// Makes the given instances known and no others.
    ///
    /// - Returns: Whether anything was removed.
    func reconcile(_ endpoints: [NetworkEndpoint]) async throws -> Bool {
        try await run { files in
            try files.makeDirectories()
            let wanted = endpoints.flatMap(files.files(of:))
            let known = Set(wanted.map(\.path))
            var isChanged = false
            for directory in [files.paths.names, files.paths.reservations] {
                for name in try files.contents(of: directory) where !known.contains(directory.appending(name)) {
                    if try files.remove(directory.appending(name)) { isChanged = true }
                }
            }
            for file in wanted { try files.write(file.text, to: file.path) }
            return isChanged
        }
    }

    /// Removes everything.
    func removeAll() async throws {
        try await run { files in
            let paths = files.paths
            for path in [paths.names, paths.reservations, paths.log, paths.draft] { try files.remove(path) }
            for name in try files.contents(of: paths.directory) where NameServicePaths.isConfiguration(name) {
                try files.remove(paths.directory.appending(name))
            }
        }
    }

    /// The last lines that dnsmasq wrote.
    func lastLines(_ count: Int = 5) async -> String {
        // A log that cannot be read says nothing, which is what its reader sees.
        let text = try? await run { files -> String in
            let file = try FileDescriptor.open(files.paths.log, .readOnly, options: .closeOnExec)
            return try file.closeAfter {
                let end = try file.seek(offset: 0, from: .end)
                try file.seek(offset: max(0, end - 4096), from: .start)
                return try withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 1) { buffer in
                    String(decoding: buffer.prefix(try file.read(into: buffer)), as: UTF8.self)
                }
            }
        }
        return (text ?? "").split(separator: "\n").suffix(count).joined(separator: "; ")
    }

    // MARK: - On the queue

    private func entries(
        of endpoint: NetworkEndpoint
    ) -> (name: (path: FilePath, text: String), reservation: (path: FilePath, text: String)) {
        let address = endpoint.attachment.address.description
        return (
            (paths.names.appending(address), "\(address) \(endpoint.name).\(BridgeConfiguration.domain)\n"),
            (paths.reservations.appending(address), "\(endpoint.attachment.mac),\(address)\n")
        )
    }

    private func files(of endpoint: NetworkEndpoint) -> [(path: FilePath, text: String)] {
        let (name, reservation) = entries(of: endpoint)
        return [reservation, name]
    }

    private func makeDirectories() throws {
        for directory in [paths.directory, paths.names, paths.reservations] {
            try FileManager.default.createDirectory(
                atPath: directory.string,
                withIntermediateDirectories: true,
                attributes: [.posixPermissions: 0o700]
            )
            // dnsmasq may be another user, in the agent's group.
            guard chmod(directory.string, 0o750) == 0 else { throw Errno(rawValue: errno) }
        }
    }

    /// Puts a file in its place at once, so that dnsmasq never reads half of one; the draft is not in a directory that
    /// it watches.
    private func write(_ text: String, to path: FilePath) throws {
        // dnsmasq complains of a reservation that it reads twice.
        guard self.text(path) != text else { return }
        let file = try FileDescriptor.open(
            paths.draft,
            .writeOnly,
            options: [.create, .truncate, .closeOnExec, .noFollow],
            permissions: .ownerReadWrite
        )
        try file.closeAfter {
            _ = try file.writeAll(text.utf8)
            guard fchmod(file.rawValue, 0o640) == 0 else { throw Errno(rawValue: errno) }
        }
        guard rename(paths.draft.string, path.string) == 0 else { throw Errno(rawValue: errno) }
    }

    private func text(_ path: FilePath) -> String? {
        FileManager.default.contents(atPath: path.string).map { String(decoding: $0, as: UTF8.self) }
    }

    private func contents(of directory: FilePath) throws -> [String] {
        guard FileManager.default.fileExists(atPath: directory.string) else { return [] }
        return try FileManager.default.contentsOfDirectory(atPath: directory.string)
    }

    @discardableResult
    private func remove(_ path: FilePath) throws -> Bool {
        guard FileManager.default.fileExists(atPath: path.string) else { return false }
        try FileManager.default.removeItem(atPath: path.string)
        return true
    }

    private func run<Value: Sendable>(
        _ body: @escaping @Sendable (NameServiceFiles) throws -> Value
    ) async throws -> Value {
        do {
            return try await withCheckedThrowingContinuation { continuation in
                queue.async { continuation.resume(with: Result { try body(self) }) }
            }
        } catch {
            throw AgentError(
                .unavailable,
                "the name service's files in \(paths.directory) cannot be changed",
                cause: error
            )
        }
    }
}
