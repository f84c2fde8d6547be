import AgentTestSupport
import Foundation
import Glibc
import SystemPackage
import Testing

/// `hypeman cp` with a real VM: everything of a tree, much of it, and what a hostile one would do.
@Suite(.serialized) struct CopyTests {
    /// A VM `web` of busybox.
    private static func withInstance(_ body: (PrivateAgent) async throws -> Void) async throws {
        try await PrivateAgent.withBusybox { agent async throws in
            try await agent.expect(
                "run",
                "-d",
                "--name",
                "web",
                "--memory",
                "192MB",
                "busybox:1",
                "/bin/sleep",
                "100000"
            )
            try await body(agent)
        }
    }

    private static func snapshot(_ path: FilePath) throws -> TreeSnapshot { try TreeSnapshot(of: path) }

    @Test func everythingOfATreeGoesThereAndBack() async throws {
        try await Self.withInstance { agent in
            let tree = agent.scratch.appending("tree")
            #expect(mkdir(tree.string, 0o755) == 0 && mkdir(tree.appending("sub").string, 0o755) == 0)
            try Data("program".utf8).write(to: URL(filePath: tree.appending("file").string))
            #expect(link(tree.appending("file").string, tree.pushing("sub/hard").string) == 0)
            #expect(symlink("../file", tree.pushing("sub/soft").string) == 0)
            #expect(mkfifo(tree.appending("fifo").string, 0o620) == 0)
            try Data("ü".utf8).write(to: URL(filePath: tree.appending(String(repeating: "名", count: 80)).string))
            try await tool("setcap", ["cap_net_raw=ep", tree.appending("file").string])
            try await tool("setfattr", ["-n", "user.note", "-v", "kept", tree.appending("sub").string])
            #expect(lchown(tree.pushing("sub/soft").string, 12, 34) == 0)
            #expect(
                chown(tree.appending("sub").string, 1234, 2345) == 0 && chmod(tree.appending("sub").string, 0o2750) == 0
            )
            try await tool("touch", ["-h", "-d", "2001-02-03 04:05:06.123456789", tree.pushing("sub/soft").string])
            try await tool("touch", ["-d", "1969-12-31 23:59:58.25 UTC", tree.appending("sub").string])
            try await agent.expect("cp", "-a", tree.string, "web:/srv/copy")
            #expect(
                try await agent.expect("exec", "-u", "root", "web", "stat", "-c", "%a %u:%g %Y", "/srv/copy/sub")
                    == "2750 1234:2345 -2"
            )
            #expect(try await agent.expect("exec", "-u", "root", "web", "stat", "-c", "%h", "/srv/copy/file") == "2")
            let back = agent.scratch.appending("back")
            try await agent.expect("cp", "-a", "web:/srv/copy", back.string)
            #expect(try Self.snapshot(tree).differences(from: try Self.snapshot(back)) == [])
            // As somebody without -a has it: root's there, and one's own here.
            try await agent.expect("cp", tree.appending("file").string, "web:/srv/")
            #expect(try await agent.expect("exec", "-u", "root", "web", "stat", "-c", "%u:%g", "/srv/file") == "0:0")
            // What the kernel makes up is a file, too; its file systems are not copied with the rest.
            let memory = try await agent.hypeman("cp", "web:/proc/meminfo", "-")
            #expect(memory.output.contains("MemTotal:"))
            let missing = try await agent.hypeman("cp", "web:/no/such/file", "x")
            #expect(missing.code == 1 && missing.errors.contains("/no/such/file"))
            try await agent.expect("stop", "--time", "1", "web")
            let stopped = try await agent.hypeman("cp", "web:/srv/file", "x")
            #expect(stopped.code == 1 && stopped.errors.contains("Stopped"), "\(stopped)")
        }
    }

    /// 64 MiB, and 4 GiB that are nearly all hole.
    ///
    /// One of the heavy ones: what takes its time is a debug build that masks 64 MiB for its WebSocket.
    @Test func largeFilesGoBothWaysAndHolesStayHoles() async throws {
        try await Self.withInstance { agent in try await Self.checkLargeFiles(agent) }
    }

    private static func checkLargeFiles(_ agent: PrivateAgent) async throws {
        let large = agent.scratch.appending("large")
        try await tool("dd", ["if=/dev/urandom", "of=\(large)", "bs=1M", "count=64", "status=none"])
        let clock = ContinuousClock()
        let inwards = try await clock.measure { try await agent.expect("cp", large.string, "web:/tmp/large") }
        let sum = try await tool("sha256sum", [large.string]).prefix(64)
        #expect(try await agent.expect("exec", "web", "sha256sum", "/tmp/large").prefix(64) == sum)
        let back = agent.scratch.appending("large-back")
        let outwards = try await clock.measure { try await agent.expect("cp", "web:/tmp/large", back.string) }
        #expect(try await tool("sha256sum", [back.string]).prefix(64) == sum)
        try await agent.expect("exec", "-u", "root", "web", "/bin/busybox", "rm", "/tmp/large")

        let sparse = agent.scratch.appending("sparse")
        try await tool("dd", ["if=/dev/urandom", "of=\(sparse)", "bs=64K", "count=1", "seek=49152", "status=none"])
        try await tool("truncate", ["--size=4G", sparse.string])
        let holes = try await clock.measure {
            try await agent.expect("cp", sparse.string, "web:/srv/sparse")
            try await agent.expect("cp", "web:/srv/sparse", agent.scratch.appending("sparse-back").string)
        }
        let inside = try await agent.expect("exec", "web", "stat", "-c", "%s %b", "/srv/sparse").split(separator: " ")
        #expect(inside.first == "4294967296" && Int(inside.last ?? "") ?? .max < 1024)
        let copy = agent.scratch.appending("sparse-back").string
        #expect(try await tool("stat", ["-c", "%s", copy]) == "4294967296\n")
        #expect(Int(try await tool("stat", ["-c", "%b", copy]).dropLast()) ?? .max < 1024)
        try await tool("cmp", ["-i", "3221225472", "-n", "65536", sparse.string, copy])
        print("copied 64 MiB in \(inwards), out \(outwards); 4 GiB of holes both ways \(holes)")
    }

    @Test func tenThousandFilesGoBothWays() async throws {
        try await Self.withInstance { agent in
            let tree = agent.scratch.appending("many")
            #expect(mkdir(tree.string, 0o755) == 0)
            for directory in 0..<100 {
                let path = tree.appending("d\(directory)")
                #expect(mkdir(path.string, 0o755) == 0)
                for file in 0..<100 {
                    let contents = Data(String(repeating: "\(directory)/\(file) ", count: 40).utf8)
                    try contents.write(to: URL(filePath: path.appending("f\(file)").string))
                }
            }
            let clock = ContinuousClock()
            let inwards = try await clock.measure { try await agent.expect("cp", tree.string, "web:/srv") }
            let back = agent.scratch.appending("many-back")
            let outwards = try await clock.measure { try await agent.expect("cp", "web:/srv/many", back.string) }
            #expect(try Self.snapshot(tree).differences(from: try Self.snapshot(back)) == [])
            print("10,000 files in \(inwards), out \(outwards)")
            #expect(inwards < .seconds(30) && outwards < .seconds(30))
        }
    }

    @Test func aGuestThatIsFullOrLeftIsAsItWas() async throws {
        try await Self.withInstance { agent in
            try await agent.expect("exec", "-u", "root", "web", "/bin/busybox", "mkdir", "/small")
            try await agent.expect(
                "exec",
                "-u",
                "root",
                "web",
                "/bin/busybox",
                "mount",
                "-t",
                "tmpfs",
                "-o",
                "size=4m",
                "tmpfs",
                "/small"
            )
            let large = agent.scratch.appending("large")
            try await tool("dd", ["if=/dev/zero", "of=\(large)", "bs=1M", "count=32", "status=none"])
            let full = try await agent.hypeman("cp", large.string, "web:/small/large")
            #expect(full.code == 1 && full.errors.contains("disk is full") && full.errors.contains("large"), "\(full)")
            #expect(try await agent.expect("exec", "web", "ls", "-A", "/small") == "")
            // A client that vanishes in the midst: its end of stdin never comes.
            let pipe = Pipe()
            let process = try agent.begin("cp", "-", "web:/srv", input: pipe)
            let header = Self.header("half", size: 1 << 30)
            try pipe.fileHandleForWriting.write(contentsOf: header + Data(repeating: 1, count: 1 << 20))
            try await Self.eventually { try await !agent.expect("exec", "web", "ls", "-A", "/srv").isEmpty }
            kill(process.processIdentifier, SIGKILL)
            try await Self.eventually { try await agent.expect("exec", "web", "ls", "-A", "/srv").isEmpty }
        }
    }

    @Test func aHostileGuestReachesNothingOnTheHost() async throws {
        try await Self.withInstance { agent in
            // A link that takes a directory's place between two copies, and one that is copied with what is behind it.
            try await agent.expect(
                "exec",
                "-u",
                "root",
                "web",
                "sh",
                "-c",
                "cd /srv && /bin/busybox mkdir -p evil/way && echo owned > evil/way/file && /bin/busybox mknod evil/disk b 8 0 && cat /bin/busybox > evil/suid && /bin/busybox chmod 4755 evil/suid"
            )
            let outside = agent.scratch.appending("outside")
            let target = agent.scratch.appending("target")
            for path in [outside, target] { #expect(mkdir(path.string, 0o755) == 0) }
            #expect(mkdir(target.appending("evil").string, 0o755) == 0)
            #expect(symlink("../../outside", target.pushing("evil/way").string) == 0)
            let refused = try await agent.hypeman("cp", "web:/srv/evil", target.string)
            #expect(refused.code == 1 && refused.errors.contains("evil/way"), "\(refused)")
            #expect(try FileManager.default.contentsOfDirectory(atPath: outside.string) == [])
            let clean = agent.scratch.appending("clean")
            let copied = try await agent.hypeman("cp", "web:/srv/evil", clean.string)
            #expect(copied.code == 0 && copied.errors.contains("device node"), "\(copied)")
            #expect(try FileManager.default.contentsOfDirectory(atPath: clean.string).sorted() == ["suid", "way"])
            #expect(try await tool("stat", ["-c", "%a", clean.appending("suid").string]) == "755\n")
        }
    }

    private static func eventually(_ condition: () async throws -> Bool) async throws {
        for _ in 0..<100 {
            if try await condition() { return }
            try await Task.sleep(for: .milliseconds(100))
        }
        Issue.record("it did not come about")
    }

    /// A tar header, by hand: the command line makes none that is not followed by all of its file.
    private static func header(_ name: String, size: Int) -> Data {
        var block = [UInt8](repeating: 0, count: 512)
        func put(_ text: String, at offset: Int) {
            block.replaceSubrange(offset..<offset + text.utf8.count, with: text.utf8)
        }
        func octal(_ number: Int, _ digits: Int) -> String {
            let text = String(number, radix: 8)
            return String(repeating: "0", count: digits - text.count) + text
        }
        put(name, at: 0)
        for (offset, digits) in [(100, 7), (108, 7), (116, 7), (136, 11)] { put(octal(0, digits), at: offset) }
        put(octal(size, 11), at: 124)
        put("        ", at: 148)
        put("0", at: 156)
        put("ustar\u{0}00", at: 257)
        put(octal(block.reduce(0) { $0 + Int($1) }, 6) + "\0 ", at: 148)
        return Data(block)
    }
}
