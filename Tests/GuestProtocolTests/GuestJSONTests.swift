import AgentTestSupport
import GuestProtocol
import Testing

@Suite struct GuestJSONTests {
    private struct Numbers: Codable, Equatable {
        var small: Int8
        var large: UInt64
        var least: Int64
        var real: Double
        var maybe: Int?
    }

    private func decode<Value: Decodable>(_ type: Value.Type = Value.self, _ text: String) throws -> Value {
        try GuestJSON.decode(type, from: Array(text.utf8))
    }

    private func text(_ value: some Encodable) throws -> String {
        String(decoding: try GuestJSON.encode(value), as: UTF8.self)
    }

    @Test func everyMessageSurvivesARoundTrip() throws {
        let network = GuestConfiguration.Network(
            mac: "02:00:00:00:00:01",
            address: "10.0.0.2",
            prefixLength: 24,
            gateway: "10.0.0.1",
            nameServers: ["10.0.0.1"],
            searchDomains: [],
            mtu: 1500
        )
        let program = GuestProgram(
            arguments: ["/bin/sh", "-c", "echo \"ä\\😀\"\n\t\u{1}"],
            environment: ["A=1"],
            user: "app",
            stopSignal: "SIGINT"
        )
        let configuration = GuestConfiguration(
            protocolVersion: 1,
            instance: "i",
            hostname: "h",
            session: "s",
            mode: .systemd,
            program: program,
            rootDisk: "rootfs",
            overlayDisk: "overlay",
            network: network,
            outputBufferSize: 1 << 40
        )
        #expect(
            try GuestJSON.decode(GuestConfiguration.self, from: try GuestJSON.encode(configuration)) == configuration
        )
        let events = [
            GuestEvent(sequence: 1, uptimeMicroseconds: 5, kind: .started(pid: 77)),
            GuestEvent(
                sequence: 2,
                uptimeMicroseconds: 6,
                kind: .exited(GuestExit(code: 137, signal: 9, message: "x"))
            ),
        ]
        #expect(try GuestJSON.decode([GuestEvent].self, from: try GuestJSON.encode(events)) == events)
        let request = ExecRequest(program: program, terminal: TerminalSize(rows: 1, columns: 2), stdin: true)
        #expect(try GuestJSON.decode(ExecRequest.self, from: try GuestJSON.encode(request)) == request)
    }

    @Test func writesCompactTextInOrder() throws {
        #expect(try text(TerminalSize(rows: 3, columns: 80)) == #"{"rows":3,"columns":80}"#)
        #expect(try text(["a\"\\\n\r\t\u{0}\u{1f}é😀/"]) == #"["a\"\\\n\r\t\u0000\u001fé😀/"]"#)
        #expect(try text([1.5, -0.25, 1e300]) == "[1.5,-0.25,1e+300]")
        #expect(try text([String]()) == "[]")
        #expect(throws: EncodingError.self) { try GuestJSON.encode([Double.infinity]) }
    }

    @Test func extremesOfNumbersAreExact() throws {
        let numbers = Numbers(small: -128, large: .max, least: .min, real: 0.1, maybe: nil)
        #expect(try GuestJSON.decode(Numbers.self, from: try GuestJSON.encode(numbers)) == numbers)
        #expect(try decode([Int].self, "[1e3, 2.0, -0]") == [1000, 2, 0])
        for text in ["[128]", "[-129]", "[1.5]", "[1e999]"] {
            #expect(throws: DecodingError.self) { try decode([Int8].self, text) }
        }
        #expect(throws: DecodingError.self) { try decode([Double].self, "[1e999]") }
    }

    @Test func escapesAndSurrogatesBecomeCharacters() throws {
        #expect(try decode([String].self, #"["\u0041\ud83d\ude00\/\b\f"]"#) == ["A😀/\u{8}\u{c}"])
    }

    @Test(arguments: [
        "", " ", "[", "]", "[1,]", "{,}", #"{"a":1,}"#, #"{"a" 1}"#, "{a:1}", "[1 2]", "nul", "truex", "[01]", "[1.]",
        "[.5]",
        "[+1]", "[-]", "[1e]", #"["\x"]"#, #"["\u12"]"#, #"["\ud83d"]"#, #"["\ude00"]"#, #"["\ud83dA"]"#, "[\"\n\"]",
        #"["abc]"#, "[1]]", "[1] 2", "'a'", "\u{feff}[]",
    ])
    func textThatIsNoJSONIsRefused(_ text: String) {
        #expect(throws: GuestJSONError.self) { try GuestJSON.decode([String: Int].self, from: Array(text.utf8)) }
    }

    @Test func invalidUTF8IsRefused() {
        for bytes: [UInt8] in [[0xFF], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0xE2, 0x82]] {
            let text = [0x5B, 0x22] + bytes + [0x22, 0x5D]
            #expect(throws: GuestJSONError.self) { try GuestJSON.decode([String].self, from: text) }
        }
    }

    @Test func unknownFieldsAreIgnoredAndTheLastOfTwoCounts() throws {
        let size = try decode(TerminalSize.self, #"{"rows":1,"new":[{"x":null}],"columns":2,"rows":3}"#)
        #expect(size == TerminalSize(rows: 3, columns: 2))
    }

    @Test func nestingIsBounded() {
        func nested(_ depth: Int) -> [UInt8] {
            Array((String(repeating: "[", count: depth) + String(repeating: "]", count: depth)).utf8)
        }
        #expect(throws: GuestJSONError.self) { try GuestJSON.decode([Int].self, from: nested(100_000)) }
        #expect(throws: GuestJSONError.self) {
            try GuestJSON.decode([Int].self, from: nested(GuestJSON.maximumDepth + 1))
        }
        // Deep enough to be read, and then no integers.
        #expect(throws: DecodingError.self) { try GuestJSON.decode([Int].self, from: nested(GuestJSON.maximumDepth)) }
    }

    @Test func tooMuchTextIsRefused() {
        #expect(throws: GuestJSONError.self) {
            try GuestJSON.decode([Int].self, from: [UInt8](repeating: 0x20, count: GuestJSON.maximumSize + 1))
        }
    }

    /// Any bytes at all are either read or refused; texts that are nearly right find the parser's corners.
    @Test func damagedTextNeverTraps() throws {
        var random = SeededGenerator(seed: 7)
        let text = try GuestJSON.encode(
            ExecRequest(
                program: GuestProgram(arguments: ["a\u{1}😀", "b"], environment: ["X=\"\\"]),
                terminal: TerminalSize(rows: -1, columns: 1 << 60),
                stdin: true,
                timeoutMilliseconds: 12
            )
        )
        let alphabet = Array(#"{}[]",:\u0deE+-.1 tfn"#.utf8) + [0x00, 0xF5, 0xC3]
        var readable = 0
        for _ in 0..<20_000 {
            var damaged = text
            for _ in 0...Int.random(in: 0..<4, using: &random) where !damaged.isEmpty {
                let index = Int.random(in: 0..<damaged.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: damaged[index] = alphabet[Int.random(in: 0..<alphabet.count, using: &random)]
                case 1: damaged.remove(at: index)
                default: damaged.insert(alphabet[Int.random(in: 0..<alphabet.count, using: &random)], at: index)
                }
            }
            if (try? GuestJSON.decode(ExecRequest.self, from: damaged)) != nil { readable += 1 }
        }
        #expect(readable > 0 && readable < 20_000)
    }
}
