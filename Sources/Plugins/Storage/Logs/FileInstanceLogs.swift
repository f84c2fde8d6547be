public import AgentCore
import Glibc
public import GuestProtocol
public import Logging
import Synchronization
import SystemPackage

public import struct Foundation.Date

/// Logs of instances as files under `instances/<id>/logs`, in the format of Kubernetes' container logs, rotated by size.
public final class FileInstanceLogs: InstanceLogs {
    private struct Key: Hashable {
        var instance: InstanceID
        var source: LogSource
    }

    private let directory: FilePath
    private let limits: LogLimits
    private let logger: Logger
    private let writers = Mutex<[Key: LogWriter]>([:])

    /// Makes the directory of instances.
    ///
    /// - Throws: ``AgentError`` if that is not possible.
    public init(configuration: StorageConfiguration, logger: Logger) throws {
        directory = configuration.dataDirectory.appending("instances")
        limits = configuration.logLimits
        self.logger = logger
        for path in [configuration.dataDirectory, directory] { try Files.makeDirectory(path) }
    }

    public func outputPosition(of instance: InstanceID, boot: Int) async throws -> UInt64 {
        let writer = writer(instance, .app)
        return try await Blocking.short { try writer.offset(boot: boot) }
    }

    public func append(_ output: GuestOutput, at time: Date, to instance: InstanceID, boot: Int) async throws {
        let writer = writer(instance, .app)
        try await Blocking.short { try writer.append(output, at: time, boot: boot) }
    }

    public func append(_ bytes: [UInt8], at time: Date, to instance: InstanceID, source: LogSource) async throws {
        let writer = writer(instance, source)
        try await Blocking.short { try writer.append(bytes, at: time) }
    }

    public func lines(
        of instance: InstanceID,
        source: LogSource,
        tail: Int?,
        follow: LogFollowing
    ) async -> AsyncThrowingStream<LogLine, any Error> {
        let reader = LogReader(writer(instance, source), tail: tail, follow: follow)
        await reader.begin()
        // Asked for line by line, so that a slow consumer leaves the rest in the files.
        return AsyncThrowingStream { try await reader.next() }
    }

    public func usage(of instance: InstanceID) async throws -> ByteSize {
        let directory = directory.appending(instance.rawValue).appending("logs")
        return try await Blocking.short {
            ByteSize(
                bytes: try Files.names(in: directory).reduce(0) { try $0 + Files.allocated(directory.appending($1)) }
            )
        }
    }

    public func remove(_ instance: InstanceID) async throws {
        let removed = LogSource.allCases.map { writer(instance, $0) }
        let path = directory.appending(instance.rawValue)
        try await Blocking.short {
            for writer in removed { try writer.remove() }
            for directory in [path.appending("logs"), path] where rmdir(directory.string) != 0 {
                // Disks are another port's; who removes last removes the instance's directory.
                guard errno == ENOENT || errno == ENOTEMPTY else {
                    throw Files.error(Errno(rawValue: errno), "cannot remove \(directory)")
                }
            }
        }
        writers.withLock { writers in
            for source in LogSource.allCases { writers[Key(instance: instance, source: source)] = nil }
        }
        logger.debug("logs removed", metadata: ["instance": "\(instance)"])
    }

    private func writer(_ instance: InstanceID, _ source: LogSource) -> LogWriter {
        writers.withLock { writers in
            let key = Key(instance: instance, source: source)
            if let writer = writers[key] { return writer }
            let writer = LogWriter(
                directory: directory.appending(instance.rawValue).appending("logs"),
                source: source,
                limits: limits
            )
            writers[key] = writer
            return writer
        }
    }
}
