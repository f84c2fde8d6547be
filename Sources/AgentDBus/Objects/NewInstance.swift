import AgentCore
import DBus

/// Makes an instance, however, and answers as soon as it has its object.
struct NewInstance: Sendable {
    let published: PublishedObjects
    let operations: OperationRegistry

    /// Begins an operation that makes an instance.
    ///
    /// - Parameters:
    ///   - kind: As of ``OperationRegistry/begin(_:in:on:changing:cancel:_:)``.
    ///   - call: Who wants it.
    ///   - flags: Whether its end is waited for.
    ///   - make: Makes it, and says when it is stored.
    /// - Returns: The objects of the instance and of the operation.
    /// - Throws: What `make` does before the instance is stored; also later, if its end is waited for.
    func begin(
        _ kind: String,
        for call: Call,
        _ flags: CallFlags,
        _ make: @escaping @Sendable (_ onAccepted: @Sendable (Instance) -> Void) async throws -> Instance
    ) async throws -> (ObjectPath, ObjectPath) {
        let accepted = OneShot<Result<Instance, any Error>>()
        let end = OneShot<Result<Void, any Error>>()
        let place = try await operations.reserve(for: call)
        // Belongs to the agent from here on.
        Task {
            do {
                _ = try await make { accepted.fulfil(.success($0)) }
                end.fulfil(.success(()))
            } catch {
                accepted.fulfil(.failure(error))
                end.fulfil(.failure(error))
            }
        }
        let instance: Instance
        do {
            instance = try await accepted.wait().get()
        } catch {
            // Given back when the work is over, and not when its caller is.
            Task {
                _ = try? await end.wait()
                await operations.release(place)
            }
            throw error
        }
        await published.show(instance.id)
        let path = ObjectPath.instance(instance.id)
        let volumes = instance.specification.volumes.map { ObjectPath.volume($0.volume) }
        let operation = await operations.begin(kind, in: place, on: path, changing: volumes) { _ in
            try await end.wait().get()
        }
        if flags.waits { try await operations.wait(operation) }
        return (path, operation)
    }
}
