import AgentCore
import DBus
import Glibc
import Logging

/// Who may do what: root and the agent's own user everything, others what polkit says.
struct AgentAuthorizer: CallAuthorizer {
    let directory: InstanceDirectory
    let logger: Logger
    private let ownUser = geteuid()

    init(directory: InstanceDirectory, logger: Logger) {
        self.directory = directory
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
        // Settled by the object, which knows its owner.
        guard let action = operation.row.action else {
            guard operation == .controlProcess else { throw Self.refusal(user, "\(operation)") }
            return
        }
        let isAllowed: Bool
        do {
            isAllowed = try await PolkitAuthority(connection: connection).allows(
                call.sender,
                action,
                details: details(call),
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
        case .managedObjects: [.listInstances, .listImages, .getNetwork]
        case .children: [.listInstances, .listImages]
        }
    }

    // MARK: What a rule can look at

    /// `instance`, `name`, `image` and `label.NAME` of what a call is about, as far as that is known.
    func details(_ call: Call) -> [String: String] {
        if let id = call.path.element(below: "instances").flatMap(InstanceID.init), let found = directory.get(id) {
            return Self.details(of: found)
        }
        if let name = call.path.element(below: "images") { return ["image": name] }
        switch call.member {
        case "GetInstance":
            guard case .string(let reference)? = call.arguments.first, let found = try? directory.find(reference) else {
                return [:]
            }
            return Self.details(of: found)
        case "CreateInstance":
            guard let specification = call.arguments.first.flatMap({ [String: Variant]($0) }),
                let request = try? CreateInstanceRequest(specification)
            else { return [:] }
            let labels = request.tags.map { ("label.\($0.key)", $0.value) }
            return Dictionary(labels) { first, _ in first }
                .merging(["name": request.name.rawValue, "image": request.image.description]) { _, own in own }
        case "GetImage", "PullImage":
            guard case .string(let name)? = call.arguments.first, let reference = try? ImageReference(name) else {
                return [:]
            }
            return ["image": reference.description]
        default: return [:]
        }
    }

    private static func details(of instance: Instance) -> [String: String] {
        let labels = instance.specification.tags.map { ("label.\($0.key)", $0.value) }
        return Dictionary(labels) { first, _ in first }.merging([
            "instance": instance.id.rawValue, "name": instance.name.rawValue, "image": instance.specification.image,
        ]) { _, own in own }
    }
}
