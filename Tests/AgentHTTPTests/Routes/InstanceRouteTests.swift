import AgentAPI
import AgentCore
import AgentTestSupport
import Foundation
import GuestProtocol
import NIOHTTP1
import Synchronization
import Testing

@testable import AgentHTTP

/// Instances over HTTP.
@Suite struct InstanceRouteTests {
    @Test func createTakesWhatExistingClientsSend() async throws {
        try await TestServer.with { server async throws in
            let answer = try await server.request(
                .POST,
                "/instances",
                body: #"""
                    {"name":"web","image":"alpine","size":"512MB","hotplug_size":"3GB","overlay_size":"10GB","vcpus":2,
                     "env":{"A":"1"},"cmd":["sh","-c","true"],"network":{"egress":{"enabled":false}},"devices":[],
                     "volumes":[],"gpu":{"profile":""},"skip_kernel_headers":true,"tags":{"k":"v"},"auto_standby":null}
                    """#
            )
            #expect(answer.status == 201)
            let instance = try answer.decode(InstanceResponse.self)
            #expect(instance.size == "512.0 MB")
            #expect(instance.state == "Initializing")
            #expect(instance.env == ["A": "1"])
            #expect(!instance.hasSnapshot)
            let request = try #require(server.instances.script.withLock { $0.created.first })
            #expect(request.memory == .mebibytes(512))
            #expect(request.command == ["sh", "-c", "true"])
            #expect(request.vcpus == 2)
        }
    }

    @Test(arguments: [
        (#"{"name":"a","image":"b","colour":"red"}"#, 400, "unknown_field", "colour"),
        (#"{"name":"a","image":"b","network":{"mtu":1}}"#, 400, "unknown_field", "network.mtu"),
        (
            #"{"name":"a","image":"b","network":{"bandwidth_download":"1.5Gbps"}}"#, 400, "invalid_bandwidth_download",
            "1.5Gbps"
        ),
        (#"{"name":"a","image":"b","network":{"bandwidth_upload":"0bps"}}"#, 400, "invalid_bandwidth_upload", "0bps"),
        (
            #"{"name":"a","image":"b","network":{"bandwidth_upload":5}}"#, 400, "invalid_field",
            "network.bandwidth_upload"
        ),
        (
            #"{"name":"a","image":"b","network":{"egress":{"enabled":true}}}"#, 501, "not_implemented",
            "network.egress.enabled"
        ),
        (#"{"name":"a","image":"b","network":{"ports":["80:80"]}}"#, 400, "invalid_request", "network.ports[0]"),
        (#"{"name":"a","image":"b","network":{"ports":{}}}"#, 400, "invalid_field", "network.ports"),
        (
            #"{"name":"a","image":"b","network":{"ports":[{"host_port":1}]}}"#, 400, "missing_field",
            "network.ports[0].guest_port"
        ),
        (
            #"{"name":"a","image":"b","network":{"ports":[{"host_port":1,"guest_port":2,"ip":"x"}]}}"#, 400,
            "unknown_field", "network.ports[0].ip"
        ),
        (
            #"{"name":"a","image":"b","network":{"ports":[{"host_port":0,"guest_port":2}]}}"#, 400, "invalid_ports",
            "host_port 0"
        ),
        (
            #"{"name":"a","image":"b","network":{"ports":[{"host_port":1,"guest_port":70000}]}}"#, 400, "invalid_ports",
            "guest_port 70000"
        ),
        (
            #"{"name":"a","image":"b","network":{"ports":[{"host_port":1,"guest_port":2,"protocol":"sctp"}]}}"#, 400,
            "invalid_ports", "sctp"
        ),
        (#"{"name":"a"}"#, 400, "missing_field", "image"),
        (#"{"name":5,"image":"b"}"#, 400, "invalid_field", "name"),
        (#"{"name":"A_B","image":"b"}"#, 400, "invalid_name", "A_B"),
        (#"{"name":"a","image":"b","size":"10Mb"}"#, 400, "invalid_size", "10Mb"),
        (#"{"name":"a","image":"b","overlay_size":"big"}"#, 400, "invalid_overlay_size", "big"),
        (#"{"name":"a","image":"b","vcpus":1.5}"#, 400, "invalid_field", "vcpus"),
        (#"{"name":"a","image":"b","vcpus":0}"#, 400, "invalid_vcpus", "0"),
        (#"{"name":"a","image":"b","env":{"A=B":"x"}}"#, 400, "invalid_env", "A=B"),
        (
            #"{"name":"a","image":"b","volumes":[{"volume_id":"x","mount_path":"/y"}]}"#, 501, "not_implemented",
            "volumes"
        ),
        (#"{"name":"a","image":"b","hypervisor":"vz"}"#, 501, "not_implemented", "vz"),
        ("[]", 400, "invalid_request", "object"), ("{", 400, "invalid_request", "JSON"),
        ("", 400, "invalid_request", "JSON"),
    ])
    func badRequestIsRefusedByName(body: String, status: Int, code: String, mention: String) async throws {
        try await TestServer.with { server async throws in
            let answer = try await server.request(.POST, "/instances", body: body)
            #expect(answer.status == status)
            #expect(try answer.errorCode == code)
            #expect(try answer.decode(ErrorResponse.self).message.contains(mention))
            #expect(server.instances.script.withLock { $0.created.isEmpty })
        }
    }

    @Test func networkIsTakenAndShown() async throws {
        try await TestServer.with { server async throws in
            let answer = try await server.request(
                .POST,
                "/instances",
                body: #"""
                    {"name":"web","image":"alpine","network":{"enabled":true,"bandwidth_download":"100Mbps",
                     "bandwidth_upload":"10MB/s","ports":[{"host_port":8080,"guest_port":80},
                     {"host_port":5353,"guest_port":53,"protocol":"udp"}]}}
                    """#
            )
            #expect(answer.status == 201)
            let request = try #require(server.instances.script.withLock { $0.created.first })
            #expect(request.networkEnabled == true)
            #expect(request.bandwidth.download == BitRate(bitsPerSecond: 100_000_000))
            #expect(request.bandwidth.upload == BitRate(bitsPerSecond: 83_886_080))
            #expect(request.publishedPorts.map(\.description) == ["8080:80/tcp", "5353:53/udp"])
            let network = try answer.decode(InstanceResponse.self).network
            #expect(network.bandwidthDownload == "100Mbps")
            #expect(
                network.ports == [
                    PortMapping(hostPort: 8080, guestPort: 80, transport: "tcp"),
                    PortMapping(hostPort: 5353, guestPort: 53, transport: "udp"),
                ]
            )
            server.instances.add("plain") { $0.attachment = Fixtures.instance("plain", at: "10.100.0.2").attachment }
            let plain = try await server.request(.GET, "/instances/plain").decode(InstanceResponse.self).network
            #expect(plain.ip == "10.100.0.2" && plain.mac == "02:68:0a:64:00:02" && plain.name == "default")
            #expect(plain.enabled && plain.ports == nil && plain.bandwidthUpload == nil)
        }
    }

    @Test func statsSayWhatWasUsedAndPromised() async throws {
        try await TestServer.with { server async throws in
            server.instances.add("a")
            let stats = try await server.request(.GET, "/instances/a/stats").decode(InstanceStatsResponse.self)
            #expect(stats.instanceName == "a")
            #expect(stats.cpuSeconds == 1.5)
            #expect(stats.receivedBytes == 1000 && stats.sentBytes == 200)
            #expect(stats.residentMemory == 64 << 20 && stats.allocatedMemory == 256 << 20)
            #expect(stats.memoryUtilization == 0.25)
            server.instances.add("b", state: .stopped)
            let idle = try await server.request(.GET, "/instances/b/stats").decode(InstanceStatsResponse.self)
            #expect(idle.cpuSeconds == 0 && idle.sentBytes == 0 && idle.allocatedVCPUs == 1)
            #expect(try await server.request(.GET, "/instances/c/stats").status == 404)
        }
    }

    @Test func resourcesAreInTheShapeOfExistingClients() async throws {
        try await TestServer.with { server async throws in
            let answer = try await server.request(.GET, "/resources")
            #expect(answer.status == 200)
            let found = try answer.decode(ResourcesResponse.self)
            #expect(found.cpu.type == "cpu" && found.cpu.capacity == 8 && found.cpu.available == 6)
            #expect(found.network.capacity == 125_000_000 && found.network.effectiveLimit == 250_000_000)
            #expect(found.network.source == "configured")
            #expect(found.allocations.first?.download == 1_250_000 && found.allocations.first?.upload == nil)
            #expect(found.diskBreakdown.images == 4 << 20)
        }
    }

    @Test func unknownParameterIsRefused() async throws {
        try await TestServer.with { server async throws in
            let unknown = try await server.request(.GET, "/instances?color=red")
            #expect(try unknown.errorCode == "unknown_parameter")
            #expect(try await server.request(.GET, "/instances?state=Sleeping").status == 400)
            #expect(try await server.request(.GET, "/instances?state=Running&tags%5Ba%5D=b").status == 200)
        }
    }

    @Test func stopTakesATimeoutOrNothing() async throws {
        try await TestServer.with { server async throws in
            server.instances.add("a")
            #expect(try await server.request(.POST, "/instances/a/stop").status == 200)
            #expect(try await server.request(.POST, "/instances/a/stop", body: #"{"timeout":"1m30s"}"#).status == 200)
            #expect(try await server.request(.POST, "/instances/a/stop", body: #"{"timeout":"soon"}"#).status == 400)
            let deadlines = server.instances.script.withLock { $0.stops.map(\.signalDeadline) }
            #expect(deadlines == [StopInstanceRequest().signalDeadline, .seconds(90)])
            let shutdown = try await server.request(.POST, "/instances/a/stop", body: #"{"host_shutdown":true}"#)
            #expect(shutdown.status == 200)
            #expect(server.instances.script.withLock { $0.stops.map(\.isForHostShutdown) } == [false, false, true])
        }
    }

    @Test func waitReportsTheExit() async throws {
        try await TestServer.with { server async throws in
            server.instances.add("a", state: .stopped) { $0.exit = InstanceExit(reason: .exited, code: 3) }
            let answer = try await server.request(.GET, "/instances/a/wait?state=Stopped&timeout=1s")
            #expect(
                try answer.decode(WaitResponse.self)
                    == WaitResponse(state: "Stopped", stateError: nil, timedOut: false, exitCode: 3, exitMessage: nil)
            )
            #expect(try await server.request(.GET, "/instances/a/wait").status == 400)
        }
    }

    @Test func servicesErrorBecomesItsStatus() async throws {
        try await TestServer.with { server async throws in
            server.instances.script.withLock { $0.failure = AgentError(.ambiguous, "'a' fits two") }
            let answer = try await server.request(.GET, "/instances/a")
            #expect(answer.status == 409)
            #expect(try answer.errorCode == "ambiguous")
        }
    }

    @Test func logLinesAreJSONStrings() async throws {
        try await TestServer.with { server async throws in
            server.instances.add("a")
            server.instances.script.withLock {
                $0.logs = { tail, follow in
                    #expect(tail == 100)
                    #expect(!follow)
                    return Self.lines([("say \"hi\"", false), ("half ", true), ("whole", false)])
                }
            }
            let answer = try await server.request(.GET, "/instances/a/logs")
            #expect(answer.headers.first(name: "Cache-Control") == "no-cache")
            #expect(answer.headers.first(name: "X-Accel-Buffering") == "no")
            #expect(
                String(decoding: answer.body, as: UTF8.self) == "data: \"say \\\"hi\\\"\"\n\ndata: \"half whole\"\n\n"
            )
        }
    }

    @Test func missingLogIs404() async throws {
        try await TestServer.with { server async throws in
            server.instances.add("a")
            server.instances.script.withLock {
                $0.logs = { _, _ in
                    AsyncThrowingStream {
                        $0.finish(throwing: AgentError(.notFound, code: "log_not_found", "nothing was written"))
                    }
                }
            }
            let answer = try await server.request(.GET, "/instances/a/logs")
            #expect(answer.status == 404)
            #expect(try answer.errorCode == "log_not_found")
        }
    }

    @Test func recordsKeepBytesThatAreNoText() async throws {
        try await TestServer.with { server async throws in
            server.instances.add("a")
            server.instances.script.withLock {
                $0.logs = { _, _ in
                    AsyncThrowingStream { continuation in
                        continuation.yield(
                            LogLine(time: Date(timeIntervalSince1970: 1), stream: .stderr, bytes: [0xFF, 0x00])
                        )
                        continuation.finish()
                    }
                }
            }
            let answer = try await server.request(.GET, "/instances/a/logs?format=record&tail=-1")
            #expect(
                String(decoding: answer.body, as: UTF8.self)
                    == #"data: {"base64":"/wA=","partial":false,"stream":"stderr","time":"1970-01-01T00:00:01.000Z"}"#
                    + "\n\n"
            )
        }
    }

    /// A client that took the connection for one to keep would find its next request cut off, some of the time.
    @Test func connectionOfAFollowedLogIsNotKept() async throws {
        try await TestServer.with { server async throws in
            server.instances.add("a")
            for _ in 0..<200 {
                let answer = try await server.request(.GET, "/instances/a/logs?follow=true")
                #expect(answer.headers["connection"] == ["close"])
                #expect(try await server.request(.POST, "/instances/a/stop").status == 200)
            }
        }
    }

    @Test func followedLogEndsWithItsClient() async throws {
        let (ended, end) = AsyncStream<Void>.makeStream()
        try await TestServer.with { server async throws in
            server.instances.add("a")
            server.instances.script.withLock {
                $0.logs = { _, _ in
                    AsyncThrowingStream { continuation in
                        continuation.yield(LogLine(time: Date(), stream: .stdout, bytes: [65]))
                        continuation.onTermination = { _ in end.finish() }
                    }
                }
            }
            let port = server.port
            let token = try await TokenIssuer(secret: TestServer.secret).token(subject: "x", lifetime: .seconds(60))
            try await onThread {
                let connection = try RawConnection(port: port)
                connection.send(
                    Array(
                        "GET /instances/a/logs?follow=true HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(token)\r\n\r\n"
                            .utf8
                    )
                )
                #expect(connection.receive(until: "data: \"A\"\n\n"))
            }
            for await _ in ended {}
        }
    }

    @Test func followedLogDoesNotHoldUpTheAgentsEnd() async throws {
        try await TestServer.with { server async throws in
            server.instances.add("a")
            server.instances.script.withLock {
                $0.logs = { _, _ in
                    AsyncThrowingStream { $0.yield(LogLine(time: Date(), stream: .stdout, bytes: [65])) }
                }
            }
            let port = server.port
            let token = try await TokenIssuer(secret: TestServer.secret).token(subject: "x", lifetime: .seconds(60))
            // Left open on purpose: the server's own stop, at the end of this test, must end it.
            let connection = try RawConnection(port: port)
            connection.send(
                Array(
                    "GET /instances/a/logs?follow=true HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(token)\r\n\r\n"
                        .utf8
                )
            )
            #expect(connection.receive(until: "data: \"A\"\n\n"))
            Self.kept.withLock { $0.append(connection) }
        }
    }

    private static let kept = Mutex<[RawConnection]>([])

    private static func lines(_ lines: [(String, Bool)]) -> AsyncThrowingStream<LogLine, any Error> {
        AsyncThrowingStream { continuation in
            for (text, isPartial) in lines {
                continuation.yield(
                    LogLine(time: Date(), stream: .stdout, bytes: Array(text.utf8), isPartial: isPartial)
                )
            }
            continuation.finish()
        }
    }
}
