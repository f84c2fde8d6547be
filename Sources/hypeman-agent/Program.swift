import ArgumentParser
import Dispatch
import Glibc

/// The process, before there is any thread but the first.
@main
enum Program {
    static func main() {
        // Capabilities are a thread's and are inherited by those that it starts, so this comes first; an async `main`
        // would already run on a thread of the pool.
        Capabilities.passOn()
        // libdispatch would report each thread whose priority it may not raise, and none of that is wrong.
        setenv("LIBDISPATCH_LOG", "NO", 0)
        // What systemd hands over leaves the environment, which is safe as long as nobody else reads it.
        _ = ServiceEnvironment.own
        Task {
            await HypemanAgent.main()
            exit(EXIT_SUCCESS)
        }
        dispatchMain()
    }
}
