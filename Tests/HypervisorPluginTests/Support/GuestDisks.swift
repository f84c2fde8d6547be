import AgentCore
import AgentTestSupport
import Foundation
import GuestProtocol
import Subprocess
import SystemPackage

/// The disks of a real guest whose image has a few of this host's own programs.
struct GuestDisks {
    static let session = "00112233445566778899aabbccddeeff"

    let disks: [MachineDescription.Disk]

    /// Makes root, overlay and configuration in a directory.
    init(in scratch: Scratch, program: [String], openStandardInput: Bool = false) async throws {
        let tree = try scratch.directory("tree")
        for program in ["sh", "cat", "sleep", "echo", "false", "date", "od", "dd"] {
            try await Self.copy("/bin/\(program)", to: tree)
        }
        let root = scratch.path.appending("root.erofs")
        try await Self.run("mkfs.erofs", ["-zlz4", root.string, tree.string])
        let overlay = try scratch.write([], to: "overlay.ext4")
        try await Self.run("mkfs.ext4", ["-q", overlay.string, "64M"])

        let configuration = GuestConfiguration(
            protocolVersion: GuestProtocolVersion.current,
            instance: "i",
            hostname: "guest",
            session: Self.session,
            mode: .exec,
            program: GuestProgram(arguments: program, environment: ["PATH=/bin"]),
            openStandardInput: openStandardInput,
            rootDisk: "rootfs",
            overlayDisk: "overlay",
            network: nil,
            outputBufferSize: 1 << 20
        )
        var bytes = Array(try JSONEncoder().encode(configuration))
        bytes += [UInt8](repeating: 0, count: (4096 - bytes.count % 4096) % 4096)
        disks = [
            .init(serial: "rootfs", path: root, readOnly: true),
            .init(serial: "overlay", path: overlay, readOnly: false),
            .init(
                serial: "config",
                path: try scratch.write(bytes, to: "config"),
                readOnly: true
            ),
        ]
    }

    /// Copies a program and the libraries that it needs, each to its own path.
    private static func copy(_ program: String, to tree: FilePath) async throws {
        let listing = try await run("ldd", [program])
        let libraries = listing.split(whereSeparator: \.isWhitespace).filter { $0.hasPrefix("/") }.map(String.init)
        for file in [program] + libraries {
            let copy = URL(fileURLWithPath: tree.string + file)
            guard !FileManager.default.fileExists(atPath: copy.path) else { continue }
            try FileManager.default.createDirectory(
                at: copy.deletingLastPathComponent(),
                withIntermediateDirectories: true
            )
            try FileManager.default.copyItem(at: URL(fileURLWithPath: file).resolvingSymlinksInPath(), to: copy)
        }
    }

    @discardableResult private static func run(_ program: String, _ arguments: [String]) async throws -> String {
        let result = try await Subprocess.run(
            .name(program),
            arguments: Arguments(arguments),
            output: .string(limit: 1 << 16),
            error: .string(limit: 1 << 16)
        )
        guard result.terminationStatus.isSuccess else {
            throw ConformanceFailure("\(program) failed: \(result.standardError)")
        }
        return result.standardOutput
    }
}

extension MachineDescription {
    /// A machine with hypeman-init and a program as its guest; all that it needs is made in a directory.
    static func guest(
        in scratch: Scratch,
        program: [String],
        openStandardInput: Bool = false
    ) async throws -> MachineDescription {
        let files = try GuestFiles.find()
        return MachineDescription(
            instance: .random(),
            size: MachineSize(vcpus: 1, memory: .mebibytes(256)),
            kernel: files.kernel,
            initrd: files.initrd,
            kernelArguments: [],
            disks: try await GuestDisks(in: scratch, program: program, openStandardInput: openStandardInput).disks,
            card: nil,
            runtimeDirectory: try scratch.directory("run")
        )
    }
}
