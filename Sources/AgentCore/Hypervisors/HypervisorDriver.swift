/// A kind of VMM that can start machines, and find those again that it started before.
///
/// A driver holds no state of its own about machines: what it needs later is in the ``MachineRecord``. All methods may be
/// called at the same time for different machines.
public protocol HypervisorDriver: Sendable {
    /// The same for every driver of this kind.
    var name: HypervisorName { get }

    /// Finds out what works on this host: whether the VMM is there, which version, and whether a guest can run under
    /// KVM. Measured once and remembered; cheap after the first call.
    ///
    /// - Throws: ``AgentError`` `unavailable` that names what is missing and how to install it.
    func information() async throws -> HypervisorInformation

    /// Starts a machine: the VMM runs and the vCPUs do when this returns.
    ///
    /// On an error, and when cancelled, nothing is left: no process, no socket.
    ///
    /// - Parameters:
    ///   - machine: Everything about it.
    ///   - session: The guest's session secret, as in the configuration disk.
    /// - Returns: The live machine, its event stream not yet consumed.
    /// - Throws: ``AgentError``; `unavailable` when the VMM is missing or refuses, with its own words.
    func start(_ machine: MachineDescription, session: String) async throws -> any VirtualMachine

    /// Takes up a machine where ``VirtualMachine/snapshot(to:)`` saved it; its vCPUs stand still when this returns, and
    /// ``VirtualMachine/resume()`` lets them run. No event is reported of either.
    ///
    /// The directory is only read: as long as the machine has not run, and its disks are as they were, the snapshot
    /// is as good as before. On an error, and when cancelled, nothing is left: no process, no socket.
    ///
    /// - Parameters:
    ///   - machine: As it was saved; only paths, the TAP device, and the instance of a copy may be others.
    ///   - directory: Where it was saved.
    ///   - session: The session secret of the guest in it.
    /// - Returns: The live machine, its event stream not yet consumed.
    /// - Throws: As ``start(_:session:)``; `notSupported` where ``HypervisorCapabilities/snapshot`` is false;
    ///   `invalidState` `snapshot_unreadable`, with the VMM's own words, if what was saved cannot be taken up.
    func restore(
        _ machine: MachineDescription,
        from directory: SnapshotDirectory,
        session: String
    ) async throws -> any VirtualMachine

    /// Finds a machine that this kind of driver started, perhaps in an earlier life of the agent.
    ///
    /// - Returns: nil if that process is gone; another process with the same number does not count.
    /// - Throws: ``AgentError`` `unavailable` if the process is there and cannot be controlled.
    func adopt(_ record: MachineRecord, instance: InstanceID) async throws -> (any VirtualMachine)?

    /// Kills what a start left behind that was cut off by a crash before its record was stored.
    ///
    /// Idempotent; returns once nothing of the machine's runs any more.
    func reap(instance: InstanceID, runtimeDirectory: RuntimeDirectory) async throws
}

/// A machine that was started and has not been seen to exit.
///
/// Every method is safe to call after the exit: controls then throw `invalidState`, ``kill()`` does nothing.
public protocol VirtualMachine: AnyObject, Sendable {
    /// What to store to find it again.
    var record: MachineRecord { get }

    /// What the machine reports, from the moment it was started or adopted, each event once, to one consumer. Ends
    /// after ``MachineEvent/exited(_:)``.
    var events: AsyncStream<MachineEvent> { get }

    /// The guest's serial console, to one consumer: kernel messages and those of early init. Bytes that come while
    /// nobody reads are dropped beyond a bounded buffer. Ends with the machine.
    var console: AsyncStream<[UInt8]> { get }

    /// Opens the channel to hypeman-init and completes its handshake.
    ///
    /// One channel at a time: opening another ends the one before. Waits until the guest answers; the caller sets the
    /// deadline by cancelling.
    ///
    /// - Throws: ``AgentError`` `versionMismatch` if the guest's protocol is not understood, `unavailable` if the
    ///   machine has exited.
    func openGuestChannel() async throws -> any GuestChannel

    /// Stops the vCPUs; memory stays. Idempotent.
    func pause() async throws
    /// Lets the vCPUs run again. Idempotent.
    func resume() async throws
    /// Saves the memory and the devices' state, not the disks; the vCPUs must stand still, and do so afterwards, also
    /// after an error.
    ///
    /// What was written is on disk when this returns. Other controls wait for it, ``kill()`` does not.
    ///
    /// - Parameter directory: Exists and is empty; after an error its owner removes what is in it.
    /// - Throws: `notSupported` where ``HypervisorCapabilities/snapshot`` is false; `invalidState` if the vCPUs run, or
    ///   the machine has exited; `storageFull`.
    func snapshot(to directory: SnapshotDirectory) async throws
    /// Gives a machine that runs another size, and returns when the VMM has taken it on; what the guest does with it is
    /// the guest's: it may take a while to give memory back.
    ///
    /// - Parameter size: No larger than ``MachineDescription/largestSize``, and with no less memory than at the start.
    /// - Throws: `notSupported` where ``HypervisorCapabilities/resize`` is false; `invalidArgument` beyond those bounds, and
    ///   for fewer vCPUs where the hypervisor cannot take them out; `invalidState` after the exit.
    func resize(to size: MachineSize) async throws
    /// Plugs in a disk; the guest finds it by its serial a moment later.
    ///
    /// - Parameter disk: With a ``MachineDescription/Disk/slot`` that nothing has.
    /// - Throws: `notSupported` where ``HypervisorCapabilities/hotplug`` is false; `alreadyExists` for a serial or a slot
    ///   that is taken; `invalidState` `disk_in_use` if another process holds the file, or after the exit.
    func attach(_ disk: MachineDescription.Disk) async throws
    /// Takes out a disk that was plugged in, found by its serial, and returns when the guest has let go of it and its file
    /// is closed. Idempotent.
    ///
    /// - Throws: As ``attach(_:)-(MachineDescription.Disk)``; `timeout` if the guest does not let go of it.
    func detach(_ disk: MachineDescription.Disk) async throws
    /// Plugs in a card.
    ///
    /// - Throws: As for a disk; `alreadyExists` if there is a card.
    func attach(_ card: MachineDescription.Card) async throws
    /// Takes out the card that was plugged in, and returns when its TAP device is free. Idempotent.
    ///
    /// - Throws: As for a disk.
    func detachCard() async throws
    /// Presses the power button: a guest that listens shuts down.
    func pressPowerButton() async throws
    /// Ends the VMM at once. Idempotent; ``MachineEvent/exited(_:)`` follows.
    func kill() async
    /// What it has used so far.
    ///
    /// - Throws: ``AgentError`` `invalidState` after the exit.
    func counters() async throws -> MachineCounters
}
