import AgentCore
import AsyncHTTPClient
import NIOCore
import NIOHTTP1

/// Downloads one blob to the store, verified on the way; a connection that breaks is taken up where it broke.
struct BlobDownload {
    /// Received parts are collected to this size before a thread is asked to hash and write them.
    private static let stepSize = 1 << 20

    private let descriptor: OCI.Descriptor
    private let transport: RegistryTransport
    private let store: ContentStore
    private let meter: ProgressMeter

    init(_ descriptor: OCI.Descriptor, transport: RegistryTransport, store: ContentStore, meter: ProgressMeter) {
        self.descriptor = descriptor
        self.transport = transport
        self.store = store
        self.meter = meter
    }

    func run(_ request: RegistryTransport.Request) async throws {
        let file = try await Blocking.short { try Receiver(BlobFile(in: store)) }
        do {
            try await transport.retrying(request) {
                try await receive(request, into: file)
            }
            try await Blocking.short { try file.file.keep(as: descriptor.digest, size: descriptor.size) }
        } catch {
            file.file.discard()
            throw error
        }
    }

    private func receive(_ request: RegistryTransport.Request, into receiver: Receiver) async throws {
        var request = request
        request.offset = receiver.file.count
        if request.offset == descriptor.size, request.offset > 0 { return }
        let response = try await transport.open(request)
        // A registry that cannot resume starts again with 200.
        if request.offset > 0, response.status != .partialContent {
            meter.add(-receiver.file.count)
            try await Blocking.short { try receiver.file.reset() }
        }
        var step = ByteBuffer()
        do {
            for try await part in response.body {
                step.writeImmutableBuffer(part)
                if step.readableBytes >= Self.stepSize { try await write(&step, to: receiver) }
            }
        } catch {
            // What came before the connection broke need not come again.
            try await write(&step, to: receiver)
            throw error
        }
        try await write(&step, to: receiver)
        guard receiver.file.count >= descriptor.size else { throw HTTPClientError.remoteConnectionClosed }
    }

    private func write(_ step: inout ByteBuffer, to receiver: Receiver) async throws {
        guard step.readableBytes > 0 else { return }
        guard receiver.file.count + step.readableBytes <= descriptor.size else {
            throw AgentError(
                .invalidArgument,
                code: "digest_mismatch",
                "blob \(descriptor.digest) is longer than the \(descriptor.size) bytes that the manifest says"
            )
        }
        let bytes = step
        step = ByteBuffer()
        try await Blocking.short { try bytes.withUnsafeReadableBytes { try receiver.file.append($0) } }
        meter.add(bytes.readableBytes)
    }

    /// Lets a file go to a thread of the pool and back.
    ///
    /// Safe as each step is awaited before the next: never two at once.
    private final class Receiver: @unchecked Sendable {
        let file: BlobFile

        init(_ file: BlobFile) { self.file = file }
    }
}
