import AgentTestSupport
import Testing

/// An archive that must be refused, and what the refusal has to say.
struct HostileArchive: CustomTestStringConvertible, Sendable {
    let name: String
    let says: String
    /// What is said of it as a layer, where that is something else.
    var saysAsLayer: String?
    /// The program that packs it.
    var packedBy: String?
    /// Whether it must be refused as the layer of an image too, which need not end as a tar does.
    var isHostileLayer = true
    let bytes: @Sendable () -> [UInt8]

    var testDescription: String { name }

    private static func tar(_ body: (inout TarBuilder) -> Void) -> [UInt8] {
        var tar = TarBuilder()
        tar.file("first", Array("first".utf8))
        body(&tar)
        return tar.finished()
    }

    static let all: [HostileArchive] =
        [
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
            HostileArchive(name: "sparse file with more than its map tells of", says: "sparse") {
                tar {
                    $0.appendHeader("holes", type: "S", size: 512)
                    $0.appendRaw([UInt8](repeating: 65, count: 512))
                }
            },
            HostileArchive(name: "unknown type", says: "unknown type") {
                tar { $0.appendHeader("odd", type: "Q", size: 0) }
            },
            HostileArchive(name: "wrong checksum", says: "checksum") {
                tar { $0.appendRaw([UInt8](repeating: 1, count: 512)) }
            },
            HostileArchive(name: "huge size", says: "cut off", saysAsLayer: "bytes long") {
                tar { $0.appendHeader("big", type: "0", size: 1 << 32) }
            },
            HostileArchive(name: "cut off in a file", says: "cut off") {
                var tar = TarBuilder()
                tar.file("x", [UInt8](repeating: 1, count: 10_000))
                return Array(tar.bytes.dropLast(3000))
            },
            HostileArchive(name: "cut off between files", says: "cut off", isHostileLayer: false) {
                var tar = TarBuilder()
                tar.file("x")
                return tar.bytes
            },
            HostileArchive(name: "nothing", says: "empty", isHostileLayer: false) { [] },
            HostileArchive(name: "garbage", says: "checksum") {
                (0..<4096).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ 13) }
            },
            HostileArchive(name: "gzip bomb", says: "decompression bomb", packedBy: "gzip") {
                tar { $0.file("zeros", [UInt8](repeating: 0, count: 7 << 20)) }
            },
            HostileArchive(name: "zstd bomb", says: "decompression bomb", packedBy: "zstd") {
                tar { $0.file("zeros", [UInt8](repeating: 0, count: 7 << 20)) }
            },
            // A frame that wants 2 GiB of memory before its first byte (RFC 8878, 3.1.1.1.2), and an empty last block.
            HostileArchive(name: "zstd window of 2 GiB", says: "too much memory") {
                [0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 0x01, 0x00, 0x00]
            },
            HostileArchive(name: "large when unpacked", says: "8.0 MB") {
                tar { $0.file("zeros", [UInt8](repeating: 0, count: 9 << 20)) }
            },
            HostileArchive(name: "whiteout of nothing", says: "whiteout") { tar { $0.file("d/.wh.") } },
            HostileArchive(name: "device number", says: "device number") {
                tar { $0.appendHeader("dev", type: "3", size: 0, device: (100_000, 1)) }
            },
        ] + more

    /// Numbers at the ends of their ranges, and what piles up.
    private static let more: [HostileArchive] = [
        HostileArchive(name: "largest size there is", says: "cut off", saysAsLayer: "bytes long") {
            tar { $0.extended("huge", ["size": "\(Int.max)"]) }
        },
        HostileArchive(name: "larger than the largest size", says: "wrong size") {
            tar { $0.extended("huge", ["size": "92233720368547758070"]) }
        },
        HostileArchive(name: "negative size", says: "wrong size") { tar { $0.extended("less", ["size": "-1"]) } },
        HostileArchive(name: "earliest time there is", says: "wrong time") {
            tar { $0.extended("early", ["mtime": "\(Int64.min).5"]) }
        },
        HostileArchive(name: "owner beyond 32 bits", says: "out of range") {
            tar { $0.extended("owned", ["uid": "4294967296"]) }
        },
        HostileArchive(name: "sparse file of PAX", says: "sparse") {
            tar { $0.extended("holes", ["GNU.sparse.major": "1", "GNU.sparse.realsize": "1099511627776"]) }
        },
        HostileArchive(name: "sparse map of GNU's old PAX", says: "sparse") {
            tar { $0.extended("holes", ["GNU.sparse.map": "0,1,1099511627775,1"]) }
        },
        HostileArchive(name: "attributes beyond what an inode counts", says: "extended attributes") {
            var member = TarBuilder.Member("f")
            for index in 0..<5 { member.attributes["user.\(index)"] = [UInt8](repeating: 1, count: 60_000) }
            return tar { $0.append(member) }
        },
        HostileArchive(name: "attribute of 64 KiB", says: "too large") {
            var member = TarBuilder.Member("f")
            member.attributes["user.a"] = [UInt8](repeating: 1, count: 65_536)
            return tar { $0.append(member) }
        },
        HostileArchive(name: "names without end", says: "names and attributes") {
            tar { tar in
                let directory = String(repeating: String(repeating: "n", count: 250) + "/", count: 15)
                for index in 0..<300 { tar.file(directory + "\(index)") }
            }
        },
        HostileArchive(name: "parents that nobody wrote", says: "more than 1000") {
            tar { tar in for index in 0..<20 { tar.file("\(index)/" + String(repeating: "d/", count: 90) + "x") } }
        },
        HostileArchive(name: "global records without end", says: "global PAX records") {
            tar { tar in
                for index in 0..<100 { tar.records(["comment\(index)": "x"], type: "g") }
                tar.file("x")
            }
        },
        HostileArchive(name: "extended header at the end", says: "after an extended header") {
            tar { $0.records(["path": "x"], type: "x") }
        },
        HostileArchive(name: "NUL in a name", says: "NUL") { tar { $0.extended("x", ["path": "a\u{0}b"]) } },
        HostileArchive(name: "long link", says: "target of the symbolic link") {
            tar { $0.link("x", to: String(repeating: "t", count: 5000), type: "2") }
        },
        HostileArchive(name: "through a link with a long name", says: "cannot be a directory's name") {
            tar {
                $0.link("x", to: String(repeating: "n", count: 300), type: "2")
                $0.file("x/file")
            }
        },
        HostileArchive(name: "through a link to a whiteout", says: "cannot be a directory's name") {
            tar {
                $0.link("x", to: ".wh.y", type: "2")
                $0.file("x/file")
            }
        },
        HostileArchive(name: "root that is a file", says: "root is not a directory") {
            tar { $0.file("./.") }
        },
    ]
}

extension TarBuilder {
    /// An extended header.
    mutating func records(_ records: [String: String], type: Character) {
        var body: [UInt8] = []
        for (key, value) in records.sorted(by: { $0.key < $1.key }) {
            let rest = " \(key)=\(value)\n".utf8.count
            var length = rest + 1
            while "\(length)".utf8.count + rest != length { length = "\(length)".utf8.count + rest }
            body += Array("\(length) \(key)=\(value)\n".utf8)
        }
        appendHeader("PaxHeader", type: type, size: body.count)
        appendRaw(body + [UInt8](repeating: 0, count: (512 - body.count % 512) % 512))
    }

    /// An empty file with an extended header before it.
    mutating func extended(_ name: String, _ records: [String: String]) {
        self.records(records, type: "x")
        appendHeader(name, type: "0", size: 0)
    }
}

extension HostileArchive {
    /// Its bytes, packed if they are to be.
    func packed(in scratch: Scratch) async throws -> [UInt8] {
        let plain = bytes()
        guard let packedBy else { return plain }
        return try await scratch.pack(plain, by: packedBy)
    }
}
