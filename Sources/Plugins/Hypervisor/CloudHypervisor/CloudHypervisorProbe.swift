import AgentCore
import CLinux
import Glibc
import NIOPosix
import SystemPackage

/// What was found of Cloud Hypervisor on this host.
struct CloudHypervisorFinding: Sendable {
    /// A program that works.
    struct Program: Sendable, Hashable {
        var executable: FilePath
        var version: CloudHypervisorVersion
    }

    /// The first starts new machines.
    var programs: [Program]
    /// Whether the kernel lets a VMM lock itself in.
    var hasLandlock: Bool
    /// Whether a VMM may be told of what its guest touches, so that it reads a memory only then.
    var hasUserFaults: Bool

    /// The program that can take up what a version has saved: it reads only what the same version wrote.
    func program(for version: String) -> Program? { programs.first { $0.version.description == version } }

    func restoresLazily(_ program: Program) -> Bool { hasUserFaults && program.version.restoresOnDemand }
}

/// The version of a Cloud Hypervisor.
struct CloudHypervisorVersion: Sendable, Hashable, CustomStringConvertible {
    /// The oldest that is used: the first that locks its disks (release notes of v46).
    static let oldest = 46

    var major: Int
    /// All of it, without the `v`: also what a build from between releases has behind the numbers.
    var description: String

    /// Whether it knows `memory_restore_mode` (release notes of v52).
    var restoresOnDemand: Bool { major >= 52 }

    /// Reads "cloud-hypervisor v52.0.0" or "cloud-hypervisor v25.0-206-ge45e3df6".
    init?(answer: String) {
        guard let line = answer.split(whereSeparator: \.isNewline).first else { return nil }
        let words = line.split(separator: " ")
        guard words.count == 2, words[0].hasPrefix("cloud-hypervisor"), let text = words.last, text.first == "v",
            text.utf8.count <= 64, text.utf8.allSatisfy({ (0x21...0x7e).contains($0) }),
            let major = Int(text.dropFirst().prefix { $0.isASCII && $0.isNumber })
        else { return nil }
        self.major = major
        description = String(text.dropFirst())
    }
}

/// Finds out what Cloud Hypervisor can do here, once.
struct CloudHypervisorProbe: Sendable {
    private static let program = VMMProgram(
        product: "Cloud Hypervisor",
        name: "cloud-hypervisor",
        remedy:
            "install it (a static program, from the releases of github.com/cloud-hypervisor/cloud-hypervisor), or set "
            + "CLOUD_HYPERVISOR"
    )

    private let finding: SharedMeasurement<CloudHypervisorFinding>

    /// - Parameters:
    ///   - configuration: Where to look.
    ///   - kvm: Looks whether guests run under KVM; blocks for a moment.
    init(
        _ configuration: CloudHypervisorConfiguration,
        kvm: @escaping @Sendable () -> KVMProbe.Finding = { KVMProbe.run() }
    ) {
        finding = SharedMeasurement { try await Self.measure(configuration, kvm) }
    }

    func find() async throws -> CloudHypervisorFinding { try await finding.value() }

    private static func measure(
        _ configuration: CloudHypervisorConfiguration,
        _ kvm: @escaping @Sendable () -> KVMProbe.Finding
    ) async throws -> CloudHypervisorFinding {
        let executables = try await NIOThreadPool.singleton.runIfActive {
            try program.locate(configuration.executables)
        }
        var programs: [CloudHypervisorFinding.Program] = []
        var failures: [any Error] = []
        for executable in executables {
            do {
                programs.append(.init(executable: executable, version: try await version(of: executable)))
            } catch {
                failures.append(error)
            }
        }
        if programs.isEmpty, let failure = failures.first { throw failure }
        try requireKVM(
            configuration.accelerator,
            try await NIOThreadPool.singleton.runIfActive { kvm() }
        )
        return CloudHypervisorFinding(
            programs: programs,
            hasLandlock: clinux_landlock_version() > 0,
            hasUserFaults: try await NIOThreadPool.singleton.runIfActive { hasUserFaults() }
        )
    }

    /// It has no software emulation.
    static func requireKVM(_ choice: AcceleratorChoice, _ kvm: KVMProbe.Finding) throws {
        let reason: String
        switch (choice, kvm) {
        case (.tcg, _): reason = "the configuration asks for software emulation (ACCELERATOR=tcg)"
        case (_, .unusable(let words)): reason = words
        case (_, .usable): return
        }
        throw AgentError(
            .unavailable,
            code: "kvm_unavailable",
            "Cloud Hypervisor runs guests under KVM alone, and here is none for it (\(reason)): use a host that has it, or "
                + "QEMU"
        )
    }

    private static func version(of executable: FilePath) async throws -> CloudHypervisorVersion {
        let version = try await program.version(of: executable) { CloudHypervisorVersion(answer: $0) }
        guard version.major >= CloudHypervisorVersion.oldest else {
            throw AgentError(
                .unavailable,
                "\(executable) is Cloud Hypervisor \(version): install v\(CloudHypervisorVersion.oldest) or newer"
            )
        }
        return version
    }

    /// What a VMM, which has none of root's rights, needs for userfaultfd(2) of a guest's accesses.
    private static func hasUserFaults() -> Bool {
        if access("/dev/userfaultfd", R_OK | W_OK) == 0 { return true }
        return ProcessTable.read("/proc/sys/vm/unprivileged_userfaultfd", limit: 16)?.first == UInt8(ascii: "1")
    }
}
