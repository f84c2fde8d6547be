struct Cleanup: Sendable {
    var key: ProviderKey
    var run: @Sendable () async throws -> Void
}

/// A built root and the means to tear it down.
public struct Built<Root: Sendable>: Sendable {
    /// What was asked for.
    public let value: Root
    let cleanups: [Cleanup]

    /// Runs every cleanup in reverse order of construction, even if one throws.
    ///
    /// - Throws: ``TearDownError`` with all failures, after the last cleanup ran.
    public func tearDown() async throws {
        let failures = await Self.run(cleanups)
        if !failures.isEmpty {
            throw TearDownError(failures: failures)
        }
    }

    static func run(_ cleanups: [Cleanup]) async -> [(key: ProviderKey, error: any Error)] {
        var failures: [(key: ProviderKey, error: any Error)] = []
        for cleanup in cleanups.reversed() {
            do {
                try await cleanup.run()
            } catch {
                failures.append((cleanup.key, error))
            }
        }
        return failures
    }
}

/// The cleanups that failed while a graph was torn down; the others ran.
public struct TearDownError: Error, Sendable, CustomStringConvertible {
    /// What failed, in the order it was tried.
    public let failures: [(key: ProviderKey, error: any Error)]

    public var description: String {
        failures.map { "cleanup of \($0.key) failed: \($0.error)" }.joined(separator: "\n")
    }
}
