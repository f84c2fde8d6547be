public import AgentCore
import SystemPackage

/// What every process supervisor must do.
public enum ProcessSupervisorConformance {
    /// A supervisor under test.
    public struct Subject: Sendable {
        public var supervisor: any ProcessSupervisor
        /// Another one on the same host, as the agent's next life makes it.
        public var restart: @Sendable () -> any ProcessSupervisor
        /// A process that runs until it is signalled, with a mark that no other has.
        public var lasting: ProcessSpecification
        /// A process that ends at once with code 7.
        public var ending: ProcessSpecification

        public init(
            supervisor: any ProcessSupervisor,
            restart: @escaping @Sendable () -> any ProcessSupervisor,
            lasting: ProcessSpecification,
            ending: ProcessSpecification
        ) {
            self.supervisor = supervisor
            self.restart = restart
            self.lasting = lasting
            self.ending = ending
        }
    }

    public static let claims: [ConformanceClaim<Subject>] = [
        ConformanceClaim("an exit code is told to every waiter, the late one too") { subject in
            let process = try await subject.supervisor.start(subject.ending)
            async let first = exit(of: process)
            async let second = exit(of: process)
            let exits = try await [first, second, exit(of: process)]
            try require(exits == [.code(7), .code(7), .code(7)], "the exits are \(exits)")
        },
        ConformanceClaim("the signal that ends a process is told, and a later one does nothing") { subject in
            let process = try await subject.supervisor.start(subject.lasting)
            process.signal(9)
            let exit = try await exit(of: process)
            try require(exit == .signal(9), "the exit is \(exit)")
            process.signal(9)
        },
        ConformanceClaim("a waiter that is cancelled throws, and the process goes on") { subject in
            let process = try await subject.supervisor.start(subject.lasting)
            let waiter = Task { try await process.waitForExit() }
            waiter.cancel()
            do {
                _ = try await waiter.value
                throw ConformanceFailure("it waited on")
            } catch is CancellationError {}
            let found = try await subject.supervisor.adopt(process.identity)
            try require(found != nil, "the process is gone")
            try await end(process)
        },
        ConformanceClaim("a process is found by the next life, by identity and by mark, and obeys it") { subject in
            let process = try await subject.supervisor.start(subject.lasting)
            let next = subject.restart()
            let found = try await next.find(mark: subject.lasting.mark).map(\.identity)
            try require(found == [process.identity], "found by mark: \(found)")
            let adopted = try require(try await next.adopt(process.identity), "it is not adopted")
            adopted.signal(9)
            _ = try await exit(of: adopted)
            _ = try await exit(of: process)
            let again = try await next.adopt(process.identity)
            try require(again == nil, "it is adopted though it is gone")
            let rest = try await next.find(mark: subject.lasting.mark)
            try require(rest.isEmpty, "its mark is found though it is gone")
        },
        ConformanceClaim("another process with the same number is not adopted") { subject in
            let process = try await subject.supervisor.start(subject.lasting)
            var other = process.identity
            other.startTime += 1
            var found = try await subject.supervisor.adopt(other)
            try require(found == nil, "adopted with another start time")
            other = process.identity
            other.bootID = "another"
            found = try await subject.supervisor.adopt(other)
            try require(found == nil, "adopted from another boot")
            try await end(process)
        },
        ConformanceClaim("a program that is not there is unavailable") { subject in
            var specification = subject.lasting
            specification.executable = "/nonexistent/program"
            do {
                _ = try await subject.supervisor.start(specification)
            } catch let error as AgentError where error.kind == .unavailable {
                return
            }
            throw ConformanceFailure("it was started")
        },
    ]

    private static func exit(of process: any SupervisedProcess) async throws -> ProcessExit {
        try await within(.seconds(30), "the exit") { try await process.waitForExit() }
    }

    private static func end(_ process: any SupervisedProcess) async throws {
        process.signal(9)
        _ = try await exit(of: process)
    }
}
