import AgentCore
import AgentTestSupport
import Foundation
import StoragePlugin
import SystemPackage
import Testing

@Suite("random layers")
struct RandomLayersTests {
    @Test(
        arguments: [nil, 1, 2, 3, 4, 12_688_715_574_836_063_787] as [UInt64?],
        RootDiskCompression.allCases
    )
    func erofsShowsTheTreeThatUmociUnpacks(fixed: UInt64?, compression: RootDiskCompression) async throws {
        let seed = fixed ?? UInt64.random(in: 0...UInt64.max)
        print("random layers: seed \(seed)")
        try await Scratch.with { scratch in
            var generator = LayerGenerator(seed: seed)
            let layers = (0..<4).map { _ in generator.layer() }
            let layout = try await Layout.make(layers, in: scratch)
            let reference = try TreeSnapshot(of: try await Layout.unpack(layout, in: scratch))
            let storage = try scratch.storage(compression: compression)
            let disk = try await storage.disk(from: try await Layout.archive(layout, in: scratch))
            try await tool("fsck.erofs", [disk.path.string])
            let ours = try await withMounted(disk.path, in: scratch) { try TreeSnapshot(of: $0) }
            let differences = ours.differences(from: reference)
            #expect(differences.isEmpty, "seed \(seed): \(differences.prefix(10).joined(separator: "\n"))")
            #expect(ours.lines.count > 20)
        }
    }
}

/// Makes layers that change, replace and hide what the ones before have put.
struct LayerGenerator {
    private var generator: SeededGenerator
    private var tree: [String: Bool] = [:]  // path → is directory

    init(seed: UInt64) { generator = SeededGenerator(seed: seed) }

    mutating func layer() -> [UInt8] {
        var tar = TarBuilder()
        var touched: Set<String> = []
        var files: [String] = []
        tar.directory("./", mode: 0o755, modified: int(1...2_000_000_000))
        for _ in 0..<40 {
            let choice = int(0...99)
            if choice < 15, let victim = tree.keys.sorted().randomElement(using: &generator),
                !isTouched(victim, by: touched)
            {
                writeParents(of: victim, to: &tar, touched: &touched)
                tar.file(parent(victim) + ".wh." + name(victim))
                forget(victim)
                continue
            }
            if choice < 20, let victim = tree.filter(\.value).keys.sorted().randomElement(using: &generator),
                !isTouched(victim, by: touched)
            {
                writeParents(of: victim + "/x", to: &tar, touched: &touched)
                tar.file(victim + "/.wh..wh..opq")
                for path in tree.keys where path.hasPrefix(victim + "/") { tree[path] = nil }
                continue
            }
            let path = newPath()
            guard !touched.contains(path), !isTouched(path, by: touched) else { continue }
            writeParents(of: path, to: &tar, touched: &touched)
            var member = TarBuilder.Member(path)
            member.mode = [0o644, 0o755, 0o4755, 0o2711, 0o1777, 0o000].randomElement(using: &generator) ?? 0
            member.owner = [0, 1000, 65535, 65536, 4_000_000_000].randomElement(using: &generator) ?? 0
            member.group = [0, 5, 100_000].randomElement(using: &generator) ?? 0
            member.modified = int(0...2_000_000_000)
            member.nanoseconds = Bool.random(using: &generator) ? int(0...999_999_999) : 0
            switch int(0...9) {
            case 0, 1:
                member.type = "5"
                member.attributes = attributes()
                if tree[path] == false { forget(path) }
            case 2:
                member.type = "2"
                member.linkName = "../" + String(repeating: "target/", count: int(0...60)) + "x"
                forget(path)
            case 3 where int(0...5) == 0:
                guard let target = files.filter({ tree[$0] == false }).randomElement(using: &generator) else {
                    continue
                }
                addLinks(to: target, beside: path, in: &tar, touched: &touched)
                continue
            case 3:
                guard let target = files.filter({ tree[$0] == false }).randomElement(using: &generator), target != path,
                    !path.hasPrefix(target)
                else { continue }
                member.type = "1"
                member.linkName = target
                forget(path)
            case 4:
                member.type = ["3", "4", "6"].randomElement(using: &generator) ?? "6"
                if member.type != "6" { member.device = (int(0...511), int(1...70_000)) }
                forget(path)
            default:
                let size =
                    [0, 1, 100, 3000, 4000, 4032, 4095, 4096, 4097, 8100, 20_000, 300_000].randomElement(
                        using: &generator
                    ) ?? 0
                // Every fourth is empty but for its first byte, and for a stretch in its middle.
                let isSparse = int(0...3) == 0
                member.contents = (0..<size).map {
                    isSparse && !(size / 2..<size / 2 + 5000).contains($0)
                        ? 0 : UInt8(truncatingIfNeeded: $0 &* 31 &+ size)
                }
                if size > 0 { member.contents[0] = UInt8(int(0...255)) }
                member.attributes = attributes()
                forget(path)
                files.append(path)
            }
            tar.append(member)
            tree[path] = member.type == "5"
            touched.insert(path)
        }
        addDeepPath(to: &tar, touched: &touched)
        return tar.finished()
    }

    /// Many names of one file.
    private mutating func addLinks(
        to target: String,
        beside path: String,
        in tar: inout TarBuilder,
        touched: inout Set<String>
    ) {
        for index in 0..<int(50...150) {
            let name = parent(path) + "link\(index)"
            guard !touched.contains(name), !isTouched(name, by: touched), !target.hasPrefix(name) else { continue }
            tar.link(name, to: target, type: "1")
            forget(name)
            tree[name] = false
            touched.insert(name)
        }
    }

    /// Directories inside one another, with a file at the end.
    private mutating func addDeepPath(to tar: inout TarBuilder, touched: inout Set<String>) {
        let top = "deep\(int(0...2))"
        guard !isTouched(top, by: touched) else { return }
        if tree[top] == false { forget(top) }
        let path = top + String(repeating: "/ö\(int(0...1))", count: int(20...120)) + "/file"
        guard tree[path] != true else { return }
        writeParents(of: path, to: &tar, touched: &touched)
        tar.file(path, [UInt8](repeating: 0, count: int(0...70_000)) + [1])
        var directory = path
        while let slash = directory.lastIndex(of: "/") {
            directory = String(directory[..<slash])
            tree[directory] = true
        }
        tree[path] = false
        touched.insert(path)
    }

    private mutating func attributes() -> [String: [UInt8]] {
        switch int(0...5) {
        case 0: ["user.note": Array("value \(int(0...1000))".utf8)]
        case 1:
            ["security.capability": [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], "user.short": [1]]
        case 2: ["trusted.large": [UInt8](repeating: 7, count: int(900...3000))]
        default: [:]
        }
    }

    private mutating func newPath() -> String {
        let names = [
            "a", "b", "-dash", "ünïcode", "z.z", "!", String(repeating: "n", count: 200), "日本語 \u{1F600}",
            String(repeating: "ü", count: 127) + "e", "new\nline", "file\(int(0...50))",
            "d\(int(0...4))",
        ]
        let directories = tree.filter(\.value).keys.sorted()
        let parent = int(0...2) == 0 ? "" : directories.randomElement(using: &generator).map { $0 + "/" } ?? ""
        let path = parent + (names.randomElement(using: &generator) ?? "a")
        return path.utf8.count > 2000 ? "short\(int(0...9))" : path
    }

    private mutating func writeParents(of path: String, to tar: inout TarBuilder, touched: inout Set<String>) {
        let components = path.split(separator: "/").dropLast()
        for count in 1...max(1, components.count) where count <= components.count {
            let parent = components.prefix(count).joined(separator: "/")
            if touched.insert(parent).inserted { tar.directory(parent, mode: 0o755, modified: int(1...2_000_000_000)) }
        }
    }

    private func isTouched(_ path: String, by touched: Set<String>) -> Bool {
        touched.contains { $0 == path || $0.hasPrefix(path + "/") }
    }

    private mutating func forget(_ path: String) {
        for other in tree.keys where other == path || other.hasPrefix(path + "/") { tree[other] = nil }
    }

    private func parent(_ path: String) -> String { path.lastIndex(of: "/").map { String(path[...$0]) } ?? "" }
    private func name(_ path: String) -> String { path.split(separator: "/").last.map(String.init) ?? path }

    private mutating func int(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &generator) }
}
