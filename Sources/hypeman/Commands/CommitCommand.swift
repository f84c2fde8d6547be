import AgentAPI
import ArgumentParser

struct CommitCommand: AgentCommand {
    static let configuration = CommandConfiguration(
        commandName: "commit",
        abstract: "Make an image of what an instance's files have become.",
        discussion: """
            The image has the configuration of the instance's own image. The instance has to run, and runs on; a file that its \
            program writes meanwhile is in the image as it was when it was read. Volumes are not in it, nor /etc/hosts, \
            /etc/hostname and /etc/resolv.conf, which every instance gets for itself.
            """
    )

    @Argument(help: "The instance.")
    var instance: String

    @Argument(help: "The new image's name.")
    var image: String

    func perform() async throws -> Int32 {
        let (instance, body) = (instance, CommitInstanceBody(image: image))
        return try await AgentClient.with { client in
            let printer = ProgressPrinter()
            try await printer.show("\(instance): reading files", completed: 0, total: nil)
            let path = AgentClient.path(instance: instance, "/commit")
            let image: ImageResponse
            do {
                image = try await client.call(.post, path, body: body, as: ImageResponse.self)
            } catch {
                try await printer.finish()
                throw error
            }
            let ready = try await client.showProgress(of: image, printer)
            print("\(ready.name)@\(ready.digest)")
            return 0
        }
    }
}
