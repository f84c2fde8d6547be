public import AgentCore
import Foundation

/// What every ``StateStore`` must do; each function makes its own fresh stores through `make`.
public struct StateStoreConformance: Sendable {
    private let make: @Sendable () throws -> any StateStore

    /// - Parameter make: An empty store.
    public init(make: @escaping @Sendable () throws -> any StateStore) { self.make = make }

    /// What was put is loaded again, equal in every field, and what was removed is not.
    public func loadsWhatWasCommitted() async throws {
        let store = try make()
        try require(try await store.load().instances.isEmpty, "a fresh store is empty")
        var web = Fixtures.instance("web")
        let database = Fixtures.instance("database")
        let image = Fixtures.image("docker.io/library/web:latest")
        let resource = HostResource(owner: web.id, kind: .machine, value: "/run/x")
        try await store.commit([
            .putInstance(web), .putInstance(database), .putImage(image), .recordResource(resource),
            .recordResource(resource), .setBootID("first"),
        ])
        web.state = .running
        web.revision = 7
        web.exit = InstanceExit(reason: .exited, code: 3, message: "x")
        try await store.commit([.putInstance(web), .removeInstance(database.id), .setBootID("second")])
        let state = try await store.load()
        try require(state.instances == [web], "the changed instance alone is left, got \(state.instances)")
        try require(state.images == [image], "the image is equal in every field, got \(state.images)")
        try require(state.resources == [resource], "a resource recorded twice is there once")
        try require(state.bootID == "second", "the newest boot id counts")
        try await store.commit([.removeImage(name: image.name), .forgetResource(resource)])
        let after = try await store.load()
        try require(after.images.isEmpty && after.resources.isEmpty, "what was removed is gone")
    }

    /// Snapshots are kept, each name once, until they are removed.
    public func keepsSnapshots() async throws {
        let store = try make()
        func snapshot(_ name: String?) throws -> Snapshot {
            Snapshot(
                id: .random(),
                name: try name.map { try InstanceName($0) },
                kind: .standby,
                instance: .random(),
                instanceName: try InstanceName("web"),
                createdAt: Fixtures.time,
                size: .mebibytes(5),
                hypervisor: .qemu,
                tags: ["a": "b"]
            )
        }
        let snapshots = [try snapshot("first"), try snapshot(nil), try snapshot(nil)]
        try await store.commit(snapshots.map(StateChange.putSnapshot))
        try require(try await store.load().snapshots == snapshots, "each is equal in every field")
        do {
            try await store.commit([.putSnapshot(try snapshot("first"))])
            throw ConformanceFailure("a taken name was accepted")
        } catch let error as AgentError {
            try require(error.code == "name_conflict", "a taken name is a name_conflict, got \(error.code)")
        }
        try await store.commit([.removeSnapshot(snapshots[1].id)])
        try require(try await store.load().snapshots == [snapshots[0], snapshots[2]], "the removed one is gone")
    }

    /// A commit that cannot be made whole changes nothing.
    public func commitsAllOrNothing() async throws {
        let store = try make()
        let first = Fixtures.instance("web")
        try await store.commit([.putInstance(first)])
        let image = Fixtures.image("docker.io/library/web:latest")
        do {
            try await store.commit([.putImage(image), .putInstance(Fixtures.instance("web"))])
            throw ConformanceFailure("a taken name was accepted")
        } catch let error as AgentError {
            try require(error.kind == .alreadyExists, "a taken name is alreadyExists, got \(error.kind)")
        }
        let state = try await store.load()
        try require(state.instances == [first] && state.images.isEmpty, "nothing of the failed commit is there")
    }

    /// An address, a device and a port of the host belong to one instance, until it is removed.
    public func keepsAddressesAndPortsApart() async throws {
        let store = try make()
        var web = Fixtures.instance("web", at: "10.100.0.2")
        web.specification.publishedPorts = [
            PublishedPort(hostPort: 8080, guestPort: 80), PublishedPort(hostPort: 53, guestPort: 53, transport: .udp),
        ]
        try await store.commit([.putInstance(web)])
        web.state = .running
        try await store.commit([.putInstance(web)])
        try require(try await store.load().instances == [web], "an instance is not its own rival")

        try await refuses(Fixtures.instance("twin", at: "10.100.0.2"), "address_in_use", in: store)
        var twin = Fixtures.instance("twin", at: "10.100.0.3")
        twin.attachment?.tap = web.attachment?.tap ?? ""
        try await refuses(twin, "address_in_use", in: store)
        twin = Fixtures.instance("twin", at: "10.100.0.3")
        twin.specification.publishedPorts = [
            PublishedPort(hostPort: 81, guestPort: 1), PublishedPort(hostPort: 8080, guestPort: 1),
        ]
        try await refuses(twin, "port_in_use", in: store)
        try require(try await store.load().instances == [web], "nothing of what was refused is there")

        twin.specification.publishedPorts = [
            PublishedPort(hostPort: 8080, guestPort: 1, transport: .udp), PublishedPort(hostPort: 53, guestPort: 53),
        ]
        let plain = [Fixtures.instance("plain-1"), Fixtures.instance("plain-2")]
        try await store.commit([.putInstance(twin)] + plain.map(StateChange.putInstance))
        try await store.commit([.removeInstance(web.id), .removeInstance(twin.id)])
        var heir = Fixtures.instance("heir", at: "10.100.0.2")
        heir.specification.publishedPorts = web.specification.publishedPorts
        try await store.commit([.putInstance(heir)])
        try require(try await store.load().instances == plain + [heir], "what a removed one had is free")
    }

    private func refuses(_ instance: Instance, _ code: String, in store: any StateStore) async throws {
        do {
            try await store.commit([.putInstance(instance)])
        } catch let error as AgentError {
            try require(error.kind == .alreadyExists && error.code == code, "\(code) is said, got \(error.code)")
            try require(error.message.contains("'web'"), "the other instance is named, got: \(error.message)")
            return
        }
        throw ConformanceFailure("\(code) was not noticed")
    }

    /// The last address that was given is loaded again, for each network.
    public func remembersTheLastAddress() async throws {
        let store = try make()
        func address(_ value: UInt32) -> IPv4Address { IPv4Address(value: value) }
        try require(try await store.load().lastAddresses.isEmpty, "a fresh store has given none")
        try await store.commit([.setLastAddress(network: "default", address(7)), .setBootID("x")])
        try await store.commit([
            .setLastAddress(network: "default", address(8)), .setLastAddress(network: "b", address(9)),
        ])
        let state = try await store.load()
        try require(state.lastAddresses == ["default": address(8), "b": address(9)], "got \(state.lastAddresses)")
        try require(state.bootID == "x", "the boot id is something else")
    }

    /// Only operations that have not ended are loaded.
    public func loadsOperationsUnderWay() async throws {
        let store = try make()
        let owner = InstanceID.random()
        var ended = AgentCore.Operation(
            id: "1",
            instance: owner,
            kind: .create,
            state: .running,
            createdAt: Fixtures.time
        )
        let open = AgentCore.Operation(id: "2", instance: owner, kind: .stop, state: .pending, createdAt: Fixtures.time)
        try await store.commit([.putOperation(ended), .putOperation(open)])
        ended.state = .succeeded
        try await store.commit([.putOperation(ended)])
        let operations = try await store.load().operations
        try require(operations == [open], "the one under way is loaded, got \(operations)")
    }

    /// Volumes are kept until they are removed; no two have the same name.
    public func keepsVolumes() async throws {
        let store = try make()
        let (data, other) = (try Self.volume("data"), try Self.volume("other"))
        try await store.commit([.putVolume(data), .putVolume(other)])
        do {
            try await store.commit([.putVolume(try Self.volume("data"))])
            throw ConformanceFailure("a taken name was accepted")
        } catch let error as AgentError {
            try require(error.code == "name_conflict", "the name is what is wrong: \(error)")
        }
        var grown = data
        grown.size = .gibibytes(2)
        try await store.commit([.putVolume(grown), .removeVolume(other.id)])
        let found = try await store.load().volumes
        try require(found == [grown], "the changed one is left, got \(found)")
        try await store.commit([.putVolume(try Self.volume("other"))])
    }

    private static func volume(_ name: String) throws -> Volume {
        Volume(
            id: .random(),
            name: try VolumeName(name),
            size: .gibibytes(1),
            tags: ["a": "b"],
            createdAt: Fixtures.time
        )
    }

    /// Events are numbered from 1 without gaps, also over a commit that failed, and can be read from any number on.
    public func numbersEvents() async throws {
        let store = try make()
        func draft(_ subject: String) -> EventDraft {
            EventDraft(time: Fixtures.time, kind: .instanceState, subject: subject, attributes: ["state": "Running"])
        }
        let first = try await store.commit([.appendEvent(draft("a")), .appendEvent(draft("b"))])
        try require(first.map(\.sequence) == [1, 2], "numbers begin at 1, got \(first.map(\.sequence))")
        try await store.commit([.putInstance(Fixtures.instance("web"))])
        do {
            try await store.commit([.appendEvent(draft("lost")), .putInstance(Fixtures.instance("web"))])
            throw ConformanceFailure("a taken name was accepted")
        } catch is AgentError {}
        let second = try await store.commit([.appendEvent(draft("c"))])
        try require(second.map(\.sequence) == [3], "a failed commit takes no number, got \(second.map(\.sequence))")
        let read = try await store.events(after: 1, limit: 1)
        try require(read.map(\.event.subject) == ["b"], "reading starts after the number given, got \(read)")
        let state = try await store.load()
        try require(state.lastEvent == 3, "the newest number is loaded, got \(state.lastEvent)")
    }
}
