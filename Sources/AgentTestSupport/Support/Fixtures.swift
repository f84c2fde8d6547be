public import AgentCore
public import Foundation
import SystemPackage

/// Values that tests start from.
public enum Fixtures {
    /// A fixed time without a fraction, equal after any encoding.
    public static let time = Date(timeIntervalSince1970: 1_700_000_000)

    /// A digest whose 64 digits are all the same.
    public static func digest(_ digit: Character = "a") -> Digest {
        guard let digest = Digest(hex: String(repeating: digit, count: 64)) else {
            preconditionFailure("'\(digit)' is not a lower-case hexadecimal digit")
        }
        return digest
    }

    /// A machine that nobody starts.
    public static let machine = MachineDescription(
        instance: .random(),
        size: MachineSize(vcpus: 1, memory: .mebibytes(256)),
        kernel: "/nonexistent/vmlinux",
        initrd: "/nonexistent/initrd",
        kernelArguments: [],
        disks: [],
        card: nil,
        runtimeDirectory: "/nonexistent/run"
    )

    /// An instance with a new id, as a create stores it first.
    public static func instance(_ name: String, image: String = "docker.io/library/test:latest") -> Instance {
        guard let name = try? InstanceName(name) else { preconditionFailure("'\(name)' is not an instance name") }
        let specification = InstanceSpecification(
            name: name,
            image: image,
            imageDigest: digest(),
            vcpus: 1,
            memory: .mebibytes(256),
            overlaySize: .gibibytes(1),
            environment: ["A": "1"],
            command: ["/bin/true"],
            tags: ["team": "blue"]
        )
        return Instance(id: .random(), specification: specification, createdAt: time)
    }

    /// An instance that has an address.
    public static func instance(_ name: String, at address: String) -> Instance {
        guard let address = IPv4Address(address) else { preconditionFailure("'\(address)' is not an IPv4 address") }
        var instance = instance(name)
        instance.specification.networkEnabled = true
        instance.attachment = NetworkAttachment(
            network: "default",
            address: address,
            mac: MACAddress(derivedFrom: address),
            tap: "tap-\(String(address.value, radix: 16))"
        )
        return instance
    }

    /// A ready image.
    public static func image(_ name: String, digest: Digest = digest()) -> Image {
        var image = Image(name: name, digest: digest, status: .ready, createdAt: time)
        image.configuration = ImageConfiguration(command: ["/bin/true"], environment: ["PATH=/bin"])
        image.diskSize = .mebibytes(4)
        return image
    }
}
