import AgentCore
import AgentTestSupport
import Foundation
import Logging
import SystemPackage
import Testing

@testable import hypeman_agent

struct ReloaderTests {
    private func reloader(_ environment: [String: String], _ level: LogLevelSwitch) -> Reloader {
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        return Reloader(
            environment: environment,
            level: level,
            notifier: ServiceNotifier(path: nil, logger: logger),
            status: { "" },
            logger: logger
        )
    }

    @Test func theLevelOfEveryLoggerChanges() throws {
        let level = LogLevelSwitch(.info)
        let logger = AgentLog.makeLogger(level: level, journal: nil)
        var other = logger
        other[metadataKey: "instance"] = "a"
        var running = ["LOG_LEVEL": "info"]
        try reloader(running, level).apply(["LOG_LEVEL": "error"], to: &running)
        #expect(logger.logLevel == .error)
        #expect(other.logLevel == .error)
        #expect(running == ["LOG_LEVEL": "error"])
    }

    @Test func whatNeedsARestartIsNamedUntilThen() throws {
        let level = LogLevelSwitch(.info)
        var running = ["PORT": "8080", "JWT_SECRET": "a"]
        let asked = ["PORT": "9090", "JWT_SECRET": "a", "BRIDGE_NAME": "", "LOG_LEVEL": "debug"]
        for _ in 0..<2 {
            try reloader(running, level).apply(asked, to: &running)
            #expect(Reloader.changed(from: running, to: asked) == ["PORT"])
        }
        #expect(level.level == .debug)
    }

    @Test func aConfigurationThatDoesNotParseChangesNothing() {
        let level = LogLevelSwitch(.info)
        var running: [String: String] = [:]
        #expect(throws: ConfigurationError.self) {
            try reloader([:], level).apply(["PORT": "many", "LOG_LEVEL": "debug"], to: &running)
        }
        #expect(level.level == .info)
        #expect(running.isEmpty)
    }

    @Test func theConfigurationFileComesLast() async throws {
        try await Scratch.with { scratch in
            let path = scratch.appending("hypeman.env").string
            try "PORT=1\nBRIDGE_NAME='br1'\n".write(toFile: path, atomically: true, encoding: .utf8)
            let values = try Environment.load(["CONFIG_FILE": path, "PORT": "2"])
            #expect(values["PORT"] == "2")
            #expect(values["BRIDGE_NAME"] == "br1")
            let missing = #expect(throws: AgentError.self) { try Environment.load(["CONFIG_FILE": path + "x"]) }
            #expect(missing?.message.contains(path + "x") == true)
        }
    }
}
