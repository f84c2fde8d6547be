import AgentAPI
import Testing

@testable import hypeman

/// Addresses, paths and event streams.
@Suite struct ClientTests {
    @Test func socketIsTheDefault() throws {
        #expect(try Endpoint(environment: [:]).transport == .socket(path: "/run/hypeman/agent.sock"))
        #expect(try Endpoint(environment: ["HYPEMAN_SOCKET": "/x y"]).url("/health") == "http+unix://%2Fx%20y/health")
        #expect(try Endpoint(environment: ["HYPEMAN_BASE_URL": "unix:///a/b"]).transport == .socket(path: "/a/b"))
    }

    @Test(arguments: [
        ("http://host:4973", "host", 4973, false, ""), ("https://host", "host", 443, true, ""),
        ("HTTP://host/", "host", 80, false, ""),
        ("http://[::1]:8080/api/", "::1", 8080, false, "/api"),
    ])
    func remoteAgentIsUnderstood(text: String, host: String, port: Int, isSecure: Bool, prefix: String) throws {
        let endpoint = try Endpoint(environment: ["HYPEMAN_BASE_URL": text, "HYPEMAN_API_KEY": "t"])
        #expect(endpoint.transport == .network(host: host, port: port, isSecure: isSecure))
        #expect(endpoint.prefix == prefix)
        #expect(endpoint.token == "t")
    }

    @Test(arguments: [
        "host:80", "ftp://host", "http://", "http://host:x", "http://host:70000", "http://user@host", "unix://relative",
    ])
    func nonsenseIsRefused(text: String) {
        #expect(throws: CommandError.self) { try Endpoint(environment: ["HYPEMAN_BASE_URL": text]) }
    }

    @Test func namesStayInOneSegment() {
        #expect(AgentClient.path(image: "localhost:5000/a/b:1") == "/images/localhost%3A5000%2Fa%2Fb%3A1")
        #expect(AgentClient.path(instance: "../x?y#z", "/logs") == "/instances/..%2Fx%3Fy%23z/logs")
    }

    @Test(arguments: ["", "a", "ü/ä", "100%", "a+b c", "\u{1F600}"])
    func percentEncodingComesBack(text: String) {
        #expect(PercentEncoding.decode(PercentEncoding.encode(text)) == text)
    }

    @Test(arguments: ["%", "%4", "%zz", "%FF", "%00"])
    func brokenEscapesAreRefused(text: String) {
        #expect(PercentEncoding.decode(text) == nil)
    }

    @Test func eventsComeOutWhereverTheStreamIsCut() throws {
        let stream = Array("data: {\"a\":1}\n\ndata: \"ü\"\r\n\r\n: comment\n\ndata:x\ndata:y\n\n".utf8)
        for cut in 0...stream.count {
            var parser = EventParser()
            let events = try parser.take(stream[..<cut]) + parser.take(stream[cut...])
            #expect(events.map { String(decoding: $0, as: UTF8.self) } == ["{\"a\":1}", "\"ü\"", "xy"])
        }
    }

    @Test func endlessEventIsRefused() {
        var parser = EventParser()
        #expect(throws: CommandError.self) {
            try parser.take([UInt8](repeating: 65, count: EventParser.largestEvent + 1))
        }
    }

    @Test(arguments: [("90s", 90.0), ("1m30s", 90), ("500ms", 0.5), ("1.5h", 5400), ("0", 0)])
    func durationsAreGos(text: String, seconds: Double) {
        #expect(DurationText.parse(text) == .seconds(seconds))
    }

    @Test(arguments: ["", "5", "s", "-1s", "1x", "1e9h", "99999999h", "."])
    func badDurationsAreRefused(text: String) {
        #expect(DurationText.parse(text) == nil)
    }
}
