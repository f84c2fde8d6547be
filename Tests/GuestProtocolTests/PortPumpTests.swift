import CInit
import Glibc
import GuestAgent
import GuestTransport
import NIOConcurrencyHelpers
import Testing

@Suite struct PortPumpTests {
    private static let secret = "0123456789abcdef0123456789abcdef"

    /// The port is told of a new host after it has its greeting: until then it counts as closed, and nothing can be written.
    @Test func aHostWhoseComingIsToldLateFindsTheSessionThatItIsAnsweredFor() async throws {
        var (host, port): (Int32, Int32) = (-1, -1)
        try #require(hypeman_socket_pair(&host, &port) == 0)
        defer { close(host) }
        // Nobody takes what is in it.
        let blocked = [UInt8](repeating: 0, count: 4096)
        while write(port, blocked, blocked.count) > 0 {}
        let nonce = SessionMarker.freshNonce()
        let greeting = SessionMarker.greeting(secret: Self.secret, nonce: nonce)
        try #require(write(host, greeting, greeting.count) == greeting.count)
        try #require(shutdown(host, Int32(SHUT_WR)) == 0)

        let sessions = AsyncStream.makeStream(of: Int32.self)
        let ended = NIOLockedValueBox(false)
        PortPump(
            port: port,
            secret: Self.secret,
            absence: 1,
            isHungUp: { _ in true },
            onSession: { sessions.continuation.yield($0) },
            onSessionEnd: { ended.withLockedValue { $0 = true } }
        ).start()
        var incoming = sessions.stream.makeAsyncIterator()
        let session = try #require(await incoming.next())
        defer { close(session) }
        // A hundred times as long as a host may be away.
        try await Task.sleep(for: .milliseconds(100))
        try #require(!ended.withLockedValue { $0 })

        let word = Array("hello".utf8)
        #expect(write(session, word, word.count) == word.count)
        let expected = SessionMarker.answer(nonce: nonce) + word
        var received: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while !received.suffix(expected.count).elementsEqual(expected) {
            var entry = pollfd(fd: host, events: Int16(POLLIN), revents: 0)
            try #require(poll(&entry, 1, 5000) == 1, "the answer, and what is said in the session")
            let count = read(host, &buffer, buffer.count)
            try #require(count > 0)
            received += buffer[..<count]
        }
    }
}
