import AgentCore
import AgentTestSupport
import CNetwork
import Foundation
import SystemPackage
import Testing

@testable import NetworkPlugin

@Suite struct NetlinkSocketTests {
    @Test func aKernelThatDoesNotAnswerIsAnError() async throws {
        try await TestNamespace.with { namespace in
            let links = HostLinks(network: HostNetwork(namespace: namespace.name))
            let error = await #expect(throws: AgentError.self) {
                try await links.network.run {
                    // Nothing was asked, so nothing comes.
                    let socket = try NetlinkSocket(.route, timeout: .milliseconds(20))
                    do {
                        _ = try socket.receive(purpose: "hear")
                    } catch let error as NetlinkError {
                        throw error.agentError
                    }
                }
            }
            #expect(error?.kind == .timeout)
        }
    }

    @Test func theFailureOfOneRequestDoesNotHideTheOthers() async throws {
        try await TestNamespace.with { namespace in
            let links = HostLinks(network: HostNetwork(namespace: namespace.name))
            let failures = try await links.route { socket in
                try socket.transact([
                    LinkMessages.create("one", kind: "bridge"), LinkMessages.create("one", kind: "bridge"),
                    LinkMessages.create("two", kind: "no-such-kind"), LinkMessages.create("three", kind: "bridge"),
                ])
            }
            #expect(failures.map { $0?.errno } == [nil, .fileExists, .notSupportedOnSocket, nil])
            #expect(failures[2]?.detail == "Unknown device type")
            #expect(try await links.link(named: "three") != nil)
        }
    }

    @Test func aListThatChangesWhileItIsReadIsStillWhole() async throws {
        try await TestNamespace.with { namespace in
            let network = HostNetwork(namespace: namespace.name)
            let links = HostLinks(network: network)
            let names = (0..<40).map { "stays\($0)" }
            try await links.route { socket in
                try socket.send(names.map { LinkMessages.create($0, kind: "bridge") })
            }
            // On a queue of its own, so that it comes in between.
            let other = HostLinks(network: HostNetwork(namespace: namespace.name))
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    for _ in 0..<50 {
                        try await other.route { socket in
                            try socket.send([
                                LinkMessages.create("comes", kind: "bridge"), LinkMessages.remove("comes"),
                            ])
                        }
                    }
                }
                for _ in 0..<50 {
                    let seen = try await links.links().map(\.name).filter { $0.hasPrefix("stays") }
                    #expect(seen.sorted() == names.sorted())
                }
                try await group.waitForAll()
            }
        }
    }

    @Test func noDescriptorIsLeftOpen() async throws {
        try await TestNamespace.with { namespace in
            let links = HostLinks(network: HostNetwork(namespace: namespace.name))
            // Other tests run in this process, too: only those of a namespace of one's own can be counted.
            let descriptor = try await links.route { socket in socket.descriptor }
            for _ in 0..<2000 { _ = try await links.link(named: "lo") }
            for _ in 0..<20 {
                let now = try await links.route { socket in socket.descriptor }
                if now <= descriptor + 500 { return }
            }
            Issue.record("descriptors grow with each request")
        }
    }
}
