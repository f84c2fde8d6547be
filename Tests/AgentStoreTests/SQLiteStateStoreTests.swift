import AgentCore
import AgentStore
import AgentTestSupport
import Foundation
import GRDB
import SystemPackage
import Testing

@Suite struct SQLiteStateStoreTests {
    private let directory = FilePath(FileManager.default.temporaryDirectory.path).appending(
        "store-\(UUID().uuidString)"
    )

    private var conformance: StateStoreConformance {
        StateStoreConformance { try SQLiteStateStore(path: directory.appending("\(UUID().uuidString).db")) }
    }

    private func withDirectory(_ body: () async throws -> Void) async throws {
        try FileManager.default.createDirectory(atPath: directory.string, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory.string) }
        try await body()
    }

    @Test func loadsWhatWasCommitted() async throws { try await withDirectory(conformance.loadsWhatWasCommitted) }
    @Test func keepsSnapshots() async throws { try await withDirectory(conformance.keepsSnapshots) }
    @Test func keepsVolumes() async throws { try await withDirectory(conformance.keepsVolumes) }
    @Test func commitsAllOrNothing() async throws { try await withDirectory(conformance.commitsAllOrNothing) }
    @Test func loadsOperationsUnderWay() async throws { try await withDirectory(conformance.loadsOperationsUnderWay) }
    @Test func numbersEvents() async throws { try await withDirectory(conformance.numbersEvents) }
    @Test func keepsAddressesAndPortsApart() async throws {
        try await withDirectory(conformance.keepsAddressesAndPortsApart)
    }
    @Test func remembersTheLastAddress() async throws { try await withDirectory(conformance.remembersTheLastAddress) }

    @Test func stateIsThereAfterReopening() async throws {
        try await withDirectory {
            let path = directory.appending("state.db")
            let instance = Fixtures.instance("web")
            let first = try SQLiteStateStore(path: path)
            try await first.commit([.putInstance(instance)])
            try first.close()
            let second = try SQLiteStateStore(path: path)
            #expect(try await second.load().instances == [instance])
        }
    }

    @Test func aNewerDatabaseIsRefusedUntouched() async throws {
        try await withDirectory {
            let path = directory.appending("state.db")
            try SQLiteStateStore(path: path).close()
            try await addMigration("9: from the future", to: path)
            let before = try Data(contentsOf: URL(fileURLWithPath: path.string))
            let error = #expect(throws: AgentError.self) { try SQLiteStateStore(path: path) }
            #expect(error?.kind == .versionMismatch)
            #expect(try Data(contentsOf: URL(fileURLWithPath: path.string)) == before)
        }
    }

    @Test func aFileThatIsNoDatabaseIsNamed() async throws {
        try await withDirectory {
            let path = directory.appending("state.db")
            try Data(repeating: 7, count: 8192).write(to: URL(fileURLWithPath: path.string))
            let error = #expect(throws: AgentError.self) { try SQLiteStateStore(path: path) }
            #expect(error?.kind == .unavailable)
            #expect(error?.message.contains(path.string) == true)
        }
    }

    @Test func endedOperationsAndEventsAreBounded() async throws {
        try await withDirectory {
            let store = try SQLiteStateStore(path: directory.appending("state.db"))
            let owner = InstanceID.random()
            let drafts = (0..<SQLiteStateStore.retainedEvents + 10).map { number in
                StateChange.appendEvent(EventDraft(time: Fixtures.time, kind: .instanceState, subject: "\(number)"))
            }
            try await store.commit(drafts)
            #expect(try await store.events(after: 0, limit: .max).count == SQLiteStateStore.retainedEvents)
            #expect(try await store.events(after: 0, limit: 1).first?.sequence == 11)
            let operations = (0..<SQLiteStateStore.retainedOperations + 10).map { number in
                StateChange.putOperation(
                    AgentCore.Operation(
                        id: "\(number)",
                        instance: owner,
                        kind: .stop,
                        state: number == 0 ? .pending : .succeeded,
                        createdAt: Fixtures.time
                    )
                )
            }
            try await store.commit(operations)
            #expect(try await store.load().operations.map(\.id) == ["0"], "an old operation that is under way stays")
        }
    }

    private func addMigration(_ name: String, to path: FilePath) async throws {
        let database = try DatabaseQueue(path: path.string)
        try await database.write { try $0.execute(sql: "INSERT INTO grdb_migrations VALUES (?)", arguments: [name]) }
        // So that the file itself is all there is to compare.
        _ = try await database.writeWithoutTransaction { try $0.checkpoint(.truncate) }
        try database.close()
    }
}
