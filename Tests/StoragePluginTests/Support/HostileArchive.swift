import AgentTestSupport
import Testing

/// An archive that must be refused, and what the refusal has to say.
struct HostileArchive: CustomTestStringConvertible, Sendable {
    let name: String
    let says: String
    var isCompressed = false
    let bytes: @Sendable () -> [UInt8]

    var testDescription: String { name }

    private static func tar(_ body: (inout TarBuilder) -> Void) -> [UInt8] {
        var tar = TarBuilder()
        tar.file("first", Array("first".utf8))
        body(&tar)
        return tar.finished()
    }

    static let all: [HostileArchive] = [
        HostileArchive(name: "climbing name", says: "contains '..'") { tar { $0.file("a/../../etc/passwd") } },
        HostileArchive(name: "absolute name", says: "is absolute") { tar { $0.file("/etc/passwd") } },
        HostileArchive(name: "hard link out", says: "contains '..'") {
            tar { $0.link("x", to: "../../etc/shadow", type: "1") }
        },
        HostileArchive(name: "hard link to nothing", says: "does not exist") {
            tar { $0.link("x", to: "nothing", type: "1") }
        },
        HostileArchive(name: "hard link to a directory", says: "is a directory") {
            tar {
                $0.directory("d")
                $0.link("x", to: "d", type: "1")
            }
        },
        HostileArchive(name: "through a link that leads out", says: "leads out of the image") {
            tar {
                $0.link("x", to: "../../tmp", type: "2")
                $0.file("x/planted")
            }
        },
        HostileArchive(name: "through a loop of links", says: "loop of symbolic links") {
            tar {
                $0.link("a", to: "b", type: "2")
                $0.link("b", to: "a", type: "2")
                $0.file("a/x")
            }
        },
        HostileArchive(name: "below a file", says: "is not a directory") { tar { $0.file("first/x") } },
        HostileArchive(name: "long name", says: "has a component of 300 bytes") {
            tar { $0.file(String(repeating: "n", count: 300)) }
        },
        HostileArchive(name: "long path", says: "bytes long") {
            tar { $0.file(String(repeating: "dir/", count: 1500) + "x") }
        },
        HostileArchive(name: "deep path", says: "nested more than 100 deep") {
            tar { $0.file(String(repeating: "d/", count: 200) + "x") }
        },
        HostileArchive(name: "many entries", says: "more than 1000") {
            tar { tar in for index in 0..<1100 { tar.file("f\(index)") } }
        },
        HostileArchive(name: "huge extended header", says: "extended header is") {
            tar { $0.appendHeader("PaxHeader", type: "x", size: 8 << 30) }
        },
        HostileArchive(name: "damaged PAX header", says: "PAX header is damaged") {
            tar {
                $0.appendHeader("PaxHeader", type: "x", size: 512)
                $0.appendRaw([UInt8](repeating: 65, count: 512))
            }
        },
        HostileArchive(name: "sparse file", says: "sparse") { tar { $0.appendHeader("holes", type: "S", size: 0) } },
        HostileArchive(name: "unknown type", says: "unknown type") {
            tar { $0.appendHeader("odd", type: "Q", size: 0) }
        },
        HostileArchive(name: "wrong checksum", says: "checksum") {
            tar { $0.appendRaw([UInt8](repeating: 1, count: 512)) }
        },
        HostileArchive(name: "huge size", says: "cut off") {
            tar { $0.appendHeader("big", type: "0", size: 1 << 32) }
        },
        HostileArchive(name: "cut off in a file", says: "cut off") {
            var tar = TarBuilder()
            tar.file("x", [UInt8](repeating: 1, count: 10_000))
            return Array(tar.bytes.dropLast(3000))
        },
        HostileArchive(name: "cut off between files", says: "cut off") {
            var tar = TarBuilder()
            tar.file("x")
            return tar.bytes
        },
        HostileArchive(name: "nothing", says: "empty") { [] },
        HostileArchive(name: "garbage", says: "checksum") {
            (0..<4096).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ 13) }
        },
        HostileArchive(name: "bomb", says: "decompression bomb", isCompressed: true) {
            tar { $0.file("zeros", [UInt8](repeating: 0, count: 7 << 20)) }
        },
        HostileArchive(name: "large when unpacked", says: "8.0 MB") {
            tar { $0.file("zeros", [UInt8](repeating: 0, count: 9 << 20)) }
        },
        HostileArchive(name: "whiteout of nothing", says: "whiteout") { tar { $0.file("d/.wh.") } },
        HostileArchive(name: "device number", says: "device number") {
            tar { $0.appendHeader("dev", type: "3", size: 0, device: (100_000, 1)) }
        },
    ]
}
