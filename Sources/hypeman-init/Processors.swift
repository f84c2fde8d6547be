import CInit
import Glibc
import GuestAgent
import Threads

/// Processors that the host adds while the guest runs: the kernel leaves it to user space to let them run.
enum Processors {
    private static let directory = "/sys/devices/system/cpu"

    /// Lets those run that came while the guest booted, and in a thread of its own those that come; does nothing in a
    /// machine to which none can come.
    ///
    /// Called once the file system is the program's, and before the program: whoever switches a processor off later means
    /// it.
    static func followAdditions() {
        guard SmallFile.line("\(directory)/possible") != SmallFile.line("\(directory)/online") else { return }
        let announcements = hypeman_open_uevents()
        guard announcements >= 0 else {
            return Console.write("processors that the host adds stay idle: cannot listen for them")
        }
        let follower = Follower(announcements: announcements)
        follower.startAdditions()
        guard DetachedThread.start({ follower.run() }) == 0 else {
            return Console.write("processors that the host adds stay idle: no thread to let them run")
        }
    }

    /// Looks whenever the kernel announces a device.
    private final class Follower: @unchecked Sendable {  // Used by one thread after the other.
        private let announcements: Int32
        /// One of them that somebody in the guest has switched off since stays off.
        private var known: Set<String> = []

        init(announcements: Int32) { self.announcements = announcements }

        func run() {
            while hypeman_wait_readable(announcements, -1) >= 0 { startAdditions() }
        }

        func startAdditions() {
            let present = Set(SmallFile.names(in: directory).filter(isProcessor))
            for name in present.subtracting(known) where SmallFile.line("\(directory)/\(name)/online") == "0" {
                start(name)
            }
            known = present
        }
    }

    /// `cpu0`, and not `cpufreq`.
    private static func isProcessor(_ name: String) -> Bool {
        name.hasPrefix("cpu") && name.count > 3 && name.utf8.dropFirst(3).allSatisfy { (48...57).contains($0) }
    }

    private static func start(_ name: String) {
        let file = hypeman_open("\(directory)/\(name)/online", O_WRONLY)
        guard file >= 0 else { return Console.write("cannot let \(name) run: it has no switch") }
        defer { close(file) }
        if write(file, "1", 1) != 1 { Console.write("cannot let \(name) run: \(String(cString: strerror(errno)))") }
    }
}
