import CInit
import Glibc
import GuestAgent

/// Processors that the host adds while the guest runs: the kernel leaves it to user space to let them run.
enum Processors {
    private static let directory = "/sys/devices/system/cpu"

    /// Lets those run that come, in a thread of its own; does nothing in a machine to which none can come.
    ///
    /// Called once the file system is the program's.
    static func followAdditions() {
        guard SmallFile.line("\(directory)/possible") != SmallFile.line("\(directory)/online") else { return }
        var thread = pthread_t()
        guard
            pthread_create(
                &thread,
                nil,
                { _ in
                    Processors.follow()
                    return nil
                },
                nil
            ) == 0
        else { return Console.write("processors that the host adds stay idle: no thread to let them run") }
        pthread_detach(thread)
    }

    /// Looks whenever the kernel announces a device.
    private static func follow() {
        let announcements = hypeman_open_uevents()
        guard announcements >= 0 else {
            return Console.write("processors that the host adds stay idle: cannot listen for them")
        }
        // One that somebody in the guest has switched off since stays off.
        var known: Set<String> = []
        while true {
            let present = Set(SmallFile.names(in: directory).filter(isProcessor))
            for name in present.subtracting(known) where SmallFile.line("\(directory)/\(name)/online") == "0" {
                start(name)
            }
            known = present
            guard hypeman_wait_readable(announcements, -1) >= 0 else { return }
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
