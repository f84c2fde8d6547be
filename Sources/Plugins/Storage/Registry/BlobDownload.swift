import AgentCore
import AsyncHTTPClient
import NIOCore
import NIOHTTP1

/// Downloads one blob to the store, verified on the way; one that breaks off is taken up where it broke, also by a later
/// download, also of a later life of the agent, also from another registry.
struct BlobDownload: Sendable {
    /// Received parts are collected to this size before a thread is asked to hash and write them.
    private static let stepSize = 1 << 20

    private let descriptor: OCI.Descriptor
    private let transport: RegistryTransport
    private let meter: ProgressMeter
    private let arrival: LayerArrival?
    private let receiver: Receiver

    /// Opens the file, and hashes what an earlier download left in it.
    ///
    /// - Parameters:
    ///   - descriptor: The blob.
    ///   - transport: How registries are asked.
    ///   - store: Where it is kept.
    ///   - meter: Counts what is there.
    ///   - arrival: Told what is there, for who reads it meanwhile.
    /// - Throws: ``AgentError`` if there can be no file; `CancellationError`.
    init(
        _ descriptor: OCI.Descriptor,
        transport: RegistryTransport,
        store: ContentStore,
        meter: ProgressMeter,
        arrival: LayerArrival? = nil
    ) async throws {
        self.descriptor = descriptor
        self.transport = transport
        self.meter = meter
        self.arrival = arrival
        receiver = try await Blocking.long("blob") { cancellation in
            let file = try BlobFile(resuming: descriptor.digest, size: descriptor.size, in: store, cancellation)
            try arrival?.begin(file.path, count: file.count)
            return Receiver(file)
        }
        meter.add(receiver.file.count)
    }

    /// Gets what is missing from one registry, and verifies all of it.
    ///
    /// - Throws: ``AgentError``; whatever it is, this can be called again with another request.
    func receive(_ request: RegistryTransport.Request) async throws {
        receiver.sources += 1
        while true {
            try await transport.retrying(request, progress: { receiver.file.count }) { try await attempt(request) }
            do {
                return try receiver.file.verify(as: descriptor.digest, size: descriptor.size)
            } catch {
                let isOwnFault = receiver.sources == 1
                try await reset()
                // Of what came from elsewhere, or lay on the disk over a crash of the host, this registry is innocent.
                guard !isOwnFault else { throw error }
            }
        }
    }

    /// Gives the blob its name.
    func keep() async throws {
        let (descriptor, receiver) = (descriptor, receiver)
        try await Blocking.short { try receiver.file.keep(as: descriptor.digest, size: descriptor.size) }
        arrival?.complete()
    }

    /// Lets the file wait for another download.
    func suspend() { receiver.file.suspend() }

    private func attempt(_ original: RegistryTransport.Request) async throws {
        var request = original
        request.offset = receiver.file.count
        if request.offset == descriptor.size, request.offset > 0 { return }
        var response = try await transport.open(request)
        if request.offset > 0, !isContinuation(response, at: request.offset) {
            // A registry that cannot resume starts again with 200; one that sends something else has to be asked to.
            try await reset()
            if response.status != .ok {
                request.offset = 0
                response = try await transport.open(request)
            }
        }
        let length = response.headers.first(name: "content-length").flatMap { Int($0) }
        if let length, receiver.file.count + length > descriptor.size { throw tooLong() }
        let (receiver, descriptor) = (receiver, descriptor)
        do {
            try await StallWatch.read(response.body, transport.patience) { part in
                guard receiver.file.count + receiver.step.readableBytes + part.readableBytes <= descriptor.size else {
                    throw tooLong()
                }
                receiver.step.writeImmutableBuffer(part)
                if receiver.step.readableBytes >= Self.stepSize { try await flush() }
            }
        } catch {
            // What came before the connection broke need not come again.
            try await flush()
            throw error
        }
        try await flush()
        guard receiver.file.count < descriptor.size else { return }
        // Without a length, a connection that broke off looks like the end.
        guard length != nil else { throw HTTPClientError.remoteConnectionClosed }
        throw AgentError(
            .invalidArgument,
            code: "digest_mismatch",
            "blob \(descriptor.digest) has \(receiver.file.count) bytes at \(request.endpoint.registry), "
                + "not the \(descriptor.size) that the manifest says"
        )
    }

    private func flush() async throws {
        try await receiver.flush(meter)
        arrival?.advance(to: receiver.file.count)
    }

    /// Whether an answer goes on with the byte `offset`.
    private func isContinuation(_ response: HTTPClientResponse, at offset: Int) -> Bool {
        guard response.status == .partialContent else { return false }
        // Required (RFC 9110, 15.3.7.1), but who leaves it out is caught by the digest.
        guard let range = response.headers.first(name: "content-range") else { return true }
        return range.lowercased().hasPrefix("bytes \(offset)-")
    }

    private func tooLong() -> AgentError {
        AgentError(
            .invalidArgument,
            code: "digest_mismatch",
            "blob \(descriptor.digest) is longer than the \(descriptor.size) bytes that the manifest says"
        )
    }

    private func reset() async throws {
        let receiver = receiver
        arrival?.fail()
        meter.add(-receiver.file.count)
        try await Blocking.short { try receiver.file.reset() }
        receiver.sources = 1
        receiver.step.clear()
    }

    /// Lets a file go to a thread of the pool and back.
    ///
    /// Safe as each step is awaited before the next: never two at once.
    private final class Receiver: @unchecked Sendable {
        let file: BlobFile
        var step = ByteBuffer()
        /// How many have a part in the contents.
        var sources: Int

        init(_ file: BlobFile) {
            self.file = file
            sources = file.count > 0 ? 1 : 0
        }

        func flush(_ meter: ProgressMeter) async throws {
            guard step.readableBytes > 0 else { return }
            let bytes = step
            step = ByteBuffer()
            try await Blocking.short { try bytes.withUnsafeReadableBytes { try self.file.append($0) } }
            meter.add(bytes.readableBytes)
        }
    }
}
