import AgentCore
import Foundation
import NIOCore
import NIOPosix
import NIOSSL

/// Says why a server's certificate is refused, which BoringSSL's own error does not: that one only says that it is.
///
/// Asked only after a refusal; nothing is sent to the server but the beginning of a handshake that is then broken off.
enum CertificateProbe {
    private struct Silent: Error {}

    struct Validity: Sendable {
        var from: time_t
        var until: time_t
    }

    /// What is wrong with the times of `url`'s certificates; nil if nothing is, or they cannot be seen.
    static func complaint(about url: RegistryURL, timeout: Duration) async -> String? {
        guard let validities = try? await validities(url.host, url.port, TimeAmount(timeout)) else { return nil }
        let now = time(nil)
        for validity in validities {
            if validity.until < now {
                return "the certificate of \(url.authority) expired on \(day(validity.until)); "
                    + "its operator has to renew it, or this host's clock is wrong"
            }
            if validity.from > now {
                return "the certificate of \(url.authority) is not valid before \(day(validity.from)); "
                    + "check this host's clock"
            }
        }
        return nil
    }

    private static func validities(_ host: String, _ port: Int, _ timeout: TimeAmount) async throws -> [Validity] {
        var tls = TLSConfiguration.makeClientConfiguration()
        // The callback decides, always against.
        tls.trustRoots = .certificates([])
        let context = try NIOSSLContext(configuration: tls)
        let group = MultiThreadedEventLoopGroup.singleton
        let found = group.next().makePromise(of: [Validity].self)
        ClientBootstrap(group: group).connectTimeout(timeout).channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                let isAddress = (try? SocketAddress(ipAddress: host, port: port)) != nil
                let handler = try NIOSSLClientHandler(
                    context: context,
                    serverHostname: isAddress ? nil : host,
                    customVerificationCallback: { certificates, verdict in
                        found.succeed(certificates.map { Validity(from: $0.notValidBefore, until: $0.notValidAfter) })
                        verdict.succeed(.failed)
                    }
                )
                try channel.pipeline.syncOperations.addHandler(handler)
            }
        }
        .connect(host: host, port: port).whenComplete { result in
            switch result {
            case .failure(let error): found.fail(error)
            case .success(let channel):
                channel.closeFuture.whenComplete { _ in found.fail(Silent()) }
                channel.eventLoop.scheduleTask(in: timeout) { channel.close(promise: nil) }
                found.futureResult.whenComplete { _ in channel.close(promise: nil) }
            }
        }
        return try await found.futureResult.get()
    }

    private static func day(_ time: time_t) -> String {
        Date(timeIntervalSince1970: TimeInterval(time)).formatted(.iso8601.year().month().day())
    }
}
