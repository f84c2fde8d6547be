import AgentCore
import AgentTestSupport
import Foundation
import StoragePlugin
import SystemPackage
import Testing

/// Foreign bytes that are almost right, so that every parser is reached: a seed is printed, and given as an argument it
/// does the same again.
@Suite("fuzzed images")
struct FuzzTests {
    enum Target: String, CaseIterable, Sendable {
        /// A root filesystem's tar, as it is and compressed.
        case tar, gzip, zstd
        /// The tar in an image's layer, below digests that fit.
        case layer, compressedLayer
        /// The documents of an image.
        case documents
    }

    private static let rounds = 60
    private static let limits = ImageLimits(
        maximumSize: .mebibytes(64),
        maximumEntries: 5000,
        maximumMetadata: .mebibytes(8),
        maximumInflateRatio: 100,
        freeInflation: .mebibytes(8)
    )

    @Test(arguments: Target.allCases)
    func damageIsRefusedClearlyWithinBoundsAndLeavesNothing(target: Target) async throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("fuzzed \(target): seed \(seed)")
        var fuzzer = Fuzzer(seed: seed)
        try await Scratch.with { scratch in
            let storage = try scratch.storage(limits: Self.limits)
            var refused = 0
            let memory = try PeakMemory()
            for round in 0..<Self.rounds {
                let bytes = try await input(target, round: round, fuzzer: &fuzzer, in: scratch)
                let archive = try scratch.write(bytes, to: "input")
                let before = try Self.listing(scratch)
                let began = ContinuousClock.now
                do {
                    let disk = try await storage.disk(from: archive)
                    #expect(disk.size <= .mebibytes(70))
                    if round % 10 == 0 { try await tool("fsck.erofs", [disk.path.string]) }
                    _ = try await storage.store.removeAll(except: [])
                } catch let error as AgentError {
                    refused += 1
                    #expect([.invalidArgument, .notSupported].contains(error.kind), "seed \(seed), \(round): \(error)")
                    #expect(!error.message.isEmpty && error.message.utf8.count < 2000, "seed \(seed), \(round)")
                }
                // 64 MiB take less than a second; a minute is a loop without end on any machine.
                #expect(ContinuousClock.now - began < .seconds(60), "seed \(seed), \(round)")
                #expect(try storage.files().filter { $0.hasPrefix("incoming") } == [], "seed \(seed), \(round)")
                #expect(try Self.listing(scratch) == before, "seed \(seed), \(round)")
            }
            #expect(refused > Self.rounds / 10)
            // zstd's largest window is 128 MiB; what else there is, is a fraction of that.
            let grown = try memory.growth()
            #expect(grown < 256 << 20, "seed \(seed): memory grew by \(grown >> 20) MiB")
        }
    }

    /// Everything in the test's directory but the store's.
    private static func listing(_ scratch: Scratch) throws -> Set<String> {
        Set(
            try FileManager.default.subpathsOfDirectory(atPath: scratch.path.string).filter { !$0.hasPrefix("data/") }
        )
    }

    private func input(_ target: Target, round: Int, fuzzer: inout Fuzzer, in scratch: Scratch) async throws -> [UInt8]
    {
        switch target {
        case .tar: return fuzzer.tar()
        case .gzip, .zstd:
            let packed = try await scratch.pack(round % 2 == 0 ? fuzzer.tar() : fuzzer.original, by: target.rawValue)
            return round % 2 == 0 ? packed : fuzzer.damage(packed)
        case .layer: return OCIArchive(layers: [fuzzer.original, fuzzer.tar()]).bytes()
        case .compressedLayer:
            let plain = fuzzer.tar()
            let packed = try await scratch.pack(plain, by: round % 2 == 0 ? "gzip" : "zstd")
            let layer = round % 4 < 2 ? packed : fuzzer.damage(packed)
            return OCIArchive(layers: [layer], diffIDs: [ServedImage.digest(plain)]).bytes()
        case .documents:
            var image = OCIArchive(layers: [fuzzer.original])
            let victim = ["configuration", "manifest", "index"][round % 3]
            let damaged = Fuzzer(seed: fuzzer.next())
            image.change = { name, bytes in
                var damaged = damaged
                return name == victim ? damaged.document(bytes) : bytes
            }
            return image.bytes()
        }
    }
}

/// Damages archives so that they stay plausible.
struct Fuzzer {
    private var generator: SeededGenerator
    /// A whole layer.
    let original: [UInt8]

    init(seed: UInt64) {
        generator = SeededGenerator(seed: seed)
        var layers = LayerGenerator(seed: seed)
        original = layers.layer()
    }

    mutating func next() -> UInt64 { generator.next() }

    /// Bytes changed, cut out, doubled or inserted anywhere.
    mutating func damage(_ bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes
        for _ in 0..<int(1...6) where !bytes.isEmpty {
            let place = int(0...bytes.count - 1)
            let length = min(int(1...64), bytes.count - place)
            switch int(0...5) {
            case 0: bytes[place] ^= 1 << UInt8(int(0...7))
            case 1: bytes[place] = [0, 1, 0x7f, 0x80, 0xff].randomElement(using: &generator) ?? 0
            case 2: bytes.removeSubrange(place..<place + length)
            case 3: bytes.insert(contentsOf: bytes[place..<place + length], at: place)
            case 4: for index in place..<place + length { bytes[index] = UInt8(int(0...255)) }
            default: if int(0...3) == 0 { bytes.removeSubrange(place...) }
            }
        }
        return bytes
    }

    /// A tar with fields of headers set to what hurts, their checksums right again.
    mutating func tar() -> [UInt8] {
        var bytes = original
        var headers: [Int] = []
        var place = 0
        while place + 512 <= bytes.count, bytes[place..<place + 512].contains(where: { $0 != 0 }) {
            headers.append(place)
            let digits = String(decoding: bytes[(place + 124)..<(place + 135)], as: UTF8.self)
            place += 512 + ((Int(digits, radix: 8) ?? 0) + 511) / 512 * 512
        }
        for _ in 0..<int(1...4) {
            guard let header = headers.randomElement(using: &generator) else { break }
            let (offset, length) = Self.fields.randomElement(using: &generator) ?? (0, 100)
            let field: [UInt8] =
                switch int(0...5) {
                case 0: (0..<length).map { _ in UInt8.random(in: 0...255, using: &generator) }
                case 1: [0x80] + [UInt8](repeating: 0xff, count: length - 1)
                case 2: [UInt8](repeating: 0xff, count: length)
                case 3: [UInt8](repeating: 55, count: length)
                case 4: Array(Self.names.randomElement(using: &generator) ?? []).prefix(length).map { $0 }
                default:
                    [[48, 49, 50, 51, 53, 54, 55, 71, 75, 76, 83, 86, 103, 120].randomElement(using: &generator) ?? 0]
                }
            bytes.replaceSubrange((header + offset)..<(header + offset + field.count), with: field)
            repair(header, in: &bytes)
        }
        if int(0...9) == 0 {
            // What PAX records say, digits and lengths among it.
            for header in headers where bytes[header + 156] == 120 {
                bytes[header + 512 + int(0...40)] = UInt8(int(32...61))
            }
        }
        return int(0...4) == 0 ? damage(bytes) : bytes
    }

    private mutating func repair(_ header: Int, in bytes: inout [UInt8]) {
        for index in 148..<156 { bytes[header + index] = 32 }
        let sum = String(bytes[header..<header + 512].reduce(0) { $0 + Int($1) }, radix: 8)
        let text = String(repeating: "0", count: 6 - sum.count) + sum
        bytes.replaceSubrange((header + 148)..<(header + 155), with: Array(text.utf8) + [0])
    }

    /// JSON with values replaced by others that are JSON too, or damaged.
    mutating func document(_ bytes: [UInt8]) -> [UInt8] {
        var text = String(decoding: bytes, as: UTF8.self)
        for _ in 0..<int(1...3) {
            let values = text.indices.filter { ":[,".contains(text[$0]) }
            guard let start = values.randomElement(using: &generator) else { break }
            let from = text.index(after: start)
            let end = text[from...].firstIndex { ",]}".contains($0) } ?? text.endIndex
            text.replaceSubrange(from..<end, with: Self.values.randomElement(using: &generator) ?? "0")
        }
        return int(0...2) == 0 ? damage(Array(text.utf8)) : Array(text.utf8)
    }

    private mutating func int(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &generator) }

    /// Offset and length in a header: name, mode, owner, group, size, time, type, link, magic, device, prefix.
    private static let fields = [
        (0, 100), (100, 8), (108, 8), (116, 8), (124, 12), (136, 12), (156, 1), (157, 100), (257, 8), (329, 8),
        (337, 8),
        (345, 155),
    ]
    private static let names = [
        "../../../../tmp/planted", "/tmp/planted", ".wh.a", "a/.wh..wh..opq", ".wh..wh..opq", ".wh.", ".wh...",
        "a/b/../../c",
        ".", "./", "//", "\u{0}", ".wh.x/y",
    ].map { Array($0.utf8) + [0] }
    private static let values = [
        "null", "-1", "0", "1e400", "9223372036854775807", "9223372036854775808", "\"\"", "\"sha256:\"", "[]", "{}",
        "true",
        "\"../../../../etc/passwd\"", "\"sha256:" + String(repeating: "0", count: 64) + "\"",
        "\"sha256:" + String(repeating: "../", count: 21) + "a\"", String(repeating: "[", count: 2000), "[[[]]]",
        "\"\\u0000\"", "\"" + String(repeating: "x", count: 100_000) + "\"",
    ]
}
