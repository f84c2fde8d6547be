import AgentCore
import NIOPosix

/// Finds out what QEMU can do here, once.
struct QEMUProbe: Sendable {
    private static let program = VMMProgram(
        product: "QEMU",
        name: "qemu-system-x86_64",
        remedy: "install it (Debian: apt-get install qemu-system-x86)"
    )

    private let finding: SharedMeasurement<HypervisorInformation>

    init(_ configuration: QEMUConfiguration) {
        finding = SharedMeasurement { try await Self.measure(configuration) }
    }

    func information() async throws -> HypervisorInformation { try await finding.value() }

    private static func measure(_ configuration: QEMUConfiguration) async throws -> HypervisorInformation {
        let configured = [configuration.executable].compactMap(\.self)
        let (executable, kvm) = try await NIOThreadPool.singleton.runIfActive {
            (try program.locate(configured)[0], KVMProbe.run())
        }
        let version = try await program.version(of: executable, parse)
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
                resize: true,
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

    /// The number in "QEMU emulator version 7.2.22 (Debian …)".
    static func parse(version text: String) -> String? {
        guard let line = text.split(separator: "\n").first, let range = line.firstRange(of: "QEMU emulator version ")
        else { return nil }
        let number = line[range.upperBound...].prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
        return number.first?.isNumber == true ? String(number) : nil
    }
}
