import Foundation
import Logging

extension InstanceController {
    /// Waits for the time that is stored, in place of any other; also after a restart of the agent.
    func scheduleRestart() {
        restartTimer?.cancel()
        restartTimer = nil
        guard let time = instance.nextRestart else { return }
        let pause = max(time.timeIntervalSince(context.time.now()), 0)
        logger.info("instance is started again by its policy", metadata: ["in_seconds": "\(Int(pause.rounded(.up)))"])
        restartTimer = Task {
            do {
                try await self.context.time.clock.sleep(for: .seconds(pause))
            } catch {
                return
            }
            await self.restart()
        }
    }

    private func restart() async {
        // Whoever moves the time from now on cancels another timer than the one that this runs in.
        restartTimer = nil
        do {
            try await perform(.start) { try await $0.start(nil) }
        } catch {
            // The state says what became of it, and when it is tried again.
            logger.warning("restart failed", metadata: ["error": "\(error)"])
        }
    }
}
