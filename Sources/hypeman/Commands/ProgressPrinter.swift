import AgentAPI
import Foundation

/// Shows how a pull or import goes, on stderr.
actor ProgressPrinter {
    private var line: ProgressLine
    private var last: (completed: Int, time: ContinuousClock.Instant) = (0, .now)

    init() {
        let isTerminal = StandardStreams.isTerminal(STDERR_FILENO)
        line = ProgressLine(isTerminal: isTerminal, width: TerminalMode.size(STDERR_FILENO)?.columns ?? 80)
    }

    /// Shows a step; a terminal is not redrawn more than ten times a second within one.
    func show(_ step: String, completed: Int, total: Int?) async throws {
        if completed != 0, completed != total, ContinuousClock.now - last.time < .milliseconds(100) { return }
        last = (completed, .now)
        try await write(line.update(step, completed: completed, total: total))
    }

    func finish() async throws { try await write(line.finish()) }

    private func write(_ text: String) async throws {
        guard !text.isEmpty else { return }
        try await StandardStreams.write(Array(text.utf8), to: STDERR_FILENO)
    }
}

extension AgentClient {
    /// Follows a pull or import to its end and shows it.
    func showProgress(of image: ImageResponse, _ printer: ProgressPrinter) async throws -> ImageResponse {
        guard image.status != "ready" else { return image }
        do {
            let ready = try await follow(image) { event in
                let step = event.status == "pending" ? "waiting" : event.status
                guard !event.isFinal else { return }
                try await printer.show("\(image.name): \(step)", completed: event.completed, total: event.total)
            }
            try await printer.finish()
            return ready
        } catch {
            try await printer.finish()
            throw error
        }
    }

    /// Gets an image and shows how it goes.
    func pull(
        _ name: String,
        _ printer: ProgressPrinter,
        login: RegistryLogin? = nil
    ) async throws -> ImageResponse {
        let image = try await call(
            .post,
            "/images",
            body: CreateImageBody(name: name),
            headers: try login.map { [(RegistryLogin.header, try $0.headerValue())] } ?? [],
            as: ImageResponse.self
        )
        return try await showProgress(of: image, printer)
    }
}
