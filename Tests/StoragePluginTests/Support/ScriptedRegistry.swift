import AgentCore
import AgentTestSupport
import Crypto
import Foundation
import Glibc
import Synchronization
import SystemPackage

/// An HTTP server that answers as a test says, also wrongly: one request a connection, each on a thread of its own.
final class ScriptedRegistry: Sendable {
    struct Request: Sendable {
        var path: String
        var headers: [String: String]
        var body: [UInt8] = []
    }

    struct Response: Sendable {
        var status = 200
        var headers: [String: String] = [:]
        var body: [UInt8] = []
        /// How much of the body is sent before the connection is closed.
        var cut: Int?
        /// What happens after it.
        var end = End.close

        enum End: Sendable {
            case close
            /// With a reset (RST) instead of an end (FIN).
            case reset
            /// Nothing, until the client leaves.
            case stall
        }
    }

    let port: Int
    var host: String { "127.0.0.1:\(port)" }
    private let socket: Int32
    private let answer: @Sendable (Request, Int) -> Response
    private let seen = Mutex<[Request]>([])
    /// The paths of answers that stall.
    let stalled: AsyncStream<String>
    /// The paths of answers that stalled until the client left.
    let abandoned: AsyncStream<String>
    private let reportStalled: AsyncStream<String>.Continuation
    private let reportAbandoned: AsyncStream<String>.Continuation

    /// What was asked, in order.
    var requests: [Request] { seen.withLock { $0 } }

    /// - Parameter answer: Gets the request and how often its path was asked for before.
    /// - Throws: If no port can be opened.
    init(_ answer: @escaping @Sendable (Request, Int) -> Response) throws {
        self.answer = answer
        (stalled, reportStalled) = AsyncStream.makeStream()
        (abandoned, reportAbandoned) = AsyncStream.makeStream()
        socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let descriptor = socket
        let result = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, length) == 0 && listen(descriptor, 64) == 0
                    ? getsockname(descriptor, $0, &length) : -1
            }
        }
        guard result == 0 else { throw Errno(rawValue: errno) }
        port = Int(UInt16(bigEndian: address.sin_port))
    }

    func start() {
        Thread { [self] in
            while true {
                let connection = accept(socket, nil, nil)
                guard connection >= 0 else { return }
                Thread { [self] in
                    serve(connection)
                    close(connection)
                }.start()
            }
        }.start()
    }

    /// Runs `body` while it serves.
    func serving<T>(_ body: () async throws -> T) async throws -> T {
        start()
        defer { stop() }
        return try await body()
    }

    func stop() {
        shutdown(socket, Int32(SHUT_RDWR))
        close(socket)
    }

    private func serve(_ connection: Int32) {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 16384)
        while !String(decoding: bytes, as: UTF8.self).contains("\r\n\r\n") {
            let count = recv(connection, &buffer, buffer.count, 0)
            guard count > 0 else { return }
            bytes += buffer[..<count]
        }
        let lines = String(decoding: bytes, as: UTF8.self).components(separatedBy: "\r\n")
        var request = Request(
            path: lines[0].split(separator: " ").dropFirst().first.map(String.init) ?? "",
            headers: [:]
        )
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { continue }
            request.headers[line[..<colon].lowercased()] = line[line.index(after: colon)...].trimmingCharacters(
                in: .whitespaces
            )
        }
        let blank = Array("\r\n\r\n".utf8)
        let end = bytes.indices.first { bytes[$0...].starts(with: blank) }.map { $0 + blank.count } ?? bytes.count
        let length = request.headers["content-length"].flatMap { Int($0) } ?? 0
        while bytes.count < end + length {
            let count = recv(connection, &buffer, buffer.count, 0)
            guard count > 0 else { return }
            bytes += buffer[..<count]
        }
        request.body = Array(bytes[end...])
        let before = seen.withLock { seen in
            defer { seen.append(request) }
            return seen.filter { $0.path == request.path }.count
        }
        let response = answer(request, before)
        var head =
            "HTTP/1.1 \(response.status) Whatever\r\nConnection: close\r\nContent-Length: \(response.body.count)\r\n"
        if response.headers["Content-Length"] != nil { head = "HTTP/1.1 \(response.status) Whatever\r\n" }
        for (name, value) in response.headers { head += "\(name): \(value)\r\n" }
        let message = Array((head + "\r\n").utf8) + response.body.prefix(response.cut ?? .max)
        var sent = 0
        while sent < message.count {
            let count = message[sent...].withUnsafeBytes {
                send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return }
            sent += count
        }
        switch response.end {
        case .close: break
        case .reset:
            // Closing without lingering drops what the client has not acknowledged, so it is let read first.
            while pendingOutput(connection) > 0 { usleep(1000) }
            var linger = linger(l_onoff: 1, l_linger: 0)
            setsockopt(connection, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout.size(ofValue: linger)))
        case .stall:
            reportStalled.yield(request.path)
            while recv(connection, &buffer, buffer.count, 0) > 0 {}
            reportAbandoned.yield(request.path)
        }
    }

    private func pendingOutput(_ connection: Int32) -> Int32 {
        var count: Int32 = 0
        return ioctl(connection, UInt(TIOCOUTQ), &count) == 0 ? count : 0
    }
}

/// An image of one layer as a registry would serve it.
struct ServedImage: Sendable {
    let layer: [UInt8]
    let configuration: [UInt8]
    let manifest: [UInt8]

    static func digest(_ bytes: [UInt8]) -> String {
        "sha256:" + SHA256.hash(data: bytes).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    /// - Parameters:
    ///   - layer: An uncompressed tar.
    ///   - claimedSize: Its size in the manifest, if not its own.
    ///   - layerType: Its media type.
    ///   - configurationType: That of the configuration; nil for none.
    ///   - urls: Where the layer is kept if not in the registry.
    init(
        layer: [UInt8],
        claimedSize: Int? = nil,
        layerType: String = "application/vnd.oci.image.layer.v1.tar",
        configurationType: String? = nil,
        urls: [String] = []
    ) {
        self.layer = layer
        let type = configurationType.map { #""mediaType":"\#($0)","# } ?? ""
        let places = urls.isEmpty ? "" : #","urls":[\#(urls.map { "\"\($0)\"" }.joined(separator: ","))]"#
        configuration = Array(
            #"{"architecture":"\#(Platform.host.architecture)","os":"linux","rootfs":{"type":"layers","diff_ids":["\#(Self.digest(layer))"]}}"#
                .utf8
        )
        manifest = Array(
            #"""
            {"schemaVersion":2,"config":{\#(type)"digest":"\#(Self.digest(configuration))","size":\#(configuration.count)},
            "layers":[{"mediaType":"\#(layerType)","digest":"\#(Self.digest(layer))","size":\#(claimedSize ?? layer.count)\#(places)}]}
            """#.utf8
        )
    }

    var layerPath: String { "/v2/app/blobs/\(Self.digest(layer))" }

    /// What an honest registry answers for the repository `app`.
    func response(to request: ScriptedRegistry.Request) -> ScriptedRegistry.Response {
        switch request.path.prefix(while: { $0 != "?" }) {
        case "/v2/app/manifests/1", "/v2/app/manifests/\(Self.digest(manifest))": .init(body: manifest)
        case "/v2/app/blobs/\(Self.digest(configuration))": .init(body: configuration)
        case layerPath[...]:
            if let start = request.headers["range"].flatMap({ Int($0.dropFirst(6).dropLast()) }) {
                .init(
                    status: 206,
                    headers: ["Content-Range": "bytes \(start)-\(layer.count - 1)/\(layer.count)"],
                    body: Array(layer[start...])
                )
            } else {
                .init(body: layer)
            }
        default: .init(status: 404)
        }
    }
}
