import AgentAPI
import AgentCore
import GuestProtocol

extension ExecRequest {
    /// What a client asked for; a missing command is a shell, as existing clients expect.
    init(_ body: ExecBody) throws(AgentError) {
        let environment = body.env ?? [:]
        try EnvironmentNames.check(environment)
        self.init(
            program: GuestProgram(
                arguments: body.command.isEmpty ? ["/bin/sh"] : body.command,
                environment: environment.map { "\($0.key)=\($0.value)" }.sorted(),
                workingDirectory: body.cwd ?? "",
                user: body.user ?? ""
            ),
            terminal: body.tty == true ? TerminalSize(rows: body.rows ?? 24, columns: body.cols ?? 80) : nil,
            stdin: body.stdin ?? true,
            timeoutMilliseconds: body.timeout.flatMap { $0 > 0 ? $0 * 1000 : nil }
        )
    }
}
