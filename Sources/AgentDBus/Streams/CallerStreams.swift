import AgentCore
import DBus
import GuestProtocol
import Logging

/// What callers hold open: processes and output. It ends with its caller, and each caller may have so much of it.
actor CallerStreams {
    private struct Process {
        let owner: String
        let process: any GuestConversation
        let pump: Task<Void, Never>
        let end: OneShot<Result<GuestExit, AgentError>>
    }

    private let connection: Connection
    private let logger: Logger
    private var processes: [UInt32: Process] = [:]
    private var number: UInt32 = 0
    private var quota = CallerQuota(
        mostOfCaller: 64,
        most: 512,
        state: "streams are open",
        remedy: "close some first"
    )

    init(connection: Connection, logger: Logger) {
        self.connection = connection
        self.logger = logger
    }

    /// Runs `body`, and cancels it when the caller vanishes.
    nonisolated func whileCallerLives<Value: Sendable>(
        _ call: Call,
        _ body: @escaping @Sendable () async throws -> Value
    ) async throws -> Value {
        let task = Task { try await body() }
        let watch = await connection.whenGone(call) { task.cancel() }
        let result = await withTaskCancellationHandler {
            await task.result
        } onCancel: {
            task.cancel()
        }
        await connection.forget(watch)
        return try result.get()
    }

    // MARK: Processes

    /// Starts a command, or attaches to an instance's program, and gives that an object.
    ///
    /// - Parameters:
    ///   - call: Whose it is.
    ///   - instance: Where it runs.
    ///   - endsInput: As of ``ProcessStreams/run(_:endsInput:)``.
    ///   - makeStreams: Makes its streams, and the caller's ends of them.
    ///   - start: Starts it, or attaches to it.
    /// - Returns: Its object, and the caller's ends.
    /// - Throws: `quotaExceeded`; what `start` does.
    func openProcess(
        _ call: Call,
        on instance: ObjectPath,
        endsInput: Bool = true,
        with makeStreams: @Sendable () async throws -> (ProcessStreams, [UnixDescriptor]),
        start: @Sendable () async throws -> any GuestConversation
    ) async throws -> (ObjectPath, [UnixDescriptor]) {
        try quota.reserve(call.sender)
        do {
            let process = try await start()
            do {
                let (streams, ends) = try await makeStreams()
                return (await add(process, streams, call, instance, endsInput), ends)
            } catch {
                await process.leave()
                throw error
            }
        } catch {
            quota.release(call.sender)
            throw error
        }
    }

    private func add(
        _ process: any GuestConversation,
        _ streams: ProcessStreams,
        _ call: Call,
        _ instance: ObjectPath,
        _ endsInput: Bool
    ) async -> ObjectPath {
        number &+= 1
        let id = number
        let path = ObjectPath.process(id)
        let end = OneShot<Result<GuestExit, AgentError>>()
        let pump = Task {
            let result = await streams.run(process, endsInput: endsInput)
            end.fulfil(result)
            await ended(result, path, call.sender)
        }
        processes[id] = Process(owner: call.sender, process: process, pump: pump, end: end)
        await connection.export([interface(id, instance)], at: path)
        // It belongs to its caller: nobody else could ever read what it says.
        _ = await connection.whenGone(call) { Task { await self.abandon(id) } }
        return path
    }

    /// Tells the caller alone: whoever may look at an instance need not know what others run in it.
    private func ended(_ result: Result<GuestExit, AgentError>, _ path: ObjectPath, _ owner: String) async {
        quota.release(owner)
        guard case .success(let exit) = result else { return }
        await connection.emit(
            "Exited",
            of: AgentInterface.process,
            at: path,
            [
                .int32(Int32(clamping: exit.code)), .int32(Int32(clamping: exit.signal ?? 0)),
                .string(exit.message ?? ""),
            ],
            to: owner
        )
    }

    private func abandon(_ id: UInt32) async {
        guard let entry = processes.removeValue(forKey: id) else { return }
        entry.pump.cancel()
        await connection.unexport(.process(id))
    }

    /// Ends everything: the agent stops.
    func endAll() async {
        let all = processes
        processes = [:]
        for entry in all.values { entry.pump.cancel() }
        for entry in all.values { await entry.pump.value }
    }

    private func interface(_ id: UInt32, _ instance: ObjectPath) -> Interface {
        Interface(
            AgentInterface.process,
            [
                .method("Signal", ["signal"]) { (call: Call, signal: Int32) in
                    try await answering {
                        guard (1...64).contains(signal) else {
                            throw AgentError(
                                .invalidArgument,
                                code: "invalid_signal",
                                "signal \(signal) is not from 1 to 64"
                            )
                        }
                        try await self.owned(id, call).process.signal(Int(signal))
                    }
                },
                .method("Resize", ["rows", "columns"]) { (call: Call, rows: UInt32, columns: UInt32) in
                    try await answering {
                        guard (1...65535).contains(rows), (1...65535).contains(columns) else {
                            throw AgentError(
                                .invalidArgument,
                                code: "invalid_size",
                                "\(rows) rows and \(columns) columns are not a terminal's size"
                            )
                        }
                        let size = TerminalSize(rows: Int(rows), columns: Int(columns))
                        try await self.owned(id, call).process.resize(size)
                    }
                },
                .method("Wait", returns: ["code", "signal", "message"]) { (call: Call) in
                    try await answering {
                        let end = try await self.owned(id, call).end
                        let exit = try await self.whileCallerLives(call) { try await end.wait() }.get()
                        await self.abandon(id)
                        return (Int32(clamping: exit.code), Int32(clamping: exit.signal ?? 0), exit.message ?? "")
                    }
                },
                .property("Instance", .constant) { instance },
                .signal("Exited", ["code", "signal", "message"], Int32.self, Int32.self, String.self),
            ]
        )
    }

    /// The command of the caller's own.
    private func owned(_ id: UInt32, _ call: Call) throws(AgentError) -> Process {
        guard let process = processes[id] else { throw AgentError(.notFound, "there is no command \(id) any more") }
        guard process.owner == call.sender else {
            throw AgentError(.permissionDenied, "command \(id) is another caller's")
        }
        return process
    }

    // MARK: Output

    /// Writes what comes into a pipe until it ends, the caller closes its end, or it vanishes.
    ///
    /// - Parameters:
    ///   - call: Whose it is.
    ///   - pieces: What is written.
    ///   - looksAhead: Whether the first piece is waited for, and its error is the call's.
    /// - Returns: The caller's end.
    /// - Throws: `quotaExceeded`; what `pieces` do, if they are looked at.
    func openOutput(
        _ call: Call,
        _ pieces: AsyncThrowingStream<[UInt8], any Error>,
        looksAhead: Bool = true
    ) async throws -> UnixDescriptor {
        try quota.reserve(call.sender)
        do {
            var first: [UInt8]?
            var isEmpty = false
            if looksAhead {
                var iterator = pieces.makeAsyncIterator()
                first = try await iterator.next()
                isEmpty = first == nil
            }
            let (output, theirs) = try await Pipes.output()
            let pump = Task { [first, isEmpty] in
                do {
                    if let first { try await output.write(first) }
                    if !isEmpty {
                        for try await piece in pieces { try await output.write(piece) }
                    }
                } catch {
                    logger.debug("stream ended", metadata: ["member": "\(call.member)", "error": "\(error)"])
                }
                output.close()
            }
            output.whenClosed { pump.cancel() }
            let watch = await connection.whenGone(call) {
                pump.cancel()
                output.close()
            }
            Task {
                await pump.value
                await connection.forget(watch)
                quota.release(call.sender)
            }
            return theirs
        } catch {
            quota.release(call.sender)
            throw error
        }
    }
}

extension AsyncThrowingStream where Element: Sendable, Failure == any Error {
    /// The bytes that `bytes` makes of each element, up to the first that it makes none of.
    func pieces(
        _ bytes: @escaping @Sendable (Element) -> [UInt8]?
    ) -> AsyncThrowingStream<[UInt8], any Error> {
        AsyncThrowingStream<[UInt8], any Error> {
            // Its iterators share one place in the stream.
            var iterator = makeAsyncIterator()
            return try await iterator.next().flatMap(bytes)
        }
    }
}
