import Logging

extension InstanceController {
    /// How long a VMM may take, and a guest that is to let go of vCPUs.
    private static let resizeDeadline = Duration.seconds(60)

    /// Changes what may be changed.
    func update(_ request: UpdateInstanceRequest, _ policy: RestartPolicy?) async throws {
        var size = instance.specification.size
        size.vcpus = request.vcpus ?? size.vcpus
        size.memory = request.memory ?? size.memory
        if size != instance.specification.size { try await resize(to: size) }
        if request.restartPolicy != nil { try await apply(.policyChanged(policy)) }
    }

    /// Gives it another size: its machine where it runs, else from its next start on.
    ///
    /// What is wanted is stored before the machine is changed, and what it has afterwards: an agent that ends in between
    /// finds the one, and asks the machine for the other.
    private func resize(to size: MachineSize) async throws {
        let machine = instance.state == .running ? run?.machine : nil
        if let machine {
            let driver = try context.hypervisors.driver(named: machine.record.hypervisor)
            let information = try await driver.information()
            guard information.capabilities.resize else {
                throw AgentError(
                    .notSupported,
                    code: "resize_not_supported",
                    "\(driver.name) \(information.version) cannot resize a machine that runs: stop instance "
                        + "'\(instance.name)' first"
                )
            }
        }
        guard machine != nil else { return try await apply(.resizeRequested(size)) }
        try await context.admission.admitting(instance, size) {
            try await apply(.resizeRequested(size))
            guard let machine else { return }
            do {
                try await withDeadline(
                    Self.resizeDeadline,
                    clock: context.time.clock,
                    "resizing instance '\(instance.name)'"
                ) { try await machine.resize(to: size) }
            } catch {
                await settleSize(of: machine)
                throw error is CancellationError
                    ? error : AgentError.wrapping(error, "instance '\(instance.name)' could not be resized")
            }
            await observe(.resized(size))
            logger.info("instance resized", metadata: ["size": "\(size)"])
        }
    }

    /// Stores the size that a machine has, after a resize that did not end well.
    ///
    /// Also for a caller that was cancelled. One that does not say has its size settled by the agent's next life, or by
    /// its own end.
    func settleSize(of machine: any VirtualMachine) async {
        guard instance.resizing != nil else { return }
        await Task {
            do {
                guard let size = try await machine.counters().size ?? self.instance.description?.currentSize else {
                    return
                }
                await self.observe(.resized(size))
            } catch {
                self.logger.error("size of the machine not known", metadata: ["error": "\(error)"])
            }
        }.value
    }
}
