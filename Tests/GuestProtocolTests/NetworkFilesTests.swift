import Foundation
import GuestProtocol
import Testing

@testable import GuestAgent

/// What a guest's image says about names is replaced by what the host says.
@Suite struct NetworkFilesTests {
    private static func configuration(network: Bool = true) -> GuestConfiguration {
        GuestConfiguration(
            protocolVersion: 1,
            instance: "i",
            hostname: "web",
            session: "s",
            mode: .exec,
            program: GuestProgram(arguments: ["/p"], environment: []),
            rootDisk: "rootfs",
            overlayDisk: "overlay",
            network: network
                ? GuestConfiguration.Network(
                    mac: "02:68:0a:64:00:02",
                    address: "10.100.0.2",
                    prefixLength: 16,
                    gateway: "10.100.0.1",
                    nameServers: ["10.100.0.1"],
                    searchDomains: ["hypeman.internal"],
                    mtu: 1500
                ) : nil,
            outputBufferSize: 1
        )
    }

    private func withRoot(_ body: (String) throws -> Void) throws {
        let root = FileManager.default.temporaryDirectory.appending(path: "hypeman-\(UUID())").path
        try FileManager.default.createDirectory(atPath: root, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: root) }
        try body(root)
    }

    private func text(_ path: String) throws -> String { try String(contentsOfFile: path, encoding: .utf8) }

    @Test func anEmptyImageGetsThem() throws {
        try withRoot { root in
            #expect(NetworkFiles(Self.configuration()).write(below: root).isEmpty)
            #expect(try text(root + "/etc/hostname") == "web\n")
            #expect(try text(root + "/etc/resolv.conf") == "search hypeman.internal\nnameserver 10.100.0.1\n")
            let hosts = try text(root + "/etc/hosts").split(separator: "\n")
            #expect(hosts.first == "127.0.0.1\tlocalhost")
            #expect(hosts.last == "10.100.0.2\tweb.hypeman.internal web")
        }
    }

    @Test func aSymbolicLinkIsReplacedAndItsTargetIsNot() throws {
        try withRoot { root in
            let files = FileManager.default
            try files.createDirectory(atPath: root + "/etc", withIntermediateDirectories: true)
            for (name, target) in [("resolv.conf", "/nowhere/stub"), ("hosts", root + "/target")] {
                try files.createSymbolicLink(atPath: "\(root)/etc/\(name)", withDestinationPath: target)
            }
            try Data("kept".utf8).write(to: URL(filePath: root + "/target"))
            #expect(NetworkFiles(Self.configuration()).write(below: root).isEmpty)
            #expect(try text(root + "/etc/resolv.conf").contains("nameserver 10.100.0.1"))
            #expect(try text(root + "/target") == "kept")
            for name in ["resolv.conf", "hosts"] {
                let type = try files.attributesOfItem(atPath: "\(root)/etc/\(name)")[.type] as? FileAttributeType
                #expect(type == .typeRegular)
            }
        }
    }

    @Test func withoutANetworkTheImagesNameServersStay() throws {
        try withRoot { root in
            try FileManager.default.createDirectory(atPath: root + "/etc", withIntermediateDirectories: true)
            try Data("nameserver 192.0.2.1\n".utf8).write(to: URL(filePath: root + "/etc/resolv.conf"))
            #expect(NetworkFiles(Self.configuration(network: false)).write(below: root).isEmpty)
            #expect(try text(root + "/etc/resolv.conf") == "nameserver 192.0.2.1\n")
            #expect(try text(root + "/etc/hosts").hasSuffix("127.0.1.1\tweb\n"))
        }
    }

    @Test func oneThatCannotBeReplacedDoesNotKeepTheOthers() throws {
        try withRoot { root in
            try FileManager.default.createDirectory(
                atPath: root + "/etc/hosts/directory",
                withIntermediateDirectories: true
            )
            #expect(NetworkFiles(Self.configuration()).write(below: root).map(\.path) == [root + "/etc/hosts"])
            #expect(try text(root + "/etc/hostname") == "web\n")
            #expect(
                try FileManager.default.contentsOfDirectory(atPath: root + "/etc").allSatisfy {
                    !$0.contains("hypeman")
                }
            )
        }
    }
}
