// Plays Cloud Hypervisor: its command line, its REST interface, its event monitor, its sockets and its locks. It has no
// guest. What it does is in `plan.json` beside the name that it is started by.

import CloudHypervisorStub
import Dispatch
import Foundation
import NIOPosix

let arguments = CommandLine.arguments
let plan = try JSONDecoder().decode(
    Plan.self,
    from: Data(contentsOf: URL(filePath: arguments[0]).deletingLastPathComponent().appending(path: "plan.json"))
)
if arguments.contains("--version") {
    print("cloud-hypervisor \(plan.version)")
    exit(0)
}

/// The value of `path=` after an option.
func path(after option: String) -> String? {
    guard let index = arguments.firstIndex(of: option), index + 1 < arguments.count,
        arguments[index + 1].hasPrefix("path=")
    else { return nil }
    return String(arguments[index + 1].dropFirst("path=".count))
}

guard plan.start != .exits, let socket = path(after: "--api-socket") else {
    FileHandle.standardError.write(Data("error: no API socket, or as planned\n".utf8))
    exit(1)
}
let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
let server = try StubServer(plan: plan, eventFile: path(after: "--event-monitor"), on: group.next())
if plan.start == .listens { try server.serve(socket) }

var sources: [any DispatchSourceSignal] = []
for (number, action) in [(SIGUSR1, { server.reset() }), (SIGUSR2, { server.panic() })] {
    signal(number, SIG_IGN)
    let source = DispatchSource.makeSignalSource(signal: number, queue: .main)
    source.setEventHandler(handler: action)
    source.activate()
    sources.append(source)
}
dispatchMain()
