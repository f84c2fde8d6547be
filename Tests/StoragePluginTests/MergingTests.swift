import AgentCore
import AgentTestSupport
import Foundation
import StoragePlugin
import SystemPackage
import Testing

/// What neither umoci's tests of its own nor the random layers reach: order within a layer, links across layers.
@Suite("merging layers")
struct MergingTests {
    private func tree(_ layers: [[UInt8]]) async throws -> [String: String] {
        try await Scratch.with { scratch in
            let archive = try await Layout.archive(try await Layout.make(layers, in: scratch), in: scratch)
            let disk = try await scratch.storage().disk(from: archive)
            try await tool("fsck.erofs", [disk.path.string])
            return try await withMounted(disk.path, in: scratch) { try TreeSnapshot(of: $0).lines }
        }
    }

    private func layer(_ body: (inout TarBuilder) -> Void) -> [UInt8] {
        var tar = TarBuilder()
        body(&tar)
        return tar.finished()
    }

    @Test(arguments: [true, false]) func whiteoutHidesLowerLayersOnly(isFirst: Bool) async throws {
        let tree = try await tree([
            layer {
                $0.directory("d", mode: 0o700)
                $0.file("d/lower")
                $0.file("f", [1])
            },
            layer {
                if isFirst { $0.file(".wh.d") }
                $0.directory("d", mode: 0o711)
                $0.file("d/upper")
                $0.file("f", [2, 2])
                $0.file(".wh.f")
                if !isFirst { $0.file(".wh.d") }
            },
        ])
        #expect(Set(tree.keys) == ["/", "/d", "/d/upper", "/f"])
        #expect(tree["/d"]?.hasPrefix("40711") == true)
        #expect(tree["/f"]?.contains("size 2") == true)
    }

    @Test(arguments: [true, false]) func opaqueDirectoryHidesLowerLayersOnly(isFirst: Bool) async throws {
        let tree = try await tree([
            layer {
                $0.directory("d")
                $0.directory("d/sub")
                $0.file("d/sub/lower")
                $0.file("d/lower")
            },
            layer {
                $0.directory("d")
                if isFirst { $0.file("d/.wh..wh..opq") }
                $0.directory("d/sub")
                $0.file("d/sub/upper")
                if !isFirst { $0.file("d/.wh..wh..opq") }
            },
        ])
        #expect(Set(tree.keys) == ["/", "/d", "/d/sub", "/d/sub/upper"])
    }

    @Test func whiteoutOfTheLongestNameThereIs() async throws {
        let name = String(repeating: "n", count: 255)
        let tree = try await tree([layer { $0.file(name) }, layer { $0.file(".wh." + name) }])
        #expect(Set(tree.keys) == ["/"])
    }

    @Test func hardLinkReachesALowerLayer() async throws {
        let tree = try await tree([
            layer { $0.file("original", [1, 2, 3], mode: 0o4755, owner: 5) },
            layer { $0.link("second", to: "/original", type: "1") },
            layer { $0.file(".wh.original") },
            layer { $0.link("third", to: "second", type: "1") },
        ])
        #expect(Set(tree.keys) == ["/", "/second", "/third"])
        #expect(tree["/third"]?.contains("104755 5:0") == true)
        #expect(tree["/third"]?.contains("links 2") == true && tree["/third"]?.contains("same as /second") == true)
    }

    @Test func lastOfSeveralEntriesWins() async throws {
        let tree = try await tree([
            layer {
                $0.file("x", [1])
                $0.directory("x")
                $0.file("x/inner")
                $0.file("x", [1, 2, 3, 4])
            }
        ])
        #expect(Set(tree.keys) == ["/", "/x"])
        #expect(tree["/x"]?.contains("size 4") == true)
    }

    @Test func linkedParentIsFollowedInsideOfTheImage() async throws {
        let tree = try await tree([
            layer {
                $0.directory("usr")
                $0.directory("usr/lib")
                $0.link("lib", to: "/usr/lib", type: "2")
                $0.link("usr/lib64", to: "../usr/lib", type: "2")
            },
            layer {
                $0.file("lib/one")
                $0.file("usr/lib64/two")
                $0.file("lib/.wh.nothing")
            },
        ])
        #expect(Set(tree.keys) == ["/", "/usr", "/usr/lib", "/lib", "/usr/lib64", "/usr/lib/one", "/usr/lib/two"])
    }

    @Test func directoryAndFileReplaceOneAnother() async throws {
        let tree = try await tree([
            layer {
                $0.directory("a")
                $0.file("a/child")
                $0.file("b", [1])
            },
            layer {
                $0.file("a", [7])
                $0.directory("b")
                $0.file("b/child")
            },
        ])
        #expect(Set(tree.keys) == ["/", "/a", "/b", "/b/child"])
    }

    /// Files of one directory follow one another in an archive; what their way leads to may change in between.
    @Test(arguments: ["link", "whiteout", "opaque", "hard link"])
    func wayThatChangesBetweenTwoFilesLeadsElsewhere(by change: String) async throws {
        let tree = try await tree([
            layer {
                $0.directory("other")
                $0.directory("a")
                $0.directory("a/b")
                $0.file("a/b/lower")
            },
            layer {
                $0.file("a/b/first")
                switch change {
                case "link": $0.link("a", to: "other", type: "2")
                case "whiteout": $0.file(".wh.a")
                case "opaque": $0.file("a/.wh..wh..opq")
                default:
                    $0.file("plain")
                    $0.link("a/b", to: "plain", type: "1")
                    $0.directory("a/b")
                }
                $0.file("a/b/second")
            },
        ])
        let names = Set(tree.keys).subtracting(["/", "/other", "/a"])
        switch change {
        case "link": #expect(names == ["/other/b", "/other/b/second"])
        // They hide what lower layers have, not their own.
        case "whiteout", "opaque": #expect(names == ["/a/b", "/a/b/first", "/a/b/second"])
        default: #expect(names == ["/plain", "/a/b", "/a/b/second"])
        }
    }

    @Test func tailsAreReadInAnotherOrderThanTheyCame() async throws {
        // 6 MiB of tails, more than are kept in memory, in directories that take turns in the archive.
        let files = (0..<3000).map { index in
            (
                name: "d\(index % 29)/f\(index)",
                contents: [UInt8](repeating: UInt8(index % 251), count: 2000 + index % 90)
            )
        }
        try await Scratch.with { scratch in
            let tar = layer { tar in for file in files { tar.file(file.name, file.contents) } }
            let archive = try await Layout.archive(try await Layout.make([tar], in: scratch), in: scratch)
            let disk = try await scratch.storage().disk(from: archive)
            try await tool("fsck.erofs", [disk.path.string])
            let wrong = try await withMounted(disk.path, in: scratch) { root in
                try files.filter { file in
                    try [UInt8](Data(contentsOf: URL(filePath: "\(root)/\(file.name)"))) != file.contents
                }
            }
            #expect(wrong.map(\.name) == [])
        }
    }

    @Test func spaceOfReplacedFilesIsUsedAgain() async throws {
        let size = 1 << 20
        try await Scratch.with { scratch in
            let layers = (0..<6).map { round in layer { $0.file("same", [UInt8](repeating: UInt8(round), count: size)) }
            }
            let archive = try await Layout.archive(try await Layout.make(layers, in: scratch), in: scratch)
            let disk = try await scratch.storage().disk(from: archive)
            #expect(disk.size < .mebibytes(3))
        }
    }

    @Test func parentsThatNoLayerDescribesAreRootsOwn() async throws {
        let tree = try await tree([layer { $0.file("a/b/c") }])
        #expect(tree["/a"]?.hasPrefix("40755 0:0 0.0") == true)
        #expect(Set(tree.keys) == ["/", "/a", "/a/b", "/a/b/c"])
    }

    @Test func directoryOfManyBlocksIsFoundThrough() async throws {
        let names = (0..<5000).map { "file-\($0)-" + String(repeating: "x", count: $0 % 120) }
        let tree = try await tree([
            layer { tar in
                tar.directory("many")
                for name in names { tar.file("many/" + name, Array(name.utf8)) }
            }
        ])
        // The snapshot looks every name up.
        #expect(Set(tree.keys) == Set(["/", "/many"] + names.map { "/many/" + $0 }))
        #expect(tree["/many/" + names[4999]]?.contains("size \(names[4999].utf8.count) ") == true)
    }

    @Test func attributesLargerThanABlockAreWhole() async throws {
        var member = TarBuilder.Member("f")
        member.attributes = [
            "user.a": [UInt8](repeating: 1, count: 20_000), "user.b": [UInt8](repeating: 2, count: 30_000),
            "user.c": [3],
        ]
        member.contents = [UInt8](repeating: 9, count: 5000)
        let tree = try await tree([layer { $0.append(member) }])
        let value = String(repeating: "2.", count: 29_999) + "2"
        #expect(tree["/f"]?.contains(" user.b=\(value) user.c=3") == true)
    }

    /// A name and a value as long as erofs has them, and as many as an inode counts: 4 x 65535 bytes.
    @Test func attributesAtTheirLimitsAreWhole() async throws {
        var member = TarBuilder.Member("f")
        let longest = "user." + String(repeating: "n", count: 250)
        member.attributes = [longest: [UInt8](repeating: 1, count: 65_535)]
        for index in 0..<3 { member.attributes["user.\(index)"] = [UInt8](repeating: UInt8(index), count: 65_000) }
        member.contents = [UInt8](repeating: 9, count: 5000)
        let tree = try await tree([layer { $0.append(member) }])
        let attributes = try #require(tree["/f"])
        #expect(attributes.contains(" \(longest)=" + String(repeating: "1.", count: 65_534) + "1"))
        for index in 0..<3 {
            #expect(attributes.contains(" user.\(index)=" + String(repeating: "\(index).", count: 64_999) + "\(index)"))
        }
    }

    @Test func accessListsReachTheKernel() async throws {
        // Version 2, then tag, permissions, id of each entry (posix_acl_xattr.h).
        let list: [UInt8] =
            [2, 0, 0, 0] + [1, 0, 6, 0, 255, 255, 255, 255] + [2, 0, 4, 0, 232, 3, 0, 0] + [
                4, 0, 4, 0, 255, 255, 255, 255,
            ]
            + [16, 0, 4, 0, 255, 255, 255, 255] + [32, 0, 0, 0, 255, 255, 255, 255]
        var member = TarBuilder.Member("f")
        member.attributes = ["system.posix_acl_access": list, "trusted.overlay.opaque": [121], "security.selinux": [1]]
        let tree = try await tree([layer { $0.append(member) }])
        #expect(tree["/f"]?.contains("system.posix_acl_access=2.0.0.0.1.0.6") == true)
        #expect(tree["/f"]?.contains("overlay") == false && tree["/f"]?.contains("selinux") == false)
    }
}
