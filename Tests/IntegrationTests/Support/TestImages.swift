import AgentTestSupport
import Foundation
import SystemPackage

/// Images of real programs: Debian's static busybox, in layers made by tar and umoci.
enum TestImages {
    /// A root filesystem with busybox's programs, an ordinary user, and no shell but busybox's.
    static func busyboxTree(in scratch: Scratch, name: String = "busybox") async throws -> FilePath {
        let root = scratch.appending(name)
        for directory in ["bin", "etc", "tmp", "srv", "home/tester"] {
            try FileManager.default.createDirectory(
                atPath: root.pushing(FilePath(directory)).string,
                withIntermediateDirectories: true
            )
        }
        try await tool("cp", ["/bin/busybox", root.pushing(FilePath("bin/busybox")).string])
        for applet in [
            "sh", "cat", "echo", "true", "false", "sleep", "stat", "id", "pwd", "env", "ls", "sha256sum", "ps", "kill",
            "yes", "head", "od", "free", "df", "dd", "stty", "tty",
        ] {
            try FileManager.default.createSymbolicLink(
                atPath: root.appending("bin/\(applet)").string,
                withDestinationPath: "busybox"
            )
        }
        try "root:x:0:0::/root:/bin/sh\ntester:x:1234:2345::/home/tester:/bin/sh\n"
            .write(toFile: root.pushing(FilePath("etc/passwd")).string, atomically: true, encoding: .utf8)
        try "root:x:0:\ntester:x:2345:\nextra:x:3456:tester\n"
            .write(toFile: root.pushing(FilePath("etc/group")).string, atomically: true, encoding: .utf8)
        return root
    }

    /// The tar of a tree, without the tree's own owner names.
    static func tar(_ tree: FilePath, to path: FilePath) async throws {
        try await tool(
            "tar",
            [
                "--create", "--file", path.string, "--numeric-owner", "--xattrs", "--xattrs-include=*", "-C",
                tree.string, ".",
            ]
        )
    }

    /// A root filesystem tar of Debian's essential packages and some more, from the machine's own package sources.
    ///
    /// - Parameters:
    ///   - packages: Beyond the essential ones.
    ///   - hooks: What mmdebstrap does when all is there (`upload FILE PATH`, `chroot "$1" COMMAND`).
    ///   - image: Where the tar goes.
    /// - Throws: ``ToolFailure``, where there is no network too.
    static func debian(
        _ packages: [String],
        hooks: [String] = [],
        image: FilePath
    ) async throws {
        try await tool(
            "mmdebstrap",
            ["--quiet", "--variant=essential", "--include=\(packages.joined(separator: ","))"] + withoutDocuments
                + hooks.map { "--customize-hook=\($0)" } + ["bookworm", image.string] + (try packageSources())
        )
    }

    /// Options of mmdebstrap for a system that is not to be read about.
    static let withoutDocuments = ["doc", "locale", "man"].map { "--dpkgopt=path-exclude=/usr/share/\($0)/*" }

    /// The files with the machine's own package sources, which mmdebstrap takes as they are.
    static func packageSources() throws -> [String] {
        let lists = "/etc/apt/sources.list.d"
        let names =
            FileManager.default.fileExists(atPath: lists)
            ? try FileManager.default.contentsOfDirectory(atPath: lists).sorted() : []
        return (["/etc/apt/sources.list"] + names.map { "\(lists)/\($0)" }).filter { path in
            (path.hasSuffix(".list") || path.hasSuffix(".sources"))
                && FileManager.default.contents(atPath: path)?.isEmpty == false
        }
    }

    /// Copies the shared libraries of a program, at their own paths.
    private static func copyLibraries(of program: String, to tree: FilePath) async throws {
        for line in try await tool("ldd", [program]).split(separator: "\n") {
            guard let path = line.split(whereSeparator: \.isWhitespace).first(where: { $0.hasPrefix("/") }) else {
                continue
            }
            let target = tree.pushing(FilePath(String(path.dropFirst())))
            try FileManager.default.createDirectory(
                atPath: target.removingLastComponent().string,
                withIntermediateDirectories: true
            )
            try await tool("cp", ["--dereference", String(path), target.string])
        }
    }

    /// Three layers: busybox; files with owners, a setuid bit, a capability and one to be deleted; its deletion.
    static func layered(in scratch: Scratch) async throws -> FilePath {
        let base = try await busyboxTree(in: scratch, name: "base")
        let middle = scratch.appending("middle")
        try FileManager.default.createDirectory(
            atPath: middle.pushing(FilePath("srv/old")).string,
            withIntermediateDirectories: true
        )
        for (name, text) in [("srv/owned", "owned\n"), ("srv/deleted", "gone\n"), ("srv/old/inside", "gone too\n")] {
            try text.write(toFile: middle.pushing(FilePath(name)).string, atomically: true, encoding: .utf8)
        }
        try FileManager.default.createDirectory(
            atPath: middle.pushing(FilePath("bin")).string,
            withIntermediateDirectories: true
        )
        // A copy of cat with the libraries that it needs: busybox would give up the right of a setuid bit by itself.
        for program in ["bin/setuid", "bin/capable"] {
            try await tool("cp", ["/bin/cat", middle.pushing(FilePath(program)).string])
        }
        try await copyLibraries(of: "/bin/cat", to: middle)
        try await tool("chown", ["1234:2345", middle.pushing(FilePath("srv/owned")).string])
        try await tool("chmod", ["0640", middle.pushing(FilePath("srv/owned")).string])
        try await tool("chmod", ["4755", middle.pushing(FilePath("bin/setuid")).string])
        try await tool("setcap", ["cap_net_raw=ep", middle.pushing(FilePath("bin/capable")).string])
        let top = scratch.appending("top")
        try FileManager.default.createDirectory(
            atPath: top.pushing(FilePath("srv/old")).string,
            withIntermediateDirectories: true
        )
        for name in ["srv/.wh.deleted", "srv/old/.wh..wh..opq"] {
            try Data().write(to: URL(fileURLWithPath: top.pushing(FilePath(name)).string))
        }
        let layout = scratch.appending("layout")
        try await tool("umoci", ["init", "--layout", layout.string])
        try await tool("umoci", ["new", "--image", "\(layout):image"])
        for (number, tree) in [base, middle, top].enumerated() {
            let path = scratch.appending("layer-\(number).tar")
            try await tar(tree, to: path)
            try await tool("umoci", ["raw", "add-layer", "--image", "\(layout):image", path.string])
        }
        try await tool(
            "umoci",
            [
                "config", "--image", "\(layout):image", "--config.user", "tester", "--config.workingdir", "/srv",
                "--config.env", "FROM_IMAGE=yes", "--config.env", "PATH=/bin", "--config.entrypoint", "/bin/sh",
                "--config.entrypoint", "-c", "--config.cmd", "echo started; exec sleep 1000",
            ]
        )
        return layout
    }
}
