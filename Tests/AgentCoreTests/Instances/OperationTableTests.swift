import AgentCore
import AgentTestSupport
import GuestProtocol
import Testing

/// What every operation does in every state.
@Suite struct OperationTableTests {
    enum Operation: String, CaseIterable, Sendable {
        case start, stop, pause, resume, standby, restore, fork, keepMemory, keepDisk, bringBack, update, delete
        case exec, attach, usage, wait, logs, console
    }

    /// A letter is the state in which the instance is afterwards, as in `columns`; `-` a refusal with `invalid_state` that
    /// names the state; `x` that it is gone.
    ///
    /// Guests that boot here never answer. What is asked of a Created instance waits for the start that is under way, and
    /// then finds it Initializing; reads and commands do not wait.
    private static let table = """
                 C I R P Y H S U
        start    - - - - - I I -
        stop     S S S S S S S -
        pause    - - P P - - - -
        resume   - - R R - - - -
        standby  - - Y Y Y - - -
        restore  - - - - R - - -
        fork     - - R P Y - S -
        keepMemory - - R P Y - - -
        keepDisk - - - - - - S -
        bringBack - - - - Y - Y -
        update   I I R P Y H S U
        delete   x x x x x x x x
        exec     - - R - - - - -
        attach   - - R - - - - -
        usage    C I R P Y H S U
        wait     C I R P Y H S U
        logs     C I R P Y H S U
        console  C I R P Y H S U
        """
    /// Its lines by their first word.
    private static let rows = Dictionary(
        uniqueKeysWithValues: table.split(separator: "\n").dropFirst().map { line in
            let words = line.split(separator: " ").map(String.init)
            return (words[0], words.dropFirst().map { Character($0) })
        }
    )
    /// What does not wait for its turn.
    private static let immediate: Set<Operation> = [.delete, .exec, .attach, .usage, .wait, .logs, .console]
    private static let columns: [(Character, InstanceState)] = [
        ("C", .created), ("I", .initializing), ("R", .running), ("P", .paused), ("Y", .standby), ("H", .shutdown),
        ("S", .stopped), ("U", .unknown),
    ]

    private static func cell(_ operation: Operation, _ state: InstanceState) throws -> Character {
        let row = try #require(rows[operation.rawValue])
        try #require(row.count == columns.count)
        return row[try #require(columns.firstIndex { $0.1 == state })]
    }

    @Test func theTableIsWhole() throws {
        #expect(Set(Self.rows.keys) == Set(Operation.allCases.map(\.rawValue)))
        #expect(Set(Self.columns.map(\.1)) == Set(InstanceState.allCases))
        let letters = Self.table.split(separator: "\n")[0].split(separator: " ").map { Character(String($0)) }
        #expect(letters == Self.columns.map(\.0))
    }

    @Test(arguments: InstanceState.allCases, Operation.allCases)
    func theStateDecides(_ state: InstanceState, _ operation: Operation) async throws {
        var behaviour = GuestBehaviour()
        behaviour.input = .echoed
        try await AgentWorld.with(behaviour: behaviour) { world in
            let (id, snapshot, gate) = try await Self.bring(&world, to: state)
            let cell = try Self.cell(operation, state)
            #expect(try world.instances.get("web").state == state)
            let work = Task { [instances = world.instances] in
                try await Self.perform(operation, on: instances, snapshot)
            }
            // What needs the end of what is under way comes to it.
            let waits = state == .created && !Self.immediate.contains(operation)
            if waits || (state == .shutdown && [.start, .stop, .delete].contains(operation)) { gate.fulfil(()) }
            let result = await work.result
            let after = try? world.instances.get("web")
            if cell == "-" {
                let error = #expect(throws: AgentError.self) { try result.get() }
                #expect(error?.kind == .invalidState, "\(error?.description ?? "")")
                let named = waits ? InstanceState.initializing : state
                let message = error?.message ?? ""
                #expect(message.contains(named.rawValue), "'\(message)' does not say \(named)")
                #expect(after?.state == named)
                #expect(world.instances.list().count == 1 && world.instances.snapshots().count == 1)
            } else {
                #expect(throws: Never.self) { try result.get() }
                #expect(after?.state == Self.columns.first { $0.0 == cell }?.1)
            }
            if cell == "x" {
                #expect(world.host.running.isEmpty && world.disks.overlaySize(of: id) == nil)
                #expect(try await world.store.load().resources.isEmpty)
            }
            gate.fulfil(())
            // Whatever came of it, it can be removed.
            if after != nil { try await world.instances.delete("web") }
            #expect(!world.host.running.contains(id) && world.network.attached[id] == nil)
        }
    }

    // MARK: States

    /// - Returns: The instance, a snapshot of it, and what lets go on that keeps it in its state.
    private static func bring(
        _ world: inout AgentWorld,
        to state: InstanceState
    ) async throws -> (InstanceID, SnapshotID, OneShot<Void>) {
        let gate = OneShot<Void>()
        var request = try world.request("web")
        request.openStandardInput = true
        let id = try await world.instances.create(request).id
        let instance = try await world.wait(id, for: .running)
        try await world.awaitChannel(instance)
        let kept = try await world.instances.createSnapshot("web", CreateSnapshotRequest(kind: .standby))
        world.host.setBehaviour(.silent, for: id)
        let instances = world.instances
        switch state {
        case .running: break
        case .paused: _ = try await instances.pause("web")
        case .standby: _ = try await instances.standby("web")
        case .stopped: _ = try await instances.stop("web")
        case .initializing:
            _ = try await instances.stop("web")
            _ = try await instances.start("web")
        case .created:
            _ = try await instances.stop("web")
            world.calls.listen(for: PortCalls.Point("hypervisor.start"), .run { try await gate.wait() })
            Task { try await instances.start("web") }
            while !world.calls.hasReached { await Task.yield() }
        case .shutdown:
            world.calls.listen(for: PortCalls.Point("network.detach"), .run { try await gate.wait() })
            world.host.killVMM(of: id)
            while !world.calls.hasReached { await Task.yield() }
        case .unknown:
            _ = try await instances.stop("web")
            var unknown = try instances.get("web")
            unknown.state = .unknown
            try await world.store.commit([.putInstance(unknown)])
            try await world.restart()
        }
        return (id, kept.id, gate)
    }

    // MARK: Operations

    private static func perform(
        _ operation: Operation,
        on instances: InstancesService,
        _ snapshot: SnapshotID
    ) async throws {
        switch operation {
        case .start: _ = try await instances.start("web")
        case .stop:
            let soon = Duration.milliseconds(10)
            _ = try await instances.stop("web", StopInstanceRequest(signalDeadline: soon, powerButtonDeadline: soon))
        case .pause: _ = try await instances.pause("web")
        case .resume: _ = try await instances.resume("web")
        case .standby: _ = try await instances.standby("web")
        case .restore: _ = try await instances.restore("web")
        case .fork:
            let twin = ForkInstanceRequest(name: try InstanceName("twin"), fromRunning: true)
            _ = try await instances.fork("web", twin)
        case .keepMemory: _ = try await instances.createSnapshot("web", CreateSnapshotRequest(kind: .standby))
        case .keepDisk: _ = try await instances.createSnapshot("web", CreateSnapshotRequest(kind: .stopped))
        case .bringBack: _ = try await instances.restoreSnapshot("web", snapshot.rawValue, to: nil)
        case .update:
            let policy = RestartPolicy(mode: .onFailure)
            let updated = try await instances.update("web", UpdateInstanceRequest(restartPolicy: policy))
            #expect(updated.specification.restartPolicy == policy)
        case .delete: try await instances.delete("web")
        case .exec:
            let request = ExecRequest(program: GuestProgram(arguments: ["true"], environment: []))
            _ = try await instances.exec("web", request, patience: .zero)
        case .attach:
            let attachment = try await instances.attach("web", AttachInstanceRequest(), patience: .zero)
            await attachment.leave()
        case .usage: _ = try await instances.usage("web")
        case .wait:
            let state = try instances.get("web").state
            #expect(try await instances.wait("web", for: state, timeout: .zero).instance.state == state)
        case .logs: _ = try await instances.logs("web", source: .app, tail: nil, follow: false)
        case .console:
            let console = try await instances.console("web", tail: nil)
            let error = await #expect(throws: AgentError.self) { try await console.write([1]) }
            #expect(error?.code == "no_input")
            await console.leave()
        }
    }
}
