import AgentCore
import DBus
import Glibc
import Logging

/// Who may do what: root and the agent's own user everything, others what polkit says.
struct AgentAuthorizer: CallAuthorizer {
    private let questions: PolkitQuestions
    private let logger: Logger
    private let ownUser = geteuid()

    init(_ questions: PolkitQuestions, logger: Logger) {
        self.questions = questions
        self.logger = logger
    }

    func check(
        _ call: Call,
        _ target: CallTarget,
        on connection: Connection
    ) -> (@Sendable () async throws -> Void)? {
        if let user = call.credentials?.user, isTrusted(user) { return nil }
        return {
            let user = try await credentials(of: call, on: connection).user
            guard !isTrusted(user) else { return }
            let operations = Self.operations(of: target)
            guard !operations.isEmpty else { throw Self.refusal(user, "that") }
            for operation in operations { try await check(operation, call, user, on: connection) }
            logger.info(
                "allowed by polkit",
                metadata: ["uid": "\(user)", "member": "\(call.member)", "path": "\(call.path)"]
            )
        }
    }

    private func isTrusted(_ user: UInt32) -> Bool { user == 0 || user == ownUser }

    private func credentials(of call: Call, on connection: Connection) async throws -> Credentials {
        do {
            return try await connection.credentials(of: call.sender)
        } catch let error as DBusError {
            throw AgentError(.permissionDenied, "the bus does not say who '\(call.sender)' is", cause: error)
        }
    }

    private func check(
        _ operation: AgentOperation,
        _ call: Call,
        _ user: UInt32,
        on connection: Connection
    ) async throws {
        guard operation.row.action != nil else {
            // Settled by the object, which knows its owner.
            guard operation == .controlProcess else { throw Self.refusal(user, "\(operation)") }
            return
        }
        for question in questions.about(operation, call) { try await check(question, call, user, on: connection) }
    }

    private func check(
        _ question: PolkitQuestions.Question,
        _ call: Call,
        _ user: UInt32,
        on connection: Connection
    ) async throws {
        let action = question.action
        let isAllowed: Bool
        do {
            isAllowed = try await PolkitAuthority(connection: connection).allows(
                call.sender,
                action,
                details: question.details,
                allowsInteraction: call.allowsInteraction
            )
        } catch let error as DBusError {
            // No polkit, or one that fails: nobody has allowed it.
            logger.warning("polkit cannot be asked", metadata: ["action": "\(action.id)", "error": "\(error)"])
            throw AgentError(
                .permissionDenied,
                "user \(user) may not do that: it takes root, or polkit (\(action.id)), which cannot be asked"
            )
        }
        guard isAllowed else { throw Self.refusal(user, action.id) }
    }

    private static func refusal(_ user: UInt32, _ what: String) -> AgentError {
        AgentError(
            .permissionDenied,
            "user \(user) may not do that: a rule of polkit must allow \(what), or root must ask"
        )
    }

    /// The table's operations behind a call.
    private static func operations(of target: CallTarget) -> [AgentOperation] {
        switch target {
        case .method(let interface, let member):
            [AgentInterface.short(interface).flatMap { AgentOperation.ofDBus($0, member) }].compactMap { $0 }
        case .read(let interface, _), .write(let interface, _):
            [AgentInterface.short(interface).flatMap { AgentOperation.ofDBus($0, "*") }].compactMap { $0 }
        case .managedObjects: [.listInstances, .listImages, .listVolumes, .listSnapshots, .getNetwork]
        case .children: [.listInstances, .listImages, .listVolumes, .listSnapshots]
        }
    }
}
