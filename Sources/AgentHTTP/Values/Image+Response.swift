import AgentAPI
import AgentCore

extension ImageResponse {
    /// An image in the form of the API.
    init(_ image: Image) {
        self.init(
            name: image.name,
            digest: image.digest.description,
            status: image.status.rawValue,
            createdAt: image.createdAt
        )
        error = image.error
        tags = image.tags.isEmpty ? nil : image.tags
        sizeBytes = image.diskSize?.bytes
        guard let configuration = image.configuration else { return }
        entrypoint = configuration.entrypoint.isEmpty ? nil : configuration.entrypoint
        cmd = configuration.command.isEmpty ? nil : configuration.command
        workingDirectory = configuration.workingDirectory.isEmpty ? nil : configuration.workingDirectory
        guard !configuration.environment.isEmpty else { return }
        env = Dictionary(
            configuration.environment.map { entry in
                let parts = entry.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                return (String(parts[0]), parts.count == 2 ? String(parts[1]) : "")
            },
            uniquingKeysWith: { _, later in later }
        )
    }
}
