import AgentCore
import DBus
import GuestProtocol
import NIOCore

/// A command's streams between a guest and a caller's descriptors.
struct ProcessStreams: Sendable {
    private let input: NIOAsyncChannel<ByteBuffer, ByteBuffer>
    private let output: OutputEnd
    private let errors: OutputEnd

    /// Three pipes; the caller's ends of stdin, stdout and stderr.
    static let pipes: @Sendable () async throws -> (ProcessStreams, [UnixDescriptor]) = {
        let (input, stdin) = try await Pipes.input()
        do {
            let (output, stdout) = try await Pipes.output()
            do {
                let (errors, stderr) = try await Pipes.output()
                return (ProcessStreams(input: input, output: output, errors: errors), [stdin, stdout, stderr])
            } catch {
                output.close()
                throw error
            }
        } catch {
            try? await input.executeThenClose { _, _ in }
            throw error
        }
    }

    /// One socket, as a terminal is one file; the caller's end.
    static let socket: @Sendable () async throws -> (ProcessStreams, [UnixDescriptor]) = {
        let (channel, end) = try await Pipes.socket()
        let output = OutputEnd(channel: channel.channel)
        return (ProcessStreams(input: channel, output: output, errors: output), [end])
    }

    /// Carries everything until the command has ended, or this is cancelled; the command is dead then.
    func run(_ process: any GuestProcess) async -> Result<GuestExit, AgentError> {
        let result = await withTaskCancellationHandler {
            await carry(process)
        } onCancel: {
            // A write that waits for a caller who does not read ends by that.
            output.close()
            errors.close()
        }
        output.close()
        errors.close()
        if case .failure = result {
            // Not in this task, which may be cancelled: the guest must hear of it all the same.
            await Task { await process.kill() }.value
        }
        return result
    }

    private func carry(_ process: any GuestProcess) async -> Result<GuestExit, AgentError> {
        do {
            return try await input.executeThenClose { inbound, _ in
                await withTaskGroup(of: Result<GuestExit, AgentError>?.self) { group in
                    group.addTask {
                        await feed(inbound, to: process)
                        return nil
                    }
                    group.addTask { await drain(process) }
                    var result: Result<GuestExit, AgentError>?
                    while result == nil, let next = await group.next() { result = next }
                    group.cancelAll()
                    return result ?? .failure(AgentError(.cancelled, "the command was let go"))
                }
            }
        } catch {
            return .failure(AgentError.wrapping(error, "the command's streams broke"))
        }
    }

    /// Caller to guest, at the guest's pace.
    private func feed(_ inbound: NIOAsyncChannelInboundStream<ByteBuffer>, to process: any GuestProcess) async {
        do {
            for try await buffer in inbound { try await process.write(Array(buffer.readableBytesView)) }
            try await process.closeInput()
        } catch {
            // The command takes no more input, or its connection is lost: its end, which tells why, is on the way.
            return
        }
    }

    /// Guest to caller, at the caller's pace.
    private func drain(_ process: any GuestProcess) async -> Result<GuestExit, AgentError> {
        do {
            for try await event in process.events {
                switch event {
                case .output(let stream, let bytes):
                    // Who closes one of the ends does not want that output, and may still want the rest.
                    try? await (stream == .stdout ? output : errors).write(bytes)
                case .exited(let exit): return .success(exit)
                }
            }
            try Task.checkCancellation()
            throw AgentError(.unavailable, "the connection to the guest was lost before the command ended")
        } catch {
            return .failure(AgentError.wrapping(error, "the command was lost"))
        }
    }
}
