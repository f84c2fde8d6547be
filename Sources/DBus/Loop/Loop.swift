import CDBus
import Glibc
import Synchronization
import Threads

/// One thread that runs libdbus's watches and timeouts, and the jobs of the actor that uses it.
///
/// libdbus may change what it wants watched at any call, so everything that touches a `DBusConnection` runs here: an actor
/// with this executor needs no lock of its own. SwiftNIO has no public way to wait for another library's descriptors, so
/// this cannot be one of its event loops. The thread ends when the last actor that uses it is gone, so no job is stranded.
final class Loop: SerialExecutor {
    private let core = LoopCore()

    init() { core.start(on: asUnownedSerialExecutor()) }
    deinit { core.stop() }

    func enqueue(_ job: consuming ExecutorJob) { core.enqueue(UnownedJob(job)) }
    func asUnownedSerialExecutor() -> UnownedSerialExecutor { UnownedSerialExecutor(ordinary: self) }
    func checkIsolated() { precondition(core.isCurrentThread, "not on the D-Bus thread") }

    /// Lets the thread run a connection, and hand each message that comes to `receive`; on the thread only.
    func attach(_ connection: OpaquePointer, receive: @escaping (OpaquePointer) -> DBusHandlerResult) {
        core.attach(connection, receive)
    }

    /// Closes a connection and lets go of it; on the thread only.
    func detach(_ connection: OpaquePointer) { core.detach(connection) }
}

/// What the thread of a ``Loop`` owns.
private final class LoopCore: Sendable {
    private struct Shared {
        var jobs: [UnownedJob] = []
        var isStopped = false
    }

    private struct Timeout {
        var timeout: OpaquePointer
        var deadline: ContinuousClock.Instant
    }

    /// Messages that are dispatched before jobs have their turn: else a flood of calls keeps their answers waiting.
    private static let dispatchedAtATime = 32

    private let shared = Mutex(Shared())
    /// The loop's thread; 0 before it runs.
    private let thread = Atomic<UInt>(0)
    private let wakeup = eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))
    // Touched by the loop's thread only.
    private nonisolated(unsafe) var watches: [OpaquePointer] = []
    private nonisolated(unsafe) var timeouts: [Timeout] = []
    private nonisolated(unsafe) var connections: [OpaquePointer: Receiver] = [:]

    /// Keeps a connection's filter alive for as long as libdbus may call it.
    private final class Receiver {
        let receive: (OpaquePointer) -> DBusHandlerResult
        init(_ receive: @escaping (OpaquePointer) -> DBusHandlerResult) { self.receive = receive }
    }

    deinit { close(wakeup) }

    func start(on executor: UnownedSerialExecutor) {
        precondition(wakeup >= 0, "eventfd failed")
        let code = DetachedThread.start { self.run(on: executor) }
        precondition(code == 0, "pthread_create failed")
    }

    var isCurrentThread: Bool { thread.load(ordering: .relaxed) == UInt(pthread_self()) }

    func enqueue(_ job: UnownedJob) {
        shared.withLock { $0.jobs.append(job) }
        // The thread itself looks for jobs before it waits.
        if !isCurrentThread { wake() }
    }

    func stop() {
        shared.withLock { $0.isStopped = true }
        wake()
    }

    private func wake() {
        var one: UInt64 = 1
        _ = write(wakeup, &one, MemoryLayout<UInt64>.size)
    }

    // MARK: The loop

    private func run(on executor: UnownedSerialExecutor) {
        thread.store(UInt(pthread_self()), ordering: .relaxed)
        while true {
            let (jobs, isStopped) = shared.withLock { shared in
                defer { shared.jobs = [] }
                return (shared.jobs, shared.isStopped)
            }
            for job in jobs { job.runSynchronously(on: executor) }
            if isStopped, jobs.isEmpty {
                for connection in Array(connections.keys) { detach(connection) }
                return
            }
            let hasMore = dispatch()
            if shared.withLock({ !$0.jobs.isEmpty }) { continue }
            wait(atMost: hasMore ? 0 : nextTimeout())
        }
    }

    /// Hands out messages that have come; returns whether there are more.
    private func dispatch() -> Bool {
        var hasMore = false
        for connection in Array(connections.keys) {
            var rest = Self.dispatchedAtATime
            // A message's handler may have let go of it.
            while connections[connection] != nil,
                dbus_connection_get_dispatch_status(connection) == DBUS_DISPATCH_DATA_REMAINS
            {
                guard rest > 0 else {
                    hasMore = true
                    break
                }
                rest -= 1
                dbus_connection_dispatch(connection)
            }
        }
        return hasMore
    }

    private func wait(atMost milliseconds: Int32) {
        let enabled = watches.filter { dbus_watch_get_enabled($0) != 0 }
        var descriptors = [pollfd(fd: wakeup, events: Int16(POLLIN), revents: 0)]
        for watch in enabled {
            let flags = dbus_watch_get_flags(watch)
            var events: Int32 = 0
            if flags & DBUS_WATCH_READABLE.rawValue != 0 { events |= POLLIN }
            if flags & DBUS_WATCH_WRITABLE.rawValue != 0 { events |= POLLOUT }
            descriptors.append(pollfd(fd: dbus_watch_get_unix_fd(watch), events: Int16(events), revents: 0))
        }
        guard poll(&descriptors, nfds_t(descriptors.count), milliseconds) >= 0 else { return }
        if descriptors[0].revents != 0 {
            var count: UInt64 = 0
            _ = read(wakeup, &count, MemoryLayout<UInt64>.size)
        }
        for (watch, descriptor) in zip(enabled, descriptors.dropFirst()) where descriptor.revents != 0 {
            // Handling one may remove another.
            guard watches.contains(watch) else { continue }
            let events = Int32(descriptor.revents)
            var flags: UInt32 = 0
            if events & POLLIN != 0 { flags |= DBUS_WATCH_READABLE.rawValue }
            if events & POLLOUT != 0 { flags |= DBUS_WATCH_WRITABLE.rawValue }
            if events & POLLERR != 0 { flags |= DBUS_WATCH_ERROR.rawValue }
            if events & POLLHUP != 0 { flags |= DBUS_WATCH_HANGUP.rawValue }
            dbus_watch_handle(watch, flags)
        }
        fireTimeouts()
    }

    /// Milliseconds until the first timeout, -1 if there is none.
    private func nextTimeout() -> Int32 {
        let deadlines = timeouts.filter { dbus_timeout_get_enabled($0.timeout) != 0 }.map(\.deadline)
        guard let deadline = deadlines.min() else { return -1 }
        let left = ContinuousClock.now.duration(to: deadline).components
        return Int32(clamping: max(0, left.seconds * 1000 + left.attoseconds / 1_000_000_000_000_000 + 1))
    }

    private func fireTimeouts() {
        let now = ContinuousClock.now
        for due in timeouts where due.deadline <= now && dbus_timeout_get_enabled(due.timeout) != 0 {
            guard let index = timeouts.firstIndex(where: { $0.timeout == due.timeout }) else { continue }
            timeouts[index].deadline = now + Self.interval(of: due.timeout)
            dbus_timeout_handle(due.timeout)
        }
    }

    private static func interval(of timeout: OpaquePointer) -> Duration {
        .milliseconds(Int(dbus_timeout_get_interval(timeout)))
    }

    // MARK: libdbus's requests, made on the loop's thread

    func attach(_ connection: OpaquePointer, _ receive: @escaping (OpaquePointer) -> DBusHandlerResult) {
        let receiver = Receiver(receive)
        connections[connection] = receiver
        dbus_connection_add_filter(
            connection,
            { _, message, context in
                guard let message, let context else { return DBUS_HANDLER_RESULT_NOT_YET_HANDLED }
                return Unmanaged<Receiver>.fromOpaque(context).takeUnretainedValue().receive(message)
            },
            Unmanaged.passRetained(receiver).toOpaque(),
            { context in
                guard let context else { return }
                Unmanaged<Receiver>.fromOpaque(context).release()
            }
        )
        let context = Unmanaged.passUnretained(self).toOpaque()
        dbus_connection_set_watch_functions(
            connection,
            { watch, context in
                guard let watch, let core = LoopCore.from(context) else { return 0 }
                core.watches.append(watch)
                return 1
            },
            { watch, context in LoopCore.from(context)?.watches.removeAll { $0 == watch } },
            { _, _ in },  // asked for anew on every turn
            context,
            nil
        )
        dbus_connection_set_timeout_functions(
            connection,
            { timeout, context in
                guard let timeout, let core = LoopCore.from(context) else { return 0 }
                core.timeouts.append(Timeout(timeout: timeout, deadline: .now + LoopCore.interval(of: timeout)))
                return 1
            },
            { timeout, context in LoopCore.from(context)?.timeouts.removeAll { $0.timeout == timeout } },
            { timeout, context in
                guard let timeout, let core = LoopCore.from(context),
                    let index = core.timeouts.firstIndex(where: { $0.timeout == timeout })
                else { return }
                core.timeouts[index].deadline = .now + LoopCore.interval(of: timeout)
            },
            context,
            nil
        )
    }

    func detach(_ connection: OpaquePointer) {
        guard connections.removeValue(forKey: connection) != nil else { return }
        dbus_connection_close(connection)
        dbus_connection_set_watch_functions(connection, nil, nil, nil, nil, nil)
        dbus_connection_set_timeout_functions(connection, nil, nil, nil, nil, nil)
        dbus_connection_unref(connection)
    }

    private static func from(_ context: UnsafeMutableRawPointer?) -> LoopCore? {
        context.map { Unmanaged<LoopCore>.fromOpaque($0).takeUnretainedValue() }
    }
}
