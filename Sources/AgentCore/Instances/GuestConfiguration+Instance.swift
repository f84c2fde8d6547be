import GuestProtocol

extension GuestConfiguration {
    /// Virtio serials of the disks that every machine has.
    enum DiskSerial {
        static let root = "rootfs"
        static let overlay = "overlay"
        static let configuration = "config"
        /// All that are one instance's alone, or read by all that have its image.
        static let own: Set<String> = [root, overlay, configuration]
    }

    /// Programs that are PID 1 themselves.
    private static let systemd: Set<String> = ["/sbin/init", "/lib/systemd/systemd", "/usr/lib/systemd/systemd"]

    /// How an instance's program is run.
    ///
    /// - Throws: `invalidArgument` `systemd_without_terminal` if it is systemd, and is to have a terminal or stdin.
    static func mode(of program: GuestProgram, _ specification: InstanceSpecification) throws(AgentError) -> Mode {
        guard let name = program.arguments.first, systemd.contains(name) else { return .exec }
        guard !specification.terminal, !specification.openStandardInput else {
            throw AgentError(
                .invalidArgument,
                code: "systemd_without_terminal",
                "\(name) is PID 1 of its guest and has neither a terminal nor stdin; use exec for a shell beside it"
            )
        }
        return .systemd
    }

    /// What the guest is told for one boot of an instance.
    ///
    /// - Throws: `invalidArgument` `no_command` if neither the image nor the instance says what to run, or as
    ///   ``mode(of:_:)`` does.
    init(
        _ instance: Instance,
        image: ImageConfiguration,
        network: AgentCore.Network?,
        session: String
    ) throws(AgentError) {
        let program = try GuestProgram(instance.specification, image: image)
        self.init(
            protocolVersion: GuestProtocolVersion.current,
            instance: instance.id.rawValue,
            hostname: instance.name.rawValue,
            session: session,
            mode: try Self.mode(of: program, instance.specification),
            program: program,
            terminal: instance.specification.terminal,
            openStandardInput: instance.specification.openStandardInput,
            rootDisk: DiskSerial.root,
            overlayDisk: DiskSerial.overlay,
            network: Self.network(of: instance, on: network),
            // Small beside the smallest guest (128 MiB), and some seconds of a busy log.
            outputBufferSize: 1 << 20
        )
    }
}

extension GuestConfiguration {
    static func network(of instance: Instance, on network: AgentCore.Network?) -> Network? {
        guard let attachment = instance.attachment, let network else { return nil }
        return Network(
            mac: attachment.mac.description,
            address: attachment.address.description,
            prefixLength: network.subnet.prefixLength,
            gateway: network.gateway.description,
            nameServers: [network.gateway.description],
            searchDomains: [network.domain],
            mtu: network.mtu
        )
    }
}

extension GuestProgram {
    /// The image's program with what the instance changes of it, by Docker's rules: an entrypoint that is replaced takes
    /// the image's command with it.
    ///
    /// - Throws: `invalidArgument` `no_command`.
    init(_ specification: InstanceSpecification, image: ImageConfiguration) throws(AgentError) {
        let command = specification.command ?? (specification.entrypoint == nil ? image.command : [])
        let arguments = (specification.entrypoint ?? image.entrypoint) + command
        guard let name = arguments.first, !name.isEmpty else {
            throw AgentError(
                .invalidArgument,
                code: "no_command",
                "image '\(specification.image)' does not say which program to run; give a command"
            )
        }
        var environment = image.environment.filter { entry in
            specification.environment[String(entry.prefix { $0 != "=" })] == nil
        }
        environment += specification.environment.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        self.init(
            arguments: arguments,
            environment: environment,
            workingDirectory: specification.workingDirectory
                ?? (image.workingDirectory.isEmpty ? "/" : image.workingDirectory),
            user: specification.user ?? image.user,
            stopSignal: image.stopSignal
        )
    }
}
