import AgentCore
import GuestProtocol

/// One connection to a ``SimulatedGuest``.
final class InMemoryGuestChannel: GuestChannel {
    let hello: GuestHello
    private let guest: SimulatedGuest
    private let connection: Int
    private let host: InMemoryHost
    private let instance: InstanceID

    init(hello: GuestHello, guest: SimulatedGuest, connection: Int, host: InMemoryHost, instance: InstanceID) {
        self.hello = hello
        self.guest = guest
        self.connection = connection
        self.host = host
        self.instance = instance
    }

    func events(after sequence: Int) -> AsyncThrowingStream<GuestEvent, any Error> {
        AsyncThrowingStream { guest.subscribe($0, after: sequence, connection: connection) }
    }

    func output(from position: UInt64) -> AsyncThrowingStream<GuestOutput, any Error> {
        AsyncThrowingStream { guest.subscribe($0, from: position, connection: connection) }
    }

    func acknowledgeOutput(upTo position: UInt64) async throws {
        try await enter(.acknowledgeOutput)
        guest.forgetOutput(before: position)
    }

    func acknowledgeExit() async throws {
        try await enter(.acknowledgeExit)
        host.machine(instance)?.powerOff()
    }

    func signalProgram(_ signal: Int?) async throws {
        try await enter(.signalProgram)
        if let exit = guest.behaviour.exitOnSignal { guest.exitProgram(exit) }
    }

    func wakeUp(_ news: GuestWakeUp) async throws {
        try await enter(.wakeUp)
        host.note(news, instance)
    }

    func mount(_ volume: GuestVolume) async throws {
        try await enter(.mountVolume)
        try host.mount(volume, instance)
    }

    func unmount(_ volume: GuestVolume) async throws {
        try await enter(.unmountVolume)
        host.unmount(volume, instance)
    }

    func identify(_ identity: GuestIdentity) async throws {
        try await enter(.identify)
        guard hello.features.contains(GuestFeature.identity) else {
            throw AgentError(.notSupported, "the guest cannot become another one")
        }
        host.note(identity, instance)
    }

    func exec(_ request: ExecRequest) async throws -> any GuestProcess {
        try await enter(.exec)
        guard guest.behaviour.startsProgram else {
            throw AgentError(.invalidState, "the guest refused: the guest is still starting")
        }
        let command = guest.behaviour.exec(request)
        if case .refused(let error) = command { throw error }
        let process = SimulatedProcess(command)
        try guest.add(process, connection: connection)
        process.run()
        return process
    }

    func attach() async throws -> any GuestInput {
        try await enter(.attach)
        guard case .echoed = guest.behaviour.input, guest.programRuns else {
            throw AgentError(.invalidState, "the program does not run, or has neither a terminal nor an open stdin")
        }
        return SimulatedInput { [guest, connection] in
            try guest.requireConnection(connection)
            return guest
        }
    }

    func status(of request: GuestPathRequest) async throws -> GuestPathStatus {
        try await enterFiles()
        return guest.files.status(of: request)
    }

    func readFiles(_ request: GuestReadRequest) async throws -> AsyncThrowingStream<GuestArchiveEvent, any Error> {
        try await enterFiles()
        let result = Result { try guest.files.archive(request) }
        return AsyncThrowingStream { continuation in
            switch result {
            case .success(let archive):
                continuation.yield(.bytes(archive))
                continuation.yield(.finished(GuestFilesResult()))
                continuation.finish()
            case .failure(let error): continuation.finish(throwing: error)
            }
        }
    }

    func writeFiles(_ request: GuestWriteRequest) async throws -> any GuestArchiveInput {
        try await enterFiles()
        return SimulatedArchiveInput(request, guest.files) { [guest, connection] in
            try guest.requireConnection(connection)
        }
    }

    private func enterFiles() async throws {
        try await enter(.files)
        guard hello.features.contains(GuestFeature.files) else {
            throw AgentError(.notSupported, code: "guest_too_old", "the guest cannot copy files")
        }
        guard guest.behaviour.startsProgram else {
            throw AgentError(.invalidState, "the guest refused: the guest is still starting")
        }
    }

    func close() async { guest.disconnect(connection) }

    private func enter(_ call: HypervisorCall) async throws {
        try await host.enter(call, instance)
        try guest.requireConnection(connection)
    }
}
