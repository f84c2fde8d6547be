import AgentCore
import CNetwork
import Dispatch
import Glibc
import SystemPackage

extension HostLinks {
    /// Tells that links, IPv4 addresses or routes have changed, whoever changed them.
    ///
    /// Any number of changes that come while nobody listens are one element; so are those that the kernel had no room to
    /// tell of. Ends when the listener stops.
    func changes() async throws -> AsyncStream<Void> {
        let watch = try await network.changeWatch()
        return AsyncStream(bufferingPolicy: .bufferingNewest(1)) { continuation in
            watch.start(continuation)
        }
    }
}

extension HostNetwork {
    fileprivate func changeWatch() async throws -> ChangeWatch {
        do {
            return try await run { try ChangeWatch() }
        } catch let error as NetlinkError {
            throw error.agentError
        }
    }
}

/// A socket that receives the kernel's notifications, read on a queue of its own.
///
/// Unchecked: `source` is set once, before it is activated, and Dispatch lets any thread cancel one.
private final class ChangeWatch: @unchecked Sendable {
    private let socket: NetlinkSocket
    private let source: any DispatchSourceRead

    init() throws {
        socket = try NetlinkSocket(
            .route,
            groups: [RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE].map(\.rawValue)
        )
        source = DispatchSource.makeReadSource(
            fileDescriptor: socket.descriptor,
            queue: DispatchQueue(label: "hypeman.network.changes")
        )
    }

    /// The source's handlers keep this object, and so the socket, until it is cancelled.
    func start(_ continuation: AsyncStream<Void>.Continuation) {
        source.setEventHandler { [self] in
            guard drain() else { return source.cancel() }
            continuation.yield()
        }
        source.setCancelHandler { [self] in
            source.setEventHandler(handler: nil)
            continuation.finish()
        }
        continuation.onTermination = { [self] _ in source.cancel() }
        source.activate()
    }

    /// Reads all that has come, as what it says is asked for anew anyway; false if the socket does not work any more.
    private func drain() -> Bool {
        while true {
            do {
                _ = try socket.receive(purpose: "watch the links", isWaiting: false)
            } catch let error as NetlinkError where error.errno == .wouldBlock {
                return true
            } catch let error as NetlinkError where error.errno == .noBufferSpace || error.errno == .messageTooLong {
                // An overrun: something has changed, too much to tell.
                continue
            } catch {
                return false
            }
        }
    }
}
