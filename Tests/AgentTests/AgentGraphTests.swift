import AgentCore
import AgentTestSupport
import Foundation
import Logging
import SystemPackage
import Testing

@testable import hypeman_agent

@Suite struct AgentGraphTests {
    /// Every combination of plugins that the configuration accepts.
    private static let combinations: [[String: String]] = HypervisorChoice.allCases.flatMap { hypervisor in
        NetworkChoice.allCases.flatMap { network in
            AcceleratorChoice.allCases.flatMap { accelerator in
                SupervisorChoice.allCases.map { supervisor in
                    [
                        "HYPERVISOR": hypervisor.rawValue, "NETWORK": network.rawValue,
                        "ACCELERATOR": accelerator.rawValue, "SUPERVISOR": supervisor.rawValue,
                    ]
                }
            }
        }
    }

    @Test(arguments: combinations)
    func everyCombinationIsCompleteAndNothingIsUnused(_ environment: [String: String]) throws {
        let graph = AgentGraph.make(
            try AgentConfiguration(environment: environment),
            logger: AgentLog.makeLogger(level: .critical)
        )
        #expect(graph.problems(for: Agent.self, reportingUnused: true).map(\.description) == [])
    }

    @Test func aMissingGuestKernelStopsTheStartAndNothingIsLeftOpen() async throws {
        try await Scratch.with { scratch in
            let environment = [
                "DATA_DIR": scratch.appending("data").string, "RUNTIME_DIR": scratch.appending("run").string,
            ]
            let configuration = try AgentConfiguration(environment: environment)
            let graph = AgentGraph.make(configuration, logger: AgentLog.makeLogger(level: .critical))
            for _ in 0..<2 {
                // Twice: the first failure must give back the lock of the data directory.
                let error = await #expect(throws: AgentError.self) { try await graph.build(Agent.self) }
                #expect(error?.kind == .unavailable)
                #expect(error?.message.contains("make guest") == true, "\(String(describing: error))")
            }
        }
    }

    @Test func theDataDirectoryIsHeldByOne() async throws {
        try await Scratch.with { scratch async throws in
            let environment = [
                "DATA_DIR": scratch.appending("data").string, "RUNTIME_DIR": scratch.appending("run").string,
            ]
            let configuration = try AgentConfiguration(environment: environment)
            let first = try DataDirectory(configuration: configuration)
            let error = #expect(throws: AgentError.self) { try DataDirectory(configuration: configuration) }
            #expect(error?.kind == .busy)
            try first.release()
            try DataDirectory(configuration: configuration).release()
        }
    }
}

/// A plugin from outside the tree, built as its author would.
@Suite struct ExamplePackageTests {
    @Test func theTapPoolBuildsAndRuns() async throws {
        let scratch = FilePath(FileManager.default.currentDirectoryPath).pushing(".build-example")
        // SwiftPM looks for new files in the root package alone, unless that package's manifest has changed.
        try FileManager.default.setAttributes(
            [.modificationDate: Date()],
            ofItemAtPath: "Examples/TapPool/Package.swift"
        )
        let output = try await tool(
            "swift",
            ["run", "--package-path", "Examples/TapPool", "--scratch-path", scratch.string, "tap-pool-demo"]
        )
        #expect(output.contains("AgentCore.NetworkBackend [tap-pool]"))
        #expect(output.contains("tap-pool: tap10 192.0.2.10 02:68:c0:00:02:0a"))
        #expect(output.contains("one more: all 5 TAP devices of the pool are in use"))
    }
}
