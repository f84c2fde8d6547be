import AgentCore
import Glibc
import NIOPosix
import Subprocess
import SystemPackage

/// Finds out what QEMU can do here, once.
actor QEMUProbe {
    private let configuration: QEMUConfiguration
    /// What was found, or the finding that is under way.
    ///
    /// Dropped when it fails, for QEMU may be installed meanwhile.
    private var finding: Task<HypervisorInformation, any Error>?

    init(_ configuration: QEMUConfiguration) {
        self.configuration = configuration
    }

    func information() async throws -> HypervisorInformation {
        // Not cancelled with the first caller: others may wait for the same answer, which comes within its deadline.
        let finding = finding ?? Task { [configuration] in try await Self.measure(configuration) }
        self.finding = finding
        do {
            return try await finding.value
        } catch {
            if self.finding == finding { self.finding = nil }
            throw error
        }
    }

    private static func measure(_ configuration: QEMUConfiguration) async throws -> HypervisorInformation {
        let (executable, kvm) = try await NIOThreadPool.singleton.runIfActive {
            (try locate(configuration.executable), KVMProbe.run())
        }
        let version = try await version(of: executable)
        let (accelerator, reason) = try choose(configuration.accelerator, kvm)
        return HypervisorInformation(
            name: .qemu,
            version: version,
            executable: executable,
            accelerator: accelerator,
            acceleratorReason: reason,
            capabilities: HypervisorCapabilities(
                pause: true,
                snapshot: true,
                hotplug: true,
                resize: false,
                lazyRestore: false
            )
        )
    }

    static func choose(
        _ choice: AcceleratorChoice,
        _ kvm: KVMProbe.Finding
    ) throws -> (Accelerator, reason: String?) {
        switch (choice, kvm) {
        case (.tcg, _): (.tcg, "the configuration asks for software emulation")
        case (_, .usable): (.kvm, nil)
        case (.auto, .unusable(let reason)): (.tcg, reason)
        case (.kvm, .unusable(let reason)):
            throw AgentError(
                .unavailable,
                code: "kvm_unavailable",
                "KVM is configured and does not work here (\(reason)): set ACCELERATOR=auto, or use a host that has it"
            )
        }
    }

    private static func locate(_ configured: FilePath?) throws -> FilePath {
        if let configured {
            guard ExecutableSearch.isExecutable(configured) else {
                throw AgentError(
                    .unavailable,
                    code: "hypervisor_not_found",
                    "the configured QEMU \(configured) is not executable"
                )
            }
            return configured
        }
        let path = getenv("PATH").map { String(cString: $0) }
        guard let found = ExecutableSearch.find("qemu-system-x86_64", path: path) else {
            throw AgentError(
                .unavailable,
                code: "hypervisor_not_found",
                "qemu-system-x86_64 is not in PATH: install it (Debian: apt-get install qemu-system-x86)"
            )
        }
        return found
    }

    private static func version(of executable: FilePath) async throws -> String {
        let output: String?
        do {
            output = try await withDeadline(.seconds(10), "\(executable) --version did not end within 10 seconds") {
                try await Subprocess.run(
                    .path(executable),
                    arguments: ["--version"],
                    output: .string(limit: 16 << 10),
                    error: .discarded
                ).standardOutput
            }
        } catch let error as AgentError {
            throw error
        } catch {
            throw AgentError(.unavailable, "\(executable) cannot be run", cause: error)
        }
        guard let version = parse(version: output ?? "") else {
            throw AgentError(.unavailable, "\(executable) --version does not answer as QEMU does")
        }
        return version
    }

    /// The number in "QEMU emulator version 7.2.22 (Debian …)".
    static func parse(version text: String) -> String? {
        guard let line = text.split(separator: "\n").first, let range = line.firstRange(of: "QEMU emulator version ")
        else { return nil }
        let number = line[range.upperBound...].prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
        return number.first?.isNumber == true ? String(number) : nil
    }
}
