import AgentCore
import AgentTestSupport
import Foundation
import SystemPackage
import Testing

@testable import hypeman_agent

@Suite struct LinuxHostProbeTests {
    private func write(_ text: String, to path: String, in root: FilePath) throws {
        let file = root.pushing(FilePath(path))
        try FileManager.default.createDirectory(
            atPath: file.removingLastComponent().string,
            withIntermediateDirectories: true
        )
        try text.write(toFile: file.string, atomically: true, encoding: .utf8)
    }

    @Test func thisHostHasProcessorsMemoryAndADisk() async throws {
        let host = try await LinuxHostProbe(dataDirectory: "/tmp", uplink: nil).capacity()
        #expect(host.processors >= 1)
        #expect(host.memory > .mebibytes(64) && host.disk > .mebibytes(1))
    }

    @Test func theUplinkIsTheDefaultRouteOfTheLeastMetric() async throws {
        try await Scratch.with { scratch in
            let root = scratch.path
            try write("MemFree: 1 kB\nMemTotal:       16777216 kB\n", to: "proc/meminfo", in: root)
            try write(
                """
                Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT
                wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0
                eth0\t00000000\t0102A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0
                eth1\t0003A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0

                """,
                to: "proc/net/route",
                in: root
            )
            try write("1000\n", to: "sys/class/net/eth0/speed", in: root)
            try write("-1\n", to: "sys/class/net/wlan0/speed", in: root)
            func capacity(_ uplink: String?) async throws -> HostCapacity {
                try await LinuxHostProbe(dataDirectory: root, uplink: uplink, root: root).capacity()
            }
            #expect(try await capacity(nil).uplink == BitRate(bitsPerSecond: 1_000_000_000))
            #expect(try await capacity(nil).memory == .gibibytes(16))
            #expect(try await capacity("wlan0").uplink == nil, "the kernel's -1 is no speed")
            #expect(try await capacity("none9").uplink == nil)
            #expect(try await capacity("../eth0").uplink == nil)
        }
    }

    @Test func aDirectoryThatIsNotThereIsNamed() async {
        let error = await #expect(throws: AgentError.self) {
            try await LinuxHostProbe(dataDirectory: "/nonexistent/data", uplink: nil).capacity()
        }
        #expect(error?.kind == .unavailable && error?.message.contains("/nonexistent/data") == true)
    }
}
